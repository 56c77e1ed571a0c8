"""EM-DPO, Cluster-DPO and pooled DPO over adapters: one driver, three E-steps.

The recursion is `sim.algorithms.em_dpo`; here it is given adapters, held-out answers to stop on, and a record.
Pooled DPO is one type, Cluster-DPO fixed responsibilities: all three take the same number of steps from the same
schedule under the same guard, so that what differs between them is the grouping alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from llm.data.preference_text import AnswerSet
from llm.training.adapter_policy import AdapterPolicy
from sim.algorithms.cluster_dpo import k_means, mean_chosen_features
from sim.algorithms.cross_fit import CrossFit, Fixed
from sim.algorithms.em_dpo import EMRound, EStep, Posterior, em_dpo, hard_posterior, random_split, soft_posterior
from sim.policies.protocol import choice_log_likelihood
from sim.preferences import FloatArray
from sim.streams import Stream

Method = Literal["em-dpo", "cluster-dpo", "dpo"]


@dataclass(frozen=True)
class GroupSettings:
    """types: number of groups, None to choose it by held-out likelihood among 1..max_types.

    rounds: EM rounds after the start (for clusters and pooled DPO: further fits, so that all take equal steps).
    estep: soft, hard (classification EM) or crossfit (scores the half of the answers just not trained on).
    start: a random split, or k-means clusters of what annotators chose.
    patience: rounds without a better held-out likelihood before training stops; the best round is kept.
    tolerance: relative change of the likelihood that counts as converged.
    """

    types: int | None = 2
    max_types: int = 4
    rounds: int = 8
    estep: Literal["soft", "hard", "crossfit"] = "soft"
    start: Literal["random", "clusters"] = "random"
    patience: int = 3
    tolerance: float = 1e-4
    embedding: str = "hidden"

    def __post_init__(self) -> None:
        if (self.types is not None and self.types < 1) or self.max_types < 1:
            raise ValueError(
                f"groups.types and groups.max_types must be at least 1 (got {self.types}, {self.max_types})"
            )
        if self.rounds < 0 or self.patience < 1 or self.tolerance < 0:
            raise ValueError(
                f"groups.rounds and tolerance must not be negative, patience at least 1 (got {self.rounds}, "
                f"{self.tolerance}, {self.patience})"
            )


@dataclass(frozen=True)
class RoundRecord:
    """One round: shares (K,), log-likelihood of the training answers (nats), mean nats a held-out answer (None where
    nothing is held out), whose step the guard took back (K,), and mean entropy of the responsibilities (nats).

    adjusted_rand_index: against known groups, None (and left out of the record) where they are not known.
    """

    round: int
    mixture: tuple[float, ...]
    log_likelihood: float
    held_out_log_likelihood: float | None
    undone: tuple[bool, ...]
    entropy: float
    adjusted_rand_index: float | None = None

    def as_json(self) -> dict[str, Any]:
        row = asdict(self)
        if self.adjusted_rand_index is None:
            del row["adjusted_rand_index"]
        return row


@dataclass(frozen=True, eq=False)
class _BestRound:
    """The round to go back to."""

    held_out: float
    number: int
    mixture: FloatArray
    responsibilities: FloatArray
    states: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class GroupFit:
    """Policies of the best round, their mixture (K,), responsibilities (n_annotators, K), and the rounds' record.

    held_out: mean nats a held-out answer at the best round (nan where nothing is held out).
    """

    policies: tuple[AdapterPolicy, ...]
    mixture: FloatArray
    responsibilities: FloatArray
    held_out: float
    best_round: int
    status: str
    rounds: tuple[RoundRecord, ...]


def predictive(policies: Sequence[AdapterPolicy], responsibilities: FloatArray, answers: AnswerSet) -> FloatArray:
    """log sum_k gamma_ik sigma(M_kj) for each new answer j of a known annotator i; (n,), nats."""
    columns = np.stack([choice_log_likelihood(policy, answers.pairs) for policy in policies], axis=1)
    with np.errstate(divide="ignore"):
        joint = np.log(responsibilities[answers.pairs.annotator]) + columns
    return np.asarray(np.logaddexp.reduce(joint, axis=1))


def cluster_annotators(train: AnswerSet, features: FloatArray, n_types: int, stream: Stream) -> FloatArray:
    """One-hot responsibilities of k-means on each annotator's mean chosen embedding; (n_annotators, K)."""
    points = mean_chosen_features(features, train.pairs.annotator, train.pairs.n_annotators)
    cluster, _ = k_means(points, n_types, stream.child("k-means"))
    return np.asarray(np.eye(n_types)[cluster])


