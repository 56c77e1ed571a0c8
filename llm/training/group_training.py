"""EM-DPO, Cluster-DPO and pooled DPO over adapters: one driver, three E-steps.

The recursion is `sim.algorithms.em_dpo`; here it is given adapters, held-out answers to stop on, and a record.
Pooled DPO is one type, Cluster-DPO fixed responsibilities: all three make their fits by the same
rules (schedule, passes until a fit settles, guard), so that what differs between them is the grouping alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np

from llm.data.answer_sets import AnswerSet, TextPreferences
from llm.training.adapter_policy import AdapterPolicy
from llm.training.heads_start import HeadAnswers, HeadsStart, heads_start, leading_features
from sim.algorithms.cluster_dpo import mean_chosen_features
from sim.algorithms.cross_fit import CrossFit, Fixed
from sim.algorithms.em_dpo import (
    EMRound,
    EMStatus,
    EStep,
    FitAll,
    Posterior,
    em_dpo,
    hard_posterior,
    random_split,
    soft_posterior,
)
from sim.algorithms.k_means import k_means
from sim.algorithms.prompt_laws import PromptLaws
from sim.answer_kinds.response_choices import ResponseChoices, choices_of_pairs
from sim.partitions import known_rand_index
from sim.policies.protocol import choice_log_likelihood
from sim.preferences import FloatArray, IntArray, PreferencePairs
from sim.streams import Stream
from sim.weighted_means import mean_of

# What to do, in the words of these settings.
_LIMIT = "the round limit was reached first; raise groups.rounds"

Method = Literal["em-dpo", "cluster-dpo", "dpo", "group-dpo"]
# One policy for all.
SINGLE: tuple[Method, ...] = ("dpo", "group-dpo")


@dataclass(frozen=True)
class GroupSettings:
    """types: number of groups, None to choose it by held-out likelihood among 1..max_types.

    rounds: EM rounds after the start (for clusters and pooled DPO: as many further fits).
    estep: soft, hard (classification EM) or crossfit (scores the half of the answers just not trained on).
    start: groups from linear heads on the base's hidden states (see `heads_start`; `restarts` of them a strength of
    the ridge), a random split, k-means clusters of what annotators chose, or who is served best by which of the
    adapters that `lora.start` gives, one a group.
    patience: rounds without a better likelihood of held-out answers to prompts that were seen, before training stops;
    the best round is kept.
    tolerance: relative change of the likelihood that counts as converged.
    prompt_laws: None where every type meets the same prompts; else types' laws over prompts are estimated too, and
    this is the strength of their prior, in answers a type (see `PromptLaws`).
    weight_step: of group-dpo, the step of the known groups' weights (see `RobustObjective`); 0 keeps them alike.
    """

    types: int | None = 2
    max_types: int = 4
    rounds: int = 8
    estep: Literal["soft", "hard", "crossfit"] = "soft"
    start: Literal["heads", "random", "clusters", "adapters"] = "heads"
    restarts: int = 10
    patience: int = 3
    tolerance: float = 1e-4
    embedding: str = "hidden"
    prompt_laws: float | None = None
    weight_step: float = 0.1

    def __post_init__(self) -> None:
        if self.prompt_laws is not None and not self.prompt_laws > 0:
            raise ValueError(f"groups.prompt_laws must be positive, or null (got {self.prompt_laws})")
        if not 0 <= self.weight_step < math.inf:
            raise ValueError(f"groups.weight_step must be finite and not negative (got {self.weight_step})")
        if (self.types is not None and self.types < 1) or self.max_types < 1:
            raise ValueError(
                f"groups.types and groups.max_types must be at least 1 (got {self.types}, {self.max_types})"
            )
        if self.start == "adapters" and self.estep == "crossfit":
            raise ValueError("groups.start=adapters begins with an E-step, which groups.estep=crossfit has none of yet")
        if self.restarts < 1:
            raise ValueError(f"groups.restarts must be at least 1 (got {self.restarts})")
        if self.rounds < 0 or self.patience < 1 or self.tolerance < 0:
            raise ValueError(
                f"groups.rounds and tolerance must not be negative, patience at least 1 (got {self.rounds}, "
                f"{self.tolerance}, {self.patience})"
            )


class Embeddings(Protocol):
    """Embeddings of responses: of those chosen (n, d), and of any by context and response (n, d)."""

    def chosen(self, answers: AnswerSet) -> FloatArray: ...

    def of(self, contexts: IntArray, responses: IntArray) -> FloatArray: ...


@dataclass(frozen=True)
class GroupRecord:
    """A known group in group-dpo: its weight alpha, and mean nats a training answer of its, a held-out one to prompts
    that were seen, and one to new prompts (None where there is none)."""

    name: str
    weight: float
    log_likelihood: float
    held_out_log_likelihood: float | None
    new_prompts_log_likelihood: float | None


@dataclass(frozen=True)
class RoundRecord:
    """One round: shares (K,), log-likelihood of the training answers (nats), mean nats a held-out answer to prompts
    that were seen and to new prompts (None where nothing is held out), whose step the guard took back (K,), and mean
    entropy of the responsibilities (nats).

    adjusted_rand_index: against known groups, of those whose group is known; None (and left out of the record) where
    none is.
    groups: the known groups that group-dpo serves (left out where there are none).
    """

    round: int
    mixture: tuple[float, ...]
    log_likelihood: float
    held_out_log_likelihood: float | None
    new_prompts_log_likelihood: float | None
    undone: tuple[bool, ...]
    entropy: float
    constants: tuple[float, ...] = ()
    adjusted_rand_index: float | None = None
    groups: tuple[GroupRecord, ...] = ()

    def as_json(self) -> dict[str, Any]:
        row = asdict(self)
        if self.adjusted_rand_index is None:
            del row["adjusted_rand_index"]
        for name in ("constants", "groups"):
            if not row[name]:
                del row[name]
        return row


@dataclass(frozen=True, eq=False)
class _BestRound:
    """The round to go back to."""

    judged: float
    held_out: float
    new_prompts: float
    number: int
    mixture: FloatArray
    responsibilities: FloatArray
    constants: FloatArray
    states: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class GroupFit:
    """Policies of the best round, their mixture (K,), responsibilities (n_annotators, K), and the rounds' record.

    held_out, new_prompts: mean nats a held-out answer to prompts that were seen, and to new ones, at the best round
    (nan where nothing is held out).  constants: of answers that are not pairs.  heads: how the start was found, if so.
    groups: known ones, of group-dpo.
    """

    policies: tuple[AdapterPolicy, ...]
    mixture: FloatArray
    responsibilities: FloatArray
    held_out: float
    new_prompts: float
    best_round: int
    status: str
    rounds: tuple[RoundRecord, ...]
    constants: FloatArray
    heads: HeadsStart | None = None
    groups: tuple[GroupRecord, ...] = ()

    @property
    def judged(self) -> float:
        """What chose the round: `held_out`, or `new_prompts` where no answer to a prompt that was seen is held out."""
        return self.held_out if math.isfinite(self.held_out) else self.new_prompts


def predictive(
    policies: Sequence[AdapterPolicy], responsibilities: FloatArray, answers: AnswerSet, constants: FloatArray
) -> FloatArray:
    """log sum_k gamma_ik p_k(answer j) for each new answer j of a known annotator i; (n,), nats.

    constants: of answers that are not pairs, see `ResponseChoices`.
    """
    own = answers.observations
    if isinstance(own, ResponseChoices):
        own = replace(own, constants=constants)
    columns = np.stack([choice_log_likelihood(policy, own) for policy in policies], axis=1)
    with np.errstate(divide="ignore"):
        joint = np.log(responsibilities[answers.pairs.annotator]) + columns
    return np.asarray(np.logaddexp.reduce(joint, axis=1))


def cluster_annotators(train: AnswerSet, features: FloatArray, n_types: int, stream: Stream) -> FloatArray:
    """One-hot responsibilities of k-means on each annotator's mean chosen embedding; (n_annotators, K)."""
    pairs = train.pairs
    points = mean_chosen_features(features, pairs.annotator, pairs.n_annotators, pairs.weights)
    cluster, _ = k_means(points, n_types, stream.child("k-means"))
    return np.asarray(np.eye(n_types)[cluster])


