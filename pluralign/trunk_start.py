"""The heads that suit a language model as it is, and the answers it is to be trained on: where its trunk begins."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.answer_kinds.kinds import pairs_of_choices
from sim.answer_kinds.response_choices import ResponseChoices, response_choices
from sim.files.pair_table import PairTable
from sim.fitting.method import Method, Say, Task
from sim.fitting.methods.common import CommonReward
from sim.fitting.methods.rewards import RIDGES
from sim.fitting.methods.shared import Shared
from sim.fitting.prepare import Prepared, prepare
from sim.fitting.settings import FitSettings
from sim.fitting.splits import effective_weights, hold_out
from sim.fitting.text_features.encoded import EncodedFeatures, TextEncoder
from sim.fitting.text_features.learn import Featured, featured
from sim.fitting.with_levels import WithLevels
from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream

if TYPE_CHECKING:
    from llm.rewards.trunk_objective import TrunkStart

KEPT_OUT = "text-features"
"""Role of the stream that draws the third of the training answers which a trunk is not trained on: that on which the
number of directions was chosen already, and on which the fit that follows is to choose the rest."""

# Of the departures, the middle of what a fit tries.
_RIDGE = RIDGES[2]
_LEAST_SPREAD = 0.2


def trunk_start(table: PairTable, settings: FitSettings, encoder: TextEncoder, heads: int, say: Say) -> TrunkStart:
    """theta_i = centre + U v_i fitted on the frozen model to two thirds of the training answers; the last third, of
    other prompts where prompts are held out, says how many passes to make.

    table: `answered`; split and held out as the fit that follows will (the same streams), so that no test answer is
    read.  heads: dimension of U; 0: one reward for all.
    """
    from llm.rewards.trunk_objective import TrunkStart

    stream = Stream(settings.seed, cell="fit")
    found = featured(table, settings.features, encoder, stream, settings, say)
    found = _wide_directions(found)
    prepared = prepare(found.table, stream, settings.hold_out, settings.likelihood)
    kept, held = hold_out(prepared.table, prepared.train, 1 / 3, stream.child(KEPT_OUT), settings.hold_out)
    if not kept.any():
        kept, held = prepared.train, np.zeros_like(prepared.train)
    width = int(prepared.scales.kept.sum())
    centre, departures = _heads(prepared, kept, found.chosen.ridge, heads, stream.child("trunk"))
    rows, sizes, shared = np.linalg.svd(departures[:, :width], full_matrices=False)
    k = min(heads, int((sizes > 1e-9).sum()))
    mean, directions = _features(found, prepared)
    return TrunkStart(
        mean, directions, centre[:width], shared[:k].T, rows[:, :k] * sizes[:k], _answers(prepared, kept),
        _answers(prepared, held), prepared.table.prompt[kept], _RIDGE, found.chosen.ridge,
    )  # fmt: skip


def _wide_directions(found: Featured) -> Featured:
    """Only directions in which training items vary at least a fifth as much as in the first.

    A fit gives each direction the same weight; a model that moves would be moved a hundred times as far along one that
    hardly varies, and one step would undo the heads.
    """
    features = found.table.features
    assert features is not None
    answer, item = found.table.shown()
    spread = features[item[found.table.rows_of("train")[answer]]].std(axis=0)
    most = int((spread >= _LEAST_SPREAD * spread[0]).argmin() or len(spread))
    made = found.made.first(most)
    return replace(found, made=made, table=replace(found.table, features=features[:, :most], feature_names=made.names))


def _heads(
    prepared: Prepared, kept: BoolArray, ridge: float, heads: int, stream: Stream
) -> tuple[FloatArray, FloatArray]:
    """(centre, departures (n_annotators, d))."""
    answers = prepared.answers(kept)
    d = answers.differences.shape[1]

    def fitted(method: Method[Any], size: int, ridge: float, centre: FloatArray | None) -> Any:
        own = method if prepared.levels is None else WithLevels(method)
        model = own.fit(answers, size, ridge, Task(stream, centre, 1, final=False))
        return model if prepared.levels is None else model.inner

    centre: FloatArray = fitted(CommonReward(), 0, ridge, None)
    size = min(heads, d, len(answers.answered))
    if size == 0:
        return centre, np.zeros((prepared.n_annotators, d))
    return centre, np.asarray(fitted(Shared(), size, _RIDGE, centre).theta - centre)


def _features(found: Featured, prepared: Prepared) -> tuple[FloatArray, FloatArray]:
    """(mean, directions) of phi = (h - mean)' directions in the units of the heads."""
    made, scales = found.made, prepared.scales
    assert isinstance(made, EncodedFeatures)
    directions = made.directions.astype(np.float64)
    return made.mean + directions @ scales.mean, directions[:, scales.kept] / scales.scale[scales.kept]


def _answers(prepared: Prepared, rows: BoolArray) -> ResponseChoices:
    """Contexts are annotators, responses items, weights effective ones."""
    table = prepared.table
    if prepared.learned is not None:
        table = pairs_of_choices(table)
    # A reward is of an annotator and an item: she stands where prompts do.
    own = response_choices(replace(table, prompt=table.annotator), prepared.likelihood)
    return replace(own.select(rows), weights=effective_weights(table, rows)[rows])
