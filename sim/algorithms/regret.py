"""Discrepancies between groups' policies, and the regret matrix of the ensemble game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, probability_array, require_count, require_positive, require_shape
from sim.policies.protocol import FinitePolicy, ScoredPolicy
from sim.preferences import AnyArray, FloatArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class RegretMatrix:
    """The game between a group (row, maximises) and a policy (column, minimises).

    values: (K + 1, K), row 0 the zero row of z0, row 1 + z = beta c_z (L[z, z] - L[z, k]).
    discrepancy: L (K, K).  standard_error: (K + 1, K), zero where L is exact.
    """

    values: FloatArray
    discrepancy: FloatArray
    standard_error: FloatArray
    beta: float
    priorities: FloatArray

    def of_groups(self, weights: FloatArray) -> FloatArray:
        """Each group's own regret under the ensemble, priorities divided out; (K,), reward units."""
        return np.asarray((self.values[1:] @ weights) / self.priorities)


def discrepancy(
    policies: Sequence[FinitePolicy], contexts: AnyArray, probabilities: FloatArray | None = None
) -> FloatArray:
    """L[z, k] = E_x E_{y ~ pi_k} log(pi_z / pi_ref)(y | x), exact over actions; (K, K).

    probabilities: (n,) weights of the contexts, equal if None.  (arXiv 2405.15065, Appendix E.)
    """
    if not policies:
        raise ValueError("policies must hold at least one policy, one a group (got none)")
    if probabilities is not None:
        probability_array("probabilities", probabilities, (len(contexts),))
    log_p = np.stack([policy.log_probabilities(contexts) for policy in policies])
    log_reference = policies[0].reference_log_probabilities(contexts)
    share = np.full(len(contexts), 1.0 / len(contexts)) if probabilities is None else probabilities
    return np.asarray(np.einsum("n,kna,zna->zk", share, np.exp(log_p), log_p - log_reference, optimize=True))


def discrepancy_sampled(
    policies: Sequence[ScoredPolicy], contexts: AnyArray, stream: Stream, samples: int = 1
) -> tuple[FloatArray, FloatArray]:
    """L by sampling `samples` responses a context from each pi_k, and its standard error; (K, K) twice.

    Responses must come from pi_k: averaging over the annotated ones, which the reference wrote, estimates
    another quantity (which the text of arXiv 2405.15065 suggests).
    """
    require_count("samples", samples)
    if not policies or not len(contexts):
        raise ValueError(f"policies and contexts must not be empty (got {len(policies)} and {len(contexts)})")
    K = len(policies)
    estimate, error = np.empty((K, K)), np.empty((K, K))
    repeated = np.repeat(contexts, samples, axis=0)
    for k, policy in enumerate(policies):
        drawn = policy.sample(repeated, stream.child(f"policy/{k}"))
        for z, other in enumerate(policies):
            ratio = other.log_ratio(repeated, drawn)
            # Samples of one context share it: the independent unit is the context.
            by_context = ratio.reshape(len(contexts), samples).mean(axis=1)
            estimate[z, k] = by_context.mean()
            error[z, k] = by_context.std(ddof=1) / np.sqrt(len(contexts)) if len(contexts) > 1 else np.inf
    return estimate, error


def checked_priorities(priorities: FloatArray | Sequence[float] | None, n_groups: int) -> FloatArray:
    """Group priorities c as (n_groups,) positive numbers, ones if None."""
    if priorities is None:
        return np.ones(n_groups)
    c = np.asarray(priorities, dtype=np.float64)
    if c.shape != (n_groups,):
        raise ValueError(f"priorities must be {n_groups} numbers, one a group (got {c.size})")
    if not np.isfinite(c).all() or (c <= 0).any():
        raise ValueError(f"priorities must be positive and finite (got {c.tolist()})")
    return c


def regret_matrix(
    discrepancy: FloatArray,
    beta: float,
    priorities: FloatArray | Sequence[float] | None = None,
    standard_error: FloatArray | None = None,
) -> RegretMatrix:
    """R[1 + z, k] = beta c_z (L[z, z] - L[z, k]), R[0, :] = 0 (arXiv 2405.15065, Algorithm 2 and Appendix E).

    The paper drops beta between Appendix E and the matrix; it scales regrets, gap and step, so it stays
    here.  Priorities multiply the group's row (the paper's "weighted regret").
    """
    K = len(discrepancy)
    float_array("discrepancy", discrepancy, (K, K))
    require_positive(beta=beta)
    if standard_error is not None:
        # Infinite where one context was sampled.
        require_shape("standard_error", standard_error, (K, K))
    c = checked_priorities(priorities, K)
    values, error = np.zeros((K + 1, K)), np.zeros((K + 1, K))
    scale = beta * c[:, None]
    values[1:] = scale * (np.diag(discrepancy)[:, None] - discrepancy)
    if standard_error is not None:
        # Column z and column k are drawn independently, so their errors add in squares off the diagonal.
        own = np.diag(standard_error)[:, None]
        error[1:] = scale * np.sqrt(own**2 + standard_error**2)
        error[1:][np.eye(K, dtype=bool)] = 0.0
    return RegretMatrix(values, discrepancy, error, beta, c)