def fit_groups(
    method: Method,
    policies: Sequence[AdapterPolicy],
    data: TextPreferences,
    settings: GroupSettings,
    stream: Stream,
    *,
    features: Embeddings,
    fit_all: FitAll | None = None,
    truth: Sequence[str] = (),
    on_start: Callable[[HeadsStart], None] = lambda heads: None,
    on_round: Callable[[RoundRecord], None] = lambda row: None,
) -> GroupFit:
    """Fit one adapter a group, in place; group-dpo, whose groups are known, is `fit_robustly`.

    features: embeddings of responses, asked for only by heads and clusters.  truth: group names, used for a line of the
    record (adjusted Rand index) and never by the fit.  fit_all: fits the policies at once, see `em_dpo`.
    """
    train = data.train
    prompts = None
    if settings.prompt_laws is not None and method == "em-dpo":
        prompts = PromptLaws(np.unique(train.prompts, return_inverse=True)[1], settings.prompt_laws)
    start, estep, heads = _start(method, len(policies), data, settings, stream, features, prompts)
    if heads is not None:
        on_start(heads)
    watch = _Watch(policies, data, settings.patience, truth, on_round)
    result = em_dpo(
        train.observations, policies, start=start, estep=estep, max_rounds=settings.rounds,
        tolerance=settings.tolerance,
        # The halves of a cross-fit change every round, so an M-step is not judged on the answers it was given.
        guard=not (settings.estep == "crossfit" and method == "em-dpo"),
        stream=stream, prompts=prompts, fit_all=fit_all, on_round=watch,
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
        new_prompts=best.new_prompts,
        best_round=best.number,
        status=_LIMIT if result.status is EMStatus.MAX_ROUNDS else result.status.value,
        rounds=tuple(watch.record),
        constants=best.constants,
        heads=heads,
    )


