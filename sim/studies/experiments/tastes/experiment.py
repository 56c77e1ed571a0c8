"""Rewards for people of different tastes: one for all, one each, over a common subspace, by cluster, by contexts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.distinct import numbered
from sim.errors import InputError
from sim.estimators.bootstrap import annotator_intervals
from sim.fitting.beside import asked_beside
from sim.fitting.choose import choose_and_fit
from sim.fitting.contexts import context_answers, known_contexts
from sim.fitting.low_rank_choice import choose_low_rank, fit_chosen, folds_of, ranks_up_to
from sim.fitting.method import Method
from sim.fitting.methods.low_rank import BilinearModel, LowRank
from sim.fitting.methods.personal import Personal
from sim.fitting.prepare import Prepared
from sim.fitting.scores import hits
from sim.fitting.settings import FitSettings
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.tastes.answers import Asked, asked_of, files_of
from sim.studies.experiments.tastes.figures import FIGURES
from sim.studies.experiments.tastes.setting import TastesSetting
from sim.studies.experiments.tastes.tables import tastes_table
from sim.studies.results import PART
from sim.weighted_means import mean_of


def run_tastes(setting: TastesSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """WHERE/accuracy and WHERE/log_likelihood (nats an answer) of every method, each with .../half, half of the 95 %
    interval over annotators, and WHERE/over_METHOD, log-likelihood minus that of another method on the same answers.
    WHERE/people: how many annotators these are of.  Of real annotators, whom every seed has again, each metric also of
    one: .../of/NUMBER in the file's order, and WHERE/share/of/NUMBER, how much of the mean is of her answers.

    WHERE: answers and prompts, of known annotators (see `Asked`); after_S, of new annotators with S answers shown,
    those who have so many.
    pooled: one reward for all.  personal: one each.  shared: one each over a common subspace [arXiv 2405.00254,
    Algorithms 1 and 2].  cluster: K rewards [Algorithm 3].  low_rank: x' Theta phi of annotators' features
    [arXiv 2412.19436].  maxmin-rlhf, pal, pal-distance, vpl, vpl-encoder: recipes of others, where asked for.
    truth: the annotators' own preferences, the most that can be reached.
    Sizes and ridges are chosen on training answers; new annotators' heads are fitted to what they have shown alone.
    """
    asked = asked_of(setting, stream.child("people"))
    fitted = _fits(setting, asked.prepared, stream.child("fit"))
    rows: list[Measurement] = []
    seconds = {name: own.seconds for name, own in fitted.items()}
    bootstrap = stream.child("bootstrap")
    for where, mask in asked.held.items():
        scores = {name: own.scores(mask) for name, own in fitted.items()}
        right = {name: hits(own) for name, own in scores.items()}
        rows += _measured(where, asked, mask, scores, right, seconds, bootstrap)
    for shown, scored_on, scores, right in _after(setting, asked, fitted, stream.child("draws")):
        rows += _measured(f"after_{shown}", asked, scored_on, scores, right, seconds, bootstrap)
    return rows


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A method's model with the table it was fitted on (low rank leaves out what contexts do not identify)."""

    method: Method[Any]
    model: Any
    prepared: Prepared
    seconds: float

    def scores(self, mask: BoolArray) -> FloatArray:
        """log P of the masked answers."""
        return self.method.log_likelihood(self.model, self.prepared.answers(mask))

    def adapted(self, mask: BoolArray) -> _Fitted:
        """For annotators of whom the masked answers are all that is known."""
        model = self.method.adapt(self.model, self.prepared.answers(mask))
        return _Fitted(self.method, model, self.prepared, self.seconds)


def _fits(setting: TastesSetting, prepared: Prepared, stream: Stream) -> dict[str, _Fitted]:
    """Every method by name; seconds of those that are searched together are theirs together."""
    began = time.perf_counter()
    settings = FitSettings("personal", max_types=setting.largest, restarts=setting.restarts, hold_out="prompts")
    beside = asked_beside(Personal(), setting.baselines)
    fits = choose_and_fit(Personal(), prepared, settings, stream, lambda text: None, beside)
    wall = time.perf_counter() - began
    found = {name: _Fitted(method, model, prepared, wall) for name, (method, model) in fits.fitted.items()}
    if prepared.table.annotator_features is None:
        return found
    began, seen = time.perf_counter(), known_contexts(prepared)
    answers = context_answers(seen.answers(seen.train))
    fold = folds_of(answers, stream.child("low-rank"))
    choice = choose_low_rank(answers, fold, ranks_up_to(setting.largest), None, lambda text: None)
    low, _ = fit_chosen(answers, choice)
    model = BilinearModel(low.theta, low.rank, fitted=low)
    found["low_rank"] = _Fitted(LowRank(), model, seen, time.perf_counter() - began)
    return found


