"""Accuracy and margins of policies on answers that were not trained on, by group, with intervals over annotators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from llm.base.tokens import TokenStore
from llm.data.preference_text import AnswerSet
from sim.algorithms.em_dpo import soft_posterior
from sim.estimators.bootstrap import GAP, SHARE, annotator_interval
from sim.likelihoods import log_sigmoid
from sim.preferences import AnyArray, BoolArray, FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import mean_of


class Rewarding(Protocol):
    def implicit_reward(self, contexts: AnyArray, responses: AnyArray) -> FloatArray: ...


def margins_of(policy: Rewarding, answers: AnswerSet) -> FloatArray:
    """M_j = implicit reward of chosen minus of rejected; (n,), reward units."""
    chosen, rejected = np.split(policy.implicit_reward(*both_sides(answers)), 2)
    return np.asarray(chosen - rejected)


def both_sides(answers: AnswerSet) -> tuple[IntArray, IntArray]:
    """(context, response) of what was chosen, then of what was rejected; two columns (2 n,).

    One set: it is scored in the same batches whoever asks, and what some chose and others rejected once.
    """
    pairs = answers.pairs
    return np.concatenate([pairs.contexts, pairs.contexts]), np.concatenate([pairs.chosen, pairs.rejected])


def length_margins(store: TokenStore, answers: AnswerSet) -> FloatArray:
    """Tokens of chosen minus tokens of rejected: what "the longer response" would say."""
    return (store.lengths(answers.pairs.chosen) - store.lengths(answers.pairs.rejected)).astype(np.float64)


@dataclass(frozen=True)
class MarginSummary:
    """Share of answers whose margin is positive (ties count half) and the mean margin, each answer as often as its
    weight says, with 95 % limits over annotators; None where there is no answer, fewer than two annotators, or, of
    margins, all are the same."""

    n_pairs: int
    n_annotators: int
    accuracy: float | None
    accuracy_interval: tuple[float, float] | None
    margin: float | None
    margin_interval: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        """Under TRL's names."""
        return {
            "n_pairs": self.n_pairs,
            "n_annotators": self.n_annotators,
            "rewards/accuracies": self.accuracy,
            "rewards/accuracies_interval": self.accuracy_interval,
            "rewards/margins": self.margin,
            "rewards/margins_interval": self.margin_interval,
        }


@dataclass(frozen=True)
class AccuracyGap:
    """One accuracy minus another on the same answers, with 95 % limits over annotators."""

    accuracy: float | None
    accuracy_interval: tuple[float, float] | None


def summarise(
    margin: FloatArray, annotator: IntArray, stream: Stream, weights: FloatArray | None = None
) -> MarginSummary:
    """Accuracy and mean of margins (n,) by annotator (n,); weights: (n,) how much each answer counts."""
    right = (margin > 0) + 0.5 * (margin == 0)
    return MarginSummary(
        n_pairs=len(margin),
        n_annotators=len(np.unique(annotator)),
        accuracy=mean_of(right, weights) if len(margin) else None,
        accuracy_interval=annotator_interval(right, annotator, stream, weights=weights, within=SHARE),
        margin=mean_of(margin, weights) if len(margin) else None,
        margin_interval=annotator_interval(margin, annotator, stream, weights=weights),
    )


def difference(
    first: FloatArray, second: FloatArray, annotator: IntArray, stream: Stream, weights: FloatArray | None = None
) -> AccuracyGap:
    """Accuracy of the first margins minus accuracy of the second, on the same answers, with its interval."""
    gap = ((first > 0) + 0.5 * (first == 0)) - ((second > 0) + 0.5 * (second == 0))
    interval = annotator_interval(gap, annotator, stream, weights=weights, within=GAP)
    return AccuracyGap(mean_of(gap, weights) if len(gap) else None, interval)


def infer_groups(
    policies: Sequence[Rewarding], mixture: FloatArray, answers: AnswerSet, stream: Stream
) -> tuple[IntArray, BoolArray]:
    """(most probable group of each annotator, mask of answers not used to find it).

    For data without known groups: a random half of each annotator's answers says which group she is in (posterior
    under the policies and their mixture, each answer as often as its weight says), the other half is left to evaluate
    on.  Her answers to one question are in the same half.
    """
    from sim.algorithms.cross_fit import split_answers

    pairs = answers.pairs
    asked = split_answers(pairs.annotator, stream.child("infer"), answers.questions)
    scores = np.stack([log_sigmoid(margins_of(policy, answers)) for policy in policies], axis=1)
    counted = asked & answers.decided
    if answers.pairs.weights is not None:
        counted = counted * answers.pairs.weights
    posterior = soft_posterior(scores * counted[:, None], pairs.annotator, pairs.n_annotators, mixture)
    return posterior.responsibilities.argmax(axis=1), ~asked


def match_groups(truth: Sequence[str], responsibilities: FloatArray) -> dict[str, int]:
    """Known group name -> adapter, by the assignment that agrees on most annotators (Hungarian method); "" is none.

    With more groups than adapters the remaining groups go to the adapter most of their annotators belong to.
    """
    from scipy.optimize import linear_sum_assignment

    names = sorted(set(truth) - {""})
    table = np.stack([responsibilities[np.array([t == name for t in truth])].sum(axis=0) for name in names])
    rows, columns = linear_sum_assignment(-table)
    found = {names[r]: int(c) for r, c in zip(rows, columns, strict=True)}
    return {name: found.get(name, int(table[j].argmax())) for j, name in enumerate(names)}
