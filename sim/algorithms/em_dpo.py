"""EM-DPO: a policy for each unobserved type of annotator (arXiv 2405.15065, Algorithm 1).

The recursion is written once, over `PreferencePolicy`; `em_log_linear` is the same recursion compiled for
log-linear policies and tested equal to this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeAlias

import numpy as np

from sim.algorithms.prompt_laws import PromptLaws, RunningLaws
from sim.answer_kinds.response_choices import ResponseChoices
from sim.arguments import float_array, require_count, require_not_negative
from sim.policies.protocol import Penalised, PreferencePolicy, Restorable, choice_log_likelihood
from sim.preferences import FloatArray, IntArray, Observations
from sim.restarts import first_best
from sim.streams import Stream

_SMALLEST_SHARE = 1e-300
_NONE: FloatArray = np.zeros(0)
_NONE.flags.writeable = False


class EMStatus(Enum):
    """How EM ended; each value says what to do."""

    CONVERGED = "the penalised likelihood changes by less than its tolerance"
    MAX_ROUNDS = "the round limit was reached first; raise max_rounds or the tolerance"
    STOPPED = "the caller's on_round asked for the end"


@dataclass(frozen=True, eq=False)
class Posterior:
    """An E-step's result.

    responsibilities: (n_annotators, K), rows sum to 1.  answer_weights: (n, K), the weight of each answer
    in each M-step.  log_likelihood: observed, nats.
    """

    responsibilities: FloatArray
    answer_weights: FloatArray
    log_likelihood: float


@dataclass(frozen=True, eq=False)
class EMRound:
    """What `on_round` sees after each E-step; round 0 is the start. `penalised` and the posterior belong to
    the policies as they are at that moment, `mixture` (K,) is what their E-step used, `undone` says which
    M-steps of this round the guard undid (K,).  constants: of `ResponseChoices`, as that E-step used them."""

    number: int
    mixture: FloatArray
    posterior: Posterior
    penalised: float
    undone: tuple[bool, ...]
    constants: FloatArray = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, eq=False)
class EMResult:
    """mixture (K,), responsibilities (n_annotators, K) of the returned policies, traces a round (nats).

    `log_likelihood[t]` and `penalised[t]` belong to the policies before round t's M-step; the last entries
    belong to the returned ones.  `kept` counts M-steps that the guard undid.  constants: of `ResponseChoices`, what
    their answers share beside rewards (thresholds of ordered levels, the constant of ties).
    prompt_laws: (n_prompts, K), where `prompts` were given; (0, K) else.
    """

    policies: tuple[PreferencePolicy, ...]
    mixture: FloatArray
    responsibilities: FloatArray
    log_likelihood: FloatArray
    penalised: FloatArray
    kept: int
    status: EMStatus
    constants: FloatArray = field(default_factory=lambda: _NONE)
    prompt_laws: FloatArray = field(default_factory=lambda: _NONE)

    @property
    def rounds(self) -> int:
        return len(self.penalised) - 1


# Fits all policies to the answers, each with its own weights of them; (n, K).
FitAll: TypeAlias = Callable[[Any, FloatArray], None]
EStep: TypeAlias = Callable[[FloatArray, IntArray, int, FloatArray], Posterior]


def annotator_scores(answers: FloatArray, annotator: IntArray, n_annotators: int) -> FloatArray:
    """S[i, k] = sum of log-likelihoods of annotator i's answers under policy k; (n, K) -> (n_annotators, K)."""
    return np.stack([np.bincount(annotator, weights=column, minlength=n_annotators) for column in answers.T], axis=1)


def soft_posterior(answers: FloatArray, annotator: IntArray, n_annotators: int, mixture: FloatArray) -> Posterior:
    """gamma_ik proportional to eta_k exp(S_ik), one posterior an annotator (Appendix C, as corrected).

    answers: (n, K) log-likelihoods (already weighted).  The printed numerator keeps p(X | z); it cancels
    because contexts do not depend on the type (Assumption 1); where they do, see `PromptLaws`.
    """
    joint = annotator_scores(answers, annotator, n_annotators) + np.log(np.maximum(mixture, _SMALLEST_SHARE))
    total = np.logaddexp.reduce(joint, axis=1)
    responsibilities = np.exp(joint - total[:, None])
    return Posterior(responsibilities, responsibilities[annotator], float(total.sum()))


def hard_posterior(answers: FloatArray, annotator: IntArray, n_annotators: int, mixture: FloatArray) -> Posterior:
    """Each annotator wholly to her most probable type (classification EM); ties go to the first type."""
    soft = soft_posterior(answers, annotator, n_annotators, mixture)
    hard = np.eye(len(mixture))[soft.responsibilities.argmax(axis=1)]
    return Posterior(hard, hard[annotator], soft.log_likelihood)


