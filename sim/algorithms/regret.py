"""Discrepancies between groups' policies, and the regret matrix of the ensemble game."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

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


class SampledDiscrepancy(NamedTuple):
    """estimate, standard_error: (K, K), of L.  by_context: (K, K, n) the mean over each context's samples, of which L
    is the mean over contexts."""

    estimate: FloatArray
    standard_error: FloatArray
    by_context: FloatArray

    @property
    def regret_error(self) -> FloatArray:
        """Standard error of L[z, z] - L[z, k]; (K, K), 0 on the diagonal.

        Both are means over the same contexts, so that their errors do not add in squares: it is the spread of the
        differences within contexts.
        """
        own = np.diagonal(self.by_context).T
        error = error_of_mean(own[:, None, :] - self.by_context)
        np.fill_diagonal(error, 0.0)
        return error


def error_of_mean(values: FloatArray) -> FloatArray:
    """Standard error of the mean over the last axis, infinite where there is one value alone."""
    n = values.shape[-1]
    return np.asarray(values.std(axis=-1, ddof=1) / np.sqrt(n)) if n > 1 else np.full(values.shape[:-1], np.inf)


def discrepancy_sampled(
    policies: Sequence[ScoredPolicy], contexts: AnyArray, stream: Stream, samples: int = 1
) -> SampledDiscrepancy:
    """L by sampling `samples` responses a context from each pi_k, with its standard errors.

    Responses must come from pi_k: averaging over the annotated ones, which the reference wrote, estimates
    another quantity (which the text of arXiv 2405.15065 suggests).
    """
    require_count("samples", samples)
    if not policies or not len(contexts):
        raise ValueError(f"policies and contexts must not be empty (got {len(policies)} and {len(contexts)})")
    K = len(policies)
    by_context = np.empty((K, K, len(contexts)))
    repeated = np.repeat(contexts, samples, axis=0)
    for k, policy in enumerate(policies):
        drawn = policy.sample(repeated, stream.child(f"policy/{k}"))
        for z, other in enumerate(policies):
            ratio = other.log_ratio(repeated, drawn)
            # Samples of one context share it: the independent unit is the context.
            by_context[z, k] = ratio.reshape(len(contexts), samples).mean(axis=1)
    return SampledDiscrepancy(by_context.mean(axis=2), error_of_mean(by_context), by_context)


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

    standard_error: (K, K) of L[z, z] - L[z, k], where L was sampled (`SampledDiscrepancy.regret_error`).
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
        error[1:] = scale * standard_error
        error[1:][np.eye(K, dtype=bool)] = 0.0
    return RegretMatrix(values, discrepancy, error, beta, c)