def _after(
    setting: TastesSetting, asked: Asked, fitted: Mapping[str, _Fitted], stream: Stream
) -> Iterator[tuple[int, BoolArray, dict[str, FloatArray], dict[str, FloatArray]]]:
    """(answers shown, the reserved answers of those who have so many to show, log-likelihoods and hits of these, means
    over the draws), of the numbers that somebody has."""
    if not asked.reserved.any():
        return
    has = np.bincount(asked.prepared.annotator[asked.pool], minlength=asked.prepared.n_annotators)
    rows = np.flatnonzero(asked.pool)
    person = asked.prepared.annotator[rows]
    keys = stream.uniforms((setting.draws, len(rows)))
    orders = [_places(person, own) for own in keys]
    for shown in setting.shown:
        scored_on = asked.reserved & (has >= shown)[asked.prepared.annotator]
        if not scored_on.any():
            return
        scores: dict[str, FloatArray] = {}
        right: dict[str, FloatArray] = {}
        # Nothing shown is the same in every draw.
        drawn = orders if shown else orders[:1]
        for place in drawn:
            mask = np.zeros(len(asked.pool), dtype=np.bool_)
            mask[rows[place < shown]] = True
            for name, own in fitted.items():
                found = own.adapted(mask).scores(scored_on)
                scores[name] = scores.get(name, 0.0) + found / len(drawn)
                right[name] = right.get(name, 0.0) + hits(found) / len(drawn)
        yield shown, scored_on, scores, right


def _places(person: IntArray, keys: FloatArray) -> IntArray:
    """(n,) place of each answer among its annotator's, by keys."""
    order = np.lexsort((keys, person))
    place = np.empty(len(person), dtype=np.int64)
    place[order] = np.arange(len(person)) - np.searchsorted(person[order], person[order])
    return place


def _measured(
    where: str, asked: Asked, mask: BoolArray, scores: Mapping[str, FloatArray], right: Mapping[str, FloatArray],
    seconds: Mapping[str, float], stream: Stream,
) -> list[Measurement]:  # fmt: skip
    """One place's rows, each answer as often as its weight says; intervals from the same draws of annotators."""
    fitted = list(scores)
    if asked.truth is not None:
        own = asked.truth[mask]
        scores, right = {**scores, "truth": own}, {**right, "truth": hits(own)}
    columns: dict[tuple[str, str], FloatArray] = {}
    for name in scores:
        columns[name, "accuracy"], columns[name, "log_likelihood"] = right[name], scores[name]
        if name in fitted:
            others = (other for other in fitted if other != name)
            columns |= {(name, f"over_{other}"): scores[name] - scores[other] for other in others}
    annotator, weights = asked.prepared.annotator[mask], asked.prepared.given_weights(mask)
    # Of anything: what is shown is half of the interval on both sides, which no edge may cut.
    intervals = annotator_intervals(columns.values(), annotator, stream.child(where), weights=weights)
    rows = [Measurement(name, f"{where}/people", float(numbered(annotator)[1])) for name in fitted]
    for ((name, metric), values), limits in zip(columns.items(), intervals, strict=True):
        rows += [
            Measurement(name, f"{where}/{metric}", mean_of(values, weights), seconds.get(name, 0.0)),
            Measurement(name, f"{where}/{metric}/half", None if limits is None else (limits[1] - limits[0]) / 2),
        ]
    return rows if asked.truth is not None else [*rows, *_by_person(where, columns, annotator, weights)]


def _by_person(
    where: str, columns: Mapping[tuple[str, str], FloatArray], annotator: IntArray, weights: FloatArray | None
) -> Iterator[Measurement]:
    own = np.ones(len(annotator)) if weights is None else weights
    counted = np.bincount(annotator, own)
    for (name, metric), values in columns.items():
        totals = np.bincount(annotator, own * values)
        for i in np.flatnonzero(counted).tolist():
            if metric == "accuracy":
                yield Measurement(name, f"{where}/share{PART}{i}", float(counted[i] / counted.sum()))
            yield Measurement(name, f"{where}/{metric}{PART}{i}", float(totals[i] / counted[i]))


def _missing(setting: TastesSetting, backends: Backends) -> str | None:
    """Refused before any work: there must be something to ask, or to read."""
    if setting.questions is None and setting.answers_file is None:
        raise InputError("questions: missing", fix="name a file of `pluralign llm make-tastes`, or an answers_file")
    for file in files_of(setting):
        if not file.exists():
            fix = "make it: pluralign llm make-tastes" if setting.questions else "check the path"
            raise InputError("no such file", file=file, fix=fix)
    return None


TASTES = Experiment(
    TastesSetting, run_tastes, FIGURES, table=tastes_table, missing=_missing, memory=TastesSetting.memory,
    files=files_of, paths=("questions", "answers_file"),
)  # fmt: skip
