"""Weighted DPO training of one adapter: the M-step of EM-DPO on a language model, and its group-robust relative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from llm.base.journal import Journal
from llm.base.shared_base import SharedBase
from llm.training.answer_objectives import AnswerObjective, objective_of
from llm.training.group_weights import GroupWeights, RobustObjective
from llm.training.joint_passes import JointFit, Sharing, make_passes_together
from llm.training.passes import DPOTraining, make_passes
from llm.training.steps import Step
from sim.answer_kinds.response_choices import ResponseChoices
from sim.errors import InputError
from sim.preferences import FloatArray, IntArray, PreferencePairs
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class FitReport:
    """Of one fit: optimiser steps, answers used (merged ones once), share of the weight left out, and the record of
    its steps."""

    steps: int
    n_answers: int
    skipped_share: float
    record: tuple[Step, ...]


def fit_adapter(
    base: SharedBase,
    name: str,
    observations: PreferencePairs | ResponseChoices,
    weights: FloatArray,
    beta: float,
    training: DPOTraining,
    stream: Stream,
    *,
    journal: Journal | None = None,
    key: str = "",
    on_step: Callable[[int, int], None] = lambda step, total: None,
    on_record: Callable[[Sequence[Step]], None] = lambda record: None,
) -> FitReport:
    """Minimise the weighted DPO loss over adapter `name`, in place.

    A batch B contributes -sum_{j in B} v_j log p(answer j) / (b v_mean) with v_mean the mean weight of the answers used
    and b the mean size of the batches, which differ by one at most: the mean over an epoch's batches is the loss
    normalised by the group's mass.  Not `normalised`, v_mean is one (of merged rows, the number of answers in a row).
    Of pairs log p = log sigma(M_j), and with 0/1
    weights this is plain DPO.
    journal, key: where an unfinished fit keeps its parameters, optimiser and step.  on_record: see `make_passes`.
    """
    found = _weighted(base, observations, weights, beta, training)
    if found.objective is None:
        return found.report(())
    record = make_passes(
        base, name, [base.parameters_of(name)], found.objective, training, stream, journal=journal, key=key,
        on_step=on_step, on_record=on_record,
    )  # fmt: skip
    return found.report(record)


def fit_adapters_together(
    base: SharedBase,
    fits: Sequence[JointFit],
    observations: PreferencePairs | ResponseChoices,
    weights: Sequence[FloatArray],
    beta: float,
    training: DPOTraining,
    sharing: Sharing,
    *,
    journal: Journal | None = None,
    key: str = "",
) -> list[FitReport]:
    """`fit_adapter` of each fit with its weights (n,), up to rounding, their rows in one pass where `sharing` says so:
    see `make_passes_together`."""
    found = [_weighted(base, observations, own, beta, training) for own in weights]
    there = [(fit, own.objective) for fit, own in zip(fits, found, strict=True) if own.objective is not None]
    records = iter(make_passes_together(base, there, training, sharing, journal=journal, key=key) if there else [])
    return [own.report(() if own.objective is None else next(records)) for own in found]


@dataclass(frozen=True, eq=False)
class _Weighted:
    """The objective of the answers used (None without any), how many there are, and which share of the weight was left
    out."""

    objective: AnswerObjective | None
    n_answers: int
    skipped_share: float

    def report(self, record: Sequence[Step]) -> FitReport:
        return FitReport(len(record), self.n_answers, self.skipped_share, tuple(record))


def _weighted(
    base: SharedBase, observations: PreferencePairs | ResponseChoices, weights: FloatArray, beta: float,
    training: DPOTraining,
) -> _Weighted:  # fmt: skip
    """Of a type that has all but vanished nothing is used: its adapter stays what it is.

    Errors: InputError where `skip_below` alone leaves nothing of a type.
    """
    used = _used(observations, weights, training)
    total_weight = float(weights.sum())
    if used.size == 0:
        if total_weight > _VANISHED * float(observations.pair_weights().sum()):
            raise InputError(
                "no answer of a group weighs as much of the mean answer", field="training.skip_below", fix="lower it"
            )
        return _Weighted(None, 0, float(total_weight > 0))
    share = float(1.0 - weights[used].sum() / total_weight)
    rows_used, row_weights = observations.select(used), weights[used]
    if training.merge and isinstance(rows_used, PreferencePairs):
        rows_used, row_weights = merged(rows_used, row_weights)
    # A batch's losses are divided by the number of its rows: of merged ones, by that of the answers in them.
    unit = float(row_weights.mean()) if training.normalised else used.size / len(rows_used)
    return _Weighted(objective_of(base, rows_used, row_weights / unit, beta), len(rows_used), share)


# A type that holds less than this share of the answers' weight may be left without any that is trained on.
_VANISHED = 1e-2


def _used(observations: PreferencePairs | ResponseChoices, weights: FloatArray, training: DPOTraining) -> IntArray:
    """The answers to train on.  weights: (n,) what the file has them weigh, and of that what a type has.

    As a share of the mean the file has: of a fit only ratios of its weights matter (of who is in which group not:
    there they are counts).
    """
    least = training.skip_below * float(observations.pair_weights().mean()) if len(weights) else 0.0
    return np.flatnonzero(weights >= max(least, np.finfo(float).tiny))


def fit_adapter_robustly(
    base: SharedBase,
    name: str,
    observations: PreferencePairs | ResponseChoices,
    weights: FloatArray,
    groups: GroupWeights,
    beta: float,
    training: DPOTraining,
    stream: Stream,
    *,
    journal: Journal | None = None,
    key: str = "",
    on_step: Callable[[int, int], None] = lambda step, total: None,
    on_record: Callable[[Sequence[Step]], None] = lambda record: None,
) -> tuple[FitReport, GroupWeights]:
    """Minimise the groups' mean losses by the weights of `RobustObjective`, over adapter `name`, in place.

    groups: of all answers.  Returns the report, and the groups with their weights in the end.  The rest as for
    `fit_adapter`; answers alike are merged inside their groups.
    Errors: InputError where a group has no answer that weighs `training.skip_below` of the mean answer.
    """
    used = _used(observations, weights, training)
    own, row_weights, rows_used = groups.group[used], weights[used], observations.select(used)
    left = np.bincount(own, minlength=len(groups.names))
    if not left.all():
        raise InputError(
            f"no answer of group '{groups.names[int(left.argmin())]}' weighs as much of the mean answer",
            field="training.skip_below", fix="lower it",
        )  # fmt: skip
    share = float(1.0 - row_weights.sum() / weights.sum())
    if training.merge and isinstance(rows_used, PreferencePairs):
        rows_used, row_weights, own = merged_by_group(rows_used, row_weights, own)
    # Weights are the objective's own concern, which knows each group's mass.
    answers = objective_of(base, rows_used, np.ones(len(rows_used)), beta)
    objective = RobustObjective(answers, row_weights, replace(groups, group=own))
    record = make_passes(
        base, name, [base.parameters_of(name)], objective, training, stream, journal=journal, key=key, on_step=on_step,
        on_record=on_record,
    )  # fmt: skip
    return (
        FitReport(len(record), len(rows_used), share, tuple(record)),
        replace(groups, log_weights=objective.groups.log_weights),
    )


def merged(pairs: PreferencePairs, weights: FloatArray) -> tuple[PreferencePairs, FloatArray]:
    """Each answer once, in the order of its first row, and the sum of its weights: sum_j w_j f(j) is unchanged."""
    return merged_by_group(pairs, weights, np.zeros(len(pairs), dtype=np.int64))[:2]


def merged_by_group(
    pairs: PreferencePairs, weights: FloatArray, group: IntArray
) -> tuple[PreferencePairs, FloatArray, IntArray]:
    """The same for each group's answers, and the group (n,) of those left."""
    answers = np.stack([pairs.contexts, pairs.chosen, pairs.rejected, group], axis=1)
    _, first, row = np.unique(answers, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    sums: FloatArray = np.zeros(len(first))
    np.add.at(sums, row.ravel(), weights)
    return pairs.select(first[order]), sums[order], group[first[order]]