def fit_groups(
    method: Method,
    policies: Sequence[AdapterPolicy],
    train: AnswerSet,
    held_out: AnswerSet,
    settings: GroupSettings,
    stream: Stream,
    *,
    features: Callable[[], FloatArray],
    truth: Sequence[str] = (),
    on_round: Callable[[RoundRecord], None] = lambda row: None,
) -> GroupFit:
    """Fit one adapter a group, in place.

    features: embedding of each chosen response (n, d), asked for only by clusters.  truth: group names, used for a
    line of the record (adjusted Rand index) and never by the fit.
    """
    start, estep = _start(method, len(policies), train, settings, stream, features)
    watch = _Watch(policies, held_out, settings.patience, truth, on_round)
    result = em_dpo(
        train.pairs, policies, start=start, estep=estep, max_rounds=settings.rounds, tolerance=settings.tolerance,
        # The halves of a cross-fit change every round, so an M-step is not judged on the answers it was given.
        guard=not (settings.estep == "crossfit" and method == "em-dpo"),
        stream=stream, on_round=watch,
    )  # fmt: skip
    best = watch.best
    assert best is not None, "em_dpo reports at least one round"
    for policy, state in zip(policies, best.states, strict=True):
        policy.restore(state)
    return GroupFit(
        policies=tuple(policies),
        mixture=best.mixture,
        responsibilities=best.responsibilities,
        held_out=best.held_out,
        best_round=best.number,
        status=result.status.value,
        rounds=tuple(watch.record),
    )


def _start(
    method: Method, n_types: int, train: AnswerSet, settings: GroupSettings, stream: Stream,
    features: Callable[[], FloatArray],
) -> tuple[FloatArray | Posterior, EStep]:  # fmt: skip
    """What EM begins with, and its E-step."""
    estep: EStep = hard_posterior if settings.estep == "hard" else soft_posterior
    start: FloatArray | Posterior
    if method == "cluster-dpo" or (settings.start == "clusters" and n_types > 1):
        start = cluster_annotators(train, features(), n_types, stream)
    else:
        start = random_split(train.pairs.n_annotators, n_types, stream.child("start"))
    if method == "cluster-dpo":
        return start, Fixed(start)
    if settings.estep == "crossfit" and method == "em-dpo":
        crossed = CrossFit(train.pairs.annotator, stream)
        return crossed.first(start, train.pairs.annotator), crossed
    return start, estep


class _Watch:
    """Called after each round: keeps the record and the best round so far, and says when to stop."""

    def __init__(
        self,
        policies: Sequence[AdapterPolicy],
        held_out: AnswerSet,
        patience: int,
        truth: Sequence[str],
        on_round: Callable[[RoundRecord], None],
    ) -> None:
        self._policies, self._held_out, self._patience = policies, held_out, patience
        self._truth, self._on_round = truth, on_round
        self.record: list[RoundRecord] = []
        self.best: _BestRound | None = None

    def __call__(self, current: EMRound) -> bool:
        gamma = current.posterior.responsibilities
        held_out = self._held_out
        score = float(predictive(self._policies, gamma, held_out).mean()) if len(held_out) else float("nan")
        row = RoundRecord(
            round=current.number,
            mixture=tuple(gamma.mean(axis=0).tolist()),
            log_likelihood=current.posterior.log_likelihood,
            held_out_log_likelihood=score if math.isfinite(score) else None,
            undone=tuple(current.undone),
            entropy=float(-(gamma * np.log(np.maximum(gamma, 1e-300))).sum(axis=1).mean()),
            adjusted_rand_index=adjusted_rand_index(self._truth, gamma) if any(self._truth) else None,
        )
        self.record.append(row)
        self._on_round(row)
        # Without held-out answers every round counts as better: the last one is kept.
        if self.best is None or not math.isfinite(score) or score > self.best.held_out:
            states = tuple(policy.snapshot() for policy in self._policies)
            self.best = _BestRound(score, current.number, gamma.mean(axis=0), gamma, states)
        return current.number - self.best.number >= self._patience


def adjusted_rand_index(truth: Sequence[str], responsibilities: FloatArray) -> float:
    """Agreement of the most probable groups with known ones (scikit-learn); 1 is equal, 0 is chance."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(list(truth), responsibilities.argmax(axis=1)))
