"""What an algorithm may ask of a policy."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from sim.answer_kinds.response_choices import ResponseChoices
from sim.likelihoods import log_sigmoid, plackett_luce_log_likelihood
from sim.preferences import AnyArray, FloatArray, Observations, PreferencePairs
from sim.streams import Stream


@runtime_checkable
class PreferencePolicy(Protocol):
    """A policy pi with a fixed reference pi_ref and a temperature beta, seen through its numbers.

    The reference is pi_SFT for the whole of EM, never the last round's policy.
    """

    def implicit_reward(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """beta log(pi / pi_ref) at each row, up to a term that depends on the context alone; (n,)."""
        ...

    def fit(self, observations: Any, weights: FloatArray) -> None:
        """Weighted DPO (pairs), its Plackett-Luce form (rankings) or that of any kind of answer (`ResponseChoices`), in
        place; weights (n,).  A policy says which of them it takes, and raises TypeError for the others."""
        ...

    def sample(self, contexts: AnyArray, stream: Stream) -> AnyArray:
        """One response drawn from pi at each context."""
        ...


@runtime_checkable
class Restorable(Protocol):
    """A policy whose state can be put back: what the guard of generalised EM needs."""

    def snapshot(self) -> Any: ...

    def restore(self, state: Any) -> None: ...


@runtime_checkable
class Penalised(Protocol):
    """A policy fitted with a ridge: `penalty(group_mass)` is the term subtracted from the log-likelihood."""

    def penalty(self, group_mass: float) -> float: ...


@runtime_checkable
class ScoredPolicy(Protocol):
    """A policy with log-probabilities: what discrepancies and mixtures need."""

    def log_ratio(self, contexts: AnyArray, responses: AnyArray) -> FloatArray:
        """log(pi / pi_ref), exact; (n,)."""
        ...

    def sample(self, contexts: AnyArray, stream: Stream) -> AnyArray: ...


@runtime_checkable
class FinitePolicy(ScoredPolicy, Protocol):
    """A policy over finitely many responses, where expectations are sums and not samples."""

    def log_probabilities(self, contexts: AnyArray) -> FloatArray:
        """log pi(a | context) for every action; (n, n_actions)."""
        ...

    def reference_log_probabilities(self, contexts: AnyArray) -> FloatArray:
        """log pi_ref(a | context); (n, n_actions)."""
        ...


def choice_log_likelihood(policy: PreferencePolicy, observations: Observations | ResponseChoices) -> FloatArray:
    """Log-likelihood of each answer under `policy`; (n,), nats.

    Pairs: log sigma(u_chosen - u_rejected).  Rankings (Plackett-Luce): the sum over the ranked places s of
    u_s - logsumexp of u over the responses not placed before s.  With two responses both are the same.  Answers of
    other kinds: see `ResponseChoices`.
    """
    if isinstance(observations, ResponseChoices):
        return observations.folded(observations.rewards_of(policy))
    if isinstance(observations, PreferencePairs):
        margin = policy.implicit_reward(observations.contexts, observations.chosen)
        margin = margin - policy.implicit_reward(observations.contexts, observations.rejected)
        return log_sigmoid(margin)
    offered = observations.responses.shape[1]
    utility = np.stack(
        [policy.implicit_reward(observations.contexts, observations.responses[:, s]) for s in range(offered)],
        axis=1,
    )
    return plackett_luce_log_likelihood(utility, observations.n_ranked)