def random_split(n_annotators: int, n_types: int, stream: Stream) -> FloatArray:
    """One-hot responsibilities of a random split into equal parts; (n_annotators, n_types).

    Policies that all start at the reference give every answer probability 1/2, so the first E-step would
    be exactly uniform and EM would never move: some split is mandatory (the paper does not say so).
    """
    require_count("n_annotators", n_annotators)
    require_count("n_types", n_types)
    if n_types > n_annotators:
        raise ValueError(f"n_types must not exceed the {n_annotators} annotators (got {n_types})")
    place = stream.permutation(n_annotators)
    return np.asarray(np.eye(n_types)[place % n_types])


# Long for its docstring and its arguments; what is left reads as the algorithm's steps.
def em_dpo(
    observations: Observations | ResponseChoices,
    policies: Sequence[PreferencePolicy],
    *,
    start: FloatArray | Posterior | Literal["policies"] | None = None,
    estep: EStep = soft_posterior,
    max_rounds: int = 100,
    tolerance: float = 1e-6,
    guard: bool = True,
    stream: Stream | None = None,
    prompts: PromptLaws | None = None,
    fit_all: FitAll | None = None,
    on_round: Callable[[EMRound], bool] | None = None,
) -> EMResult:
    """Fit one policy a type by EM, in place (arXiv 2405.15065, Algorithm 1).

    E-step: gamma_ik proportional to eta_k prod_{j of i} p_k(answer j);  M-step: eta_k = mean_i gamma_ik and
    phi_k = argmax sum_j gamma_{i(j) k} log p_k(answer j) - penalty_k, then thresholds and tie constants that answers
    share, given the policies (`ResponseChoices.refined`).  (The paper prints argmin in section 4
    and divides eta by |H|; both are slips.)

    start: (n_annotators, K) responsibilities for a first M-step (a `Posterior` where answers weigh differently,
    as in cross-fitting); "policies" to begin with an E-step from the policies as they are; None for a random
    split drawn from `stream`.
    guard: an M-step that lowers its own objective Q_k is undone (generalised EM), which keeps the penalised
    likelihood monotone for inexact solvers. It needs policies with snapshot and restore.
    prompts: where types may meet different prompts; their laws are estimated too and enter the E-step and the
    likelihood, which is then that of prompts and answers (relative to prompts by their frequencies).
    fit_all: fits all policies at once, in place (None: one after the other).
    Stops when the penalised likelihood changes by at most tolerance * max(1, |penalised|), or when
    `on_round`, called after each E-step, returns True (early stopping on held-out answers).
    """
    n_types, weights = len(policies), observations.pair_weights()
    annotator, n_annotators = observations.annotator, observations.n_annotators
    if n_types < 1:
        raise ValueError("policies must hold at least one policy, one a type (got none)")
    require_count("max_rounds", max_rounds, 0)
    require_not_negative(tolerance=tolerance)
    mixture = np.full(n_types, 1.0 / n_types)
    kept = 0

    def scores() -> FloatArray:
        columns = [choice_log_likelihood(policy, observations) for policy in policies]
        return np.stack(columns, axis=1) * weights[:, None]

    first: Posterior | None = None
    if start is None or not isinstance(start, str):
        if start is None:
            start = random_split(n_annotators, n_types, stream or Stream())
        given = start.responsibilities if isinstance(start, Posterior) else start
        float_array("start", given, (n_annotators, n_types))
        first = start if isinstance(start, Posterior) else Posterior(start, start[annotator], np.nan)
        mixture = first.responsibilities.mean(axis=0)
        if fit_all is not None:
            fit_all(observations, weights[:, None] * first.answer_weights)
        else:
            for k, policy in enumerate(policies):
                policy.fit(observations, weights * first.answer_weights[:, k])
        observations = _refined(observations, policies, first, weights)
    answers = scores()
    laws = RunningLaws(prompts, weights, n_types)
    if first is not None:
        laws.fit(first.answer_weights)
    posterior = estep(answers + laws.scores, annotator, n_annotators, mixture)
    likelihood = [posterior.log_likelihood]
    penalised = [posterior.log_likelihood - _penalty(policies, posterior, weights) - laws.penalty]
    status = EMStatus.MAX_ROUNDS
    undone: tuple[bool, ...] = (False,) * n_types
    for number in range(max_rounds + 1):
        if on_round is not None and on_round(EMRound(
            number, mixture, posterior, penalised[-1], undone, constants_of(observations)
        )):  # fmt: skip
            status = EMStatus.STOPPED
            break
        if number > 0 and abs(penalised[-1] - penalised[-2]) <= tolerance * max(1.0, abs(penalised[-1])):
            status = EMStatus.CONVERGED
            break
        if number == max_rounds:
            break
        mixture = posterior.responsibilities.mean(axis=0)
        undone = _maximise(observations, policies, posterior, answers, weights, guard, fit_all)
        kept += sum(undone)
        observations = _refined(observations, policies, posterior, weights)
        answers = scores()
        laws.fit(posterior.answer_weights)
        posterior = estep(answers + laws.scores, annotator, n_annotators, mixture)
        likelihood.append(posterior.log_likelihood)
        penalised.append(posterior.log_likelihood - _penalty(policies, posterior, weights) - laws.penalty)
    return EMResult(
        policies=tuple(policies),
        mixture=mixture,
        responsibilities=posterior.responsibilities,
        log_likelihood=np.array(likelihood),
        penalised=np.array(penalised),
        kept=kept,
        status=status,
        constants=constants_of(observations),
        prompt_laws=laws.laws,
    )


