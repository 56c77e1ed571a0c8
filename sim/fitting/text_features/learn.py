"""From a table of texts to one with features: split, learn from training texts, choose how many directions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from sim.answer_kinds.kinds import likelihood_of
from sim.errors import InputError
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.files.pair_table import PairTable
from sim.fitting.common_rewards import POOLED_RIDGES
from sim.fitting.method import Candidate, Method, Say, Task
from sim.fitting.methods.common import CommonReward
from sim.fitting.prepare import prepare
from sim.fitting.settings import FitSettings, HoldOut
from sim.fitting.splits import effective_weights, hold_out, way_to_hold_out, with_split
from sim.fitting.text_features.cache import cached
from sim.fitting.text_features.encoded import EncodedFeatures, TextEncoder, encoded, learn_directions
from sim.fitting.text_features.texts import require_texts, response_texts
from sim.fitting.text_features.words import LEAST_MET, MOST_WORDS, WordFeatures, learn_words
from sim.fitting.with_levels import WithLevels
from sim.likelihoods import log_sigmoid
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import mean_of

DIMENSIONS = (8, 16, 32, 64, 128)
# Where nothing can be held out.
_UNTRIED = 0.03
# Directions are float32.
_ALIKE = 1e-5

TextFeatures: TypeAlias = WordFeatures | EncodedFeatures


@dataclass(frozen=True, eq=False)
class Featured:
    """table: with its split and its features; held_out: what is held out to test by.  made: what makes the same
    features of other texts.  kind, place: words, embedding or hidden, and of which model.  tried, chosen: dimensions
    (`size`) and ridges by held-out training answers."""

    table: PairTable
    held_out: HoldOut
    made: TextFeatures
    kind: str
    place: str
    tried: tuple[Candidate, ...]
    chosen: Candidate


def featured(
    table: PairTable, features: str, encoder: TextEncoder | None, stream: Stream, settings: FitSettings, say: Say
) -> Featured:
    """The table with features of its items' texts, in place of any in the file.

    Vocabulary, idf and directions are learned from the items of training answers; other texts are only mapped.  The
    number of directions is chosen by the pooled reward, with the ridge that suits it, on a third of the training
    answers that are held out; test answers are not read.
    Errors: InputError where the items are no texts, or all texts say the same.
    """
    require_texts(table, features)
    asked = settings.hold_out
    # An item will be its features, as it is to be known before the split.
    told = likelihood_of(table, settings.likelihood).table
    bare = replace(told, features=np.zeros((len(table.items), 1)), feature_names=("text",))
    by = way_to_hold_out(bare, asked)
    split = with_split(bare, stream.child("split"), by)
    train = split.rows_of("train")
    answer, item = split.shown()
    used, uses = np.unique(item[train[answer]], return_counts=True)
    # None of those offered is no text: it has a constant of its own, and no features.
    none = table.offered is not None and table.offered.none >= 0
    texts = response_texts(table.items[:-1] if none else table.items, table.kind)
    say(f"{features} of {len(texts)} texts, learned from {len(used)}")
    made, values = _learned(texts, used, uses, encoder)
    if none:
        values = np.vstack([values, np.zeros(values.shape[1])])
    spread = values[used].std(axis=0)
    if not (spread > 1e-9 * np.abs(values[used]).max(initial=0.0)).any():
        raise InputError(
            f"features: the {len(used)} texts of training answers are all empty or say the same, as far as {features} "
            "go", file=table.source, field="chosen", fix="give texts that differ, or features of another kind",
        )  # fmt: skip
    tried, chosen = _choose_dimension(split, values, used, stream.child("text-features"), settings, say)
    made = made.first(chosen.size)
    found = replace(split, features=values[:, : chosen.size], feature_names=made.names)
    place = "" if encoder is None else encoder.place
    return Featured(found, by, made, "words" if encoder is None else encoder.kind, place, tried, chosen)


def _learned(
    texts: list[str], used: IntArray, uses: IntArray, encoder: TextEncoder | None
) -> tuple[TextFeatures, FloatArray]:
    """What was learned from the texts `used`, each in `uses` training answers, and (n_texts, d) features of all."""
    training = [texts[item] for item in used]
    if encoder is not None:
        vectors = encoded(encoder, texts)
        found = learn_directions(encoder, vectors[used], DIMENSIONS[-1])
        return found, np.asarray((vectors - found.mean) @ found.directions.astype(np.float64))
    settings = {"kind": "words", "basis": "settled", "largest": DIMENSIONS[-1], "least_met": LEAST_MET,
                "most_words": MOST_WORDS, "uses": uses.tolist()}  # fmt: skip

    def make() -> dict[str, object]:
        own = learn_words(training, DIMENSIONS[-1], uses.tolist())
        return {**own.arrays(), "features": own.of(texts)}

    arrays = cached(settings, (training, texts), make)  # type: ignore[arg-type]
    return WordFeatures.from_arrays(arrays), arrays["features"]


def _choose_dimension(
    table: PairTable, values: FloatArray, used: IntArray, stream: Stream, settings: FitSettings, say: Say
) -> tuple[tuple[Candidate, ...], Candidate]:
    """The number of leading directions, and its ridge, that serve held-out training answers best."""
    most = values.shape[1]
    sizes = _sizes(np.linalg.norm(values[used], axis=0))
    kept, held = hold_out(table, table.rows_of("train"), 1 / 3, stream, settings.hold_out)
    if not (kept.any() and held.any()):
        return (), Candidate("text-features", sizes[0], _UNTRIED, float("nan"))
    tried = []
    if table.answers == "pairs" and table.tie is None and table.strength is None:
        tried = _of_pairs(table, values, used, sizes, kept, held)
    else:
        for size in sizes:
            tried += _of_answers(replace(table, features=values[:, :size]), size, kept, held, stream, settings)
    best = max(tried, key=lambda candidate: candidate.held_out)
    say(f"{best.size} of {most} directions (held-out log-likelihood {best.held_out:.4f})")
    return tuple(tried), best


def _sizes(strengths: FloatArray) -> list[int]:
    """Numbers of directions to try; where one would cut directions of equal strength (d,), all of these are in."""
    most, found = len(strengths), []
    for size in (size for size in DIMENSIONS if size < most):
        while size < most and strengths[size] >= (1.0 - _ALIKE) * strengths[size - 1]:
            size += 1
        found.append(size)
    return list(dict.fromkeys([*found, min(most, DIMENSIONS[-1])]))


def _of_answers(
    table: PairTable, size: int, kept: BoolArray, held: BoolArray, stream: Stream, settings: FitSettings
) -> list[Candidate]:
    """Every ridge of one dimension, of answers that are not plain pairs."""
    names = tuple(f"direction {number + 1}" for number in range(size))
    prepared = prepare(replace(table, feature_names=names), stream, settings.hold_out, settings.likelihood)
    method: Method[Any] = CommonReward() if prepared.levels is None else WithLevels(CommonReward())
    learned, scored = prepared.answers(kept), prepared.answers(held)
    found = []
    for ridge in POOLED_RIDGES:
        model = method.fit(learned, 0, ridge, Task(stream, None, 1, final=False))
        score = mean_of(method.log_likelihood(model, scored), scored.given_weights)
        found.append(Candidate("text-features", size, ridge, score))
    return found


def _of_pairs(
    table: PairTable, values: FloatArray, used: IntArray, sizes: list[int], kept: BoolArray, held: BoolArray
) -> list[Candidate]:
    """Every dimension and ridge, of plain pairs."""
    scale = values[used].std(axis=0)
    # The standard deviation of a constant 0.1 is 1e-17, not 0.
    varies = scale > 1e-12 * np.abs(values[used]).max(axis=0)
    standard = (values - values[used].mean(axis=0)) / np.where(varies, scale, 1.0)
    differences = standard[table.chosen] - standard[table.rejected]
    weights, counted = effective_weights(table, kept)[kept], None if table.weights is None else table.weights[held]
    tried = []
    for size in sizes:
        own = np.ascontiguousarray(differences[:, :size])
        for ridge in POOLED_RIDGES:
            theta = fit_bradley_terry(own[kept], weights, ridge=ridge, mass_scaled=True).theta
            score = mean_of(log_sigmoid(own[held] @ theta), counted)
            tried.append(Candidate("text-features", size, ridge, score))
    return tried
