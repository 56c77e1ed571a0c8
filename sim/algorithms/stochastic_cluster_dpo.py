"""ClusterDPO by stochastic alternation: a few annotators and a few steps a round, no reward model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from sim.arguments import require_count
from sim.policies.protocol import PreferencePolicy, choice_log_likelihood
from sim.preferences import FloatArray, IntArray, PreferencePairs
from sim.streams import Stream


@runtime_checkable
class Ascending(Protocol):
    """A policy that can take a few ascent steps on the weighted DPO objective instead of solving it."""

    def ascend(self, pairs: PreferencePairs, weights: FloatArray, steps: int) -> None: ...


def stochastic_cluster_dpo(
    policies: Sequence[PreferencePolicy],
    pairs: PreferencePairs,
    rounds: int,
    stream: Stream,
    *,
    steps: int = 3,
    on_round: Callable[[IntArray], None] = lambda labels: None,
) -> IntArray:
    """Algorithm 6: policies are fitted in place; returns each annotator's cluster, (n_annotators,).

    [arXiv 2405.00254, Algorithm 6]  Start: K annotators, one policy each; the others' clusters are random. A round
    draws K annotators without replacement (the paper leaves duplicates open), moves each to the cluster that explains
    her answers best, and takes `steps` ascent steps on every cluster that was drawn (a cluster nobody drew is left
    alone). At the end every annotator goes to her best cluster. Nothing makes the objective rise from round to round;
    Algorithm 3 does. A policy that cannot `ascend` is fitted (an adapter's fit continues from where it is).
    on_round(labels) after every round.
    """
    K, N = len(policies), pairs.n_annotators
    if not 1 <= K <= N:
        raise ValueError(f"policies must be between 1 and {N}, the number of annotators (got {K})")
    require_count("rounds", rounds, 0)
    require_count("steps", steps)
    weights = pairs.pair_weights()

    def scores() -> FloatArray:
        """(N, K) log-likelihood of each annotator's answers under each policy."""
        columns = [weights * choice_log_likelihood(policy, pairs) for policy in policies]
        return np.stack([np.bincount(pairs.annotator, weights=column, minlength=N) for column in columns], axis=1)

    labels = stream.child("labels").integers(K, N)
    first = stream.child("first").permutation(N)[:K]
    for s, annotator in enumerate(first):
        labels[annotator] = s
        policies[s].fit(pairs, weights * (pairs.annotator == annotator))
    for t in range(rounds):
        drawn = stream.child(f"round/{t}").permutation(N)[:K]
        labels[drawn] = scores()[drawn].argmax(axis=1)
        for s, policy in enumerate(policies):
            own = weights * np.isin(pairs.annotator, drawn[labels[drawn] == s])
            if not own.any():
                continue
            if isinstance(policy, Ascending):
                policy.ascend(pairs, own, steps)
            else:
                policy.fit(pairs, own)
        on_round(labels.copy())
    labels = scores().argmax(axis=1)
    on_round(labels.copy())
    return np.asarray(labels, dtype=np.int64)