def _start(
    method: Method, n_types: int, data: TextPreferences, settings: GroupSettings, stream: Stream, features: Embeddings,
    prompts: PromptLaws | None,
) -> tuple[FloatArray | Posterior | Literal["policies"], EStep, HeadsStart | None]:  # fmt: skip
    """What EM begins with, its E-step, and the linear heads that gave the start."""
    estep: EStep = hard_posterior if settings.estep == "hard" else soft_posterior
    start: FloatArray
    train, heads = data.train, None
    if settings.start == "adapters" and method == "em-dpo" and n_types > 1:
        return "policies", estep, None
    if method == "cluster-dpo" or (settings.start == "clusters" and n_types > 1):
        start = cluster_annotators(train, features.chosen(train), n_types, stream)
    elif settings.start == "heads" and n_types > 1:
        told = leading_features(_head_answers(train, features), _head_answers(data.held_out, features))
        heads = heads_start(*told, n_types, settings.restarts, stream, prompts=prompts)
        start = heads.responsibilities
    else:
        start = random_split(train.pairs.n_annotators, n_types, stream.child("start"))
    if method == "cluster-dpo":
        return start, Fixed(start), heads
    if settings.estep == "crossfit" and method == "em-dpo":
        crossed = CrossFit(train.pairs.annotator, stream, train.questions)
        return crossed.first(start, train.pairs.annotator), crossed, heads
    return start, estep, heads


def _head_answers(answers: AnswerSet, features: Embeddings) -> HeadAnswers:
    own = answers.observations
    choices = choices_of_pairs(own) if isinstance(own, PreferencePairs) else own
    return HeadAnswers(choices, features.of(choices.contexts, choices.responses))


class _Watch:
    """Called after each round: keeps the record and the best round so far, and says when to stop."""

    def __init__(
        self,
        policies: Sequence[AdapterPolicy],
        data: TextPreferences,
        patience: int,
        truth: Sequence[str],
        on_round: Callable[[RoundRecord], None],
    ) -> None:
        self._policies, self._data, self._patience = policies, data, patience
        self._truth, self._on_round = truth, on_round
        self.record: list[RoundRecord] = []
        self.best: _BestRound | None = None

    def __call__(self, current: EMRound) -> bool:
        gamma = current.posterior.responsibilities
        constants = current.constants
        seen, new = (
            self._score(gamma, answers, constants) for answers in (self._data.held_out, self._data.new_prompts)
        )
        score = seen if math.isfinite(seen) else new
        row = RoundRecord(
            round=current.number,
            mixture=tuple(gamma.mean(axis=0).tolist()),
            log_likelihood=current.posterior.log_likelihood,
            held_out_log_likelihood=seen if math.isfinite(seen) else None,
            new_prompts_log_likelihood=new if math.isfinite(new) else None,
            undone=tuple(current.undone),
            constants=tuple(constants.tolist()),
            entropy=float(-(gamma * np.log(np.maximum(gamma, 1e-300))).sum(axis=1).mean()),
            adjusted_rand_index=known_rand_index(self._truth, gamma.argmax(axis=1)) if self._truth else None,
        )
        self.record.append(row)
        self._on_round(row)
        # Without held-out answers every round counts as better: the last one is kept.
        if self.best is None or not math.isfinite(score) or score > self.best.judged:
            states = tuple(policy.snapshot() for policy in self._policies)
            self.best = _BestRound(score, seen, new, current.number, gamma.mean(axis=0), gamma, constants, states)
        return current.number - self.best.number >= self._patience

    def _score(self, responsibilities: FloatArray, answers: AnswerSet, constants: FloatArray) -> float:
        """Mean nats an answer, each as often as its weight says; nan where there is none."""
        if not len(answers):
            return math.nan
        return mean_of(predictive(self._policies, responsibilities, answers, constants), answers.pairs.weights)