def constants_of(observations: Observations | ResponseChoices) -> FloatArray:
    """What answers share beside rewards; none but of `ResponseChoices`."""
    return observations.constants if isinstance(observations, ResponseChoices) else _NONE


def _refined(
    observations: Observations | ResponseChoices, policies: Sequence[PreferencePolicy], posterior: Posterior,
    weights: FloatArray,
) -> Observations | ResponseChoices:  # fmt: skip
    """With the constants that are best for the policies as they are: the second half of an M-step (ECM)."""
    if not isinstance(observations, ResponseChoices):
        return observations
    return observations.refined(policies, posterior.answer_weights * weights[:, None])


def _maximise(
    observations: Observations | ResponseChoices,
    policies: Sequence[PreferencePolicy],
    posterior: Posterior,
    answers: FloatArray,
    weights: FloatArray,
    guard: bool,
    fit_all: FitAll | None,
) -> tuple[bool, ...]:
    """One weighted fit a policy; says of each whether the guard undid it. answers: (n, K), weighted."""

    def steps(k: int) -> Iterator[FloatArray | bool]:
        """The weights that policy k is to be fitted with, then whether that fit was undone."""
        policy, share = policies[k], posterior.answer_weights[:, k]
        mass = float(weights @ share)
        guarded = guard and isinstance(policy, Restorable)
        before = policy.snapshot() if guarded else None  # type: ignore[attr-defined]  # narrowed by `guarded`
        old = float(share @ answers[:, k]) - _penalty_of(policy, mass)
        yield weights * share
        worse = False
        if guarded:
            new = float((weights * share) @ choice_log_likelihood(policy, observations))
            worse = new - _penalty_of(policy, mass) < old
        if worse:
            policy.restore(before)  # type: ignore[attr-defined]  # narrowed by `guarded`
        # Where one policy is fitted after the other only one copy is held at a time.
        del before
        yield worse

    undone = []
    every = [steps(k) for k in range(len(policies))]
    if fit_all is not None:
        fit_all(observations, np.stack([np.asarray(next(own)) for own in every], axis=1))
    for policy, own in zip(policies, every, strict=True):
        if fit_all is None:
            policy.fit(observations, np.asarray(next(own)))
        undone.append(bool(next(own)))
    return tuple(undone)


def _penalty_of(policy: PreferencePolicy, mass: float) -> float:
    return policy.penalty(mass) if isinstance(policy, Penalised) else 0.0


def _penalty(policies: Sequence[PreferencePolicy], posterior: Posterior, weights: FloatArray) -> float:
    mass = weights @ posterior.answer_weights
    return sum(_penalty_of(policy, float(m)) for policy, m in zip(policies, mass, strict=True))


def em_dpo_restarts(
    observations: Observations,
    make_policies: Callable[[Stream], Sequence[PreferencePolicy]],
    *,
    restarts: int,
    stream: Stream,
    estep: EStep = soft_posterior,
    max_rounds: int = 100,
    tolerance: float = 1e-6,
    guard: bool = True,
    prompts: PromptLaws | None = None,
) -> tuple[EMResult, FloatArray]:
    """The best of several random splits by penalised likelihood, and all their final values (restarts,).

    `make_policies(stream)` gives fresh policies for one restart; EM reaches only a local optimum, so one
    start is a gamble (soft responsibilities from a Dirichlet lose a group in a fifth of runs).
    """
    require_count("restarts", restarts)
    best: EMResult | None = None
    reached = np.empty(restarts)
    for r in range(restarts):
        own = stream.child(f"restart/{r}")
        result = em_dpo(
            observations,
            make_policies(own),
            estep=estep,
            max_rounds=max_rounds,
            tolerance=tolerance,
            guard=guard,
            stream=own,
            prompts=prompts,
        )
        reached[r] = result.penalised[-1]
        # Of two that end alike the first.
        if best is None or first_best(np.array([best.penalised[-1], reached[r]])) == 1:
            best = result
    assert best is not None
    return best, reached
