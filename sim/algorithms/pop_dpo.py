"""POP-DPO: direct preference optimisation on answers resampled from a pooled probabilistic opinion."""

from __future__ import annotations

import numpy as np

from sim.algorithms.pooling import pool_opinions
from sim.arguments import require_count, require_finite, require_positive, require_same_rows, require_shape
from sim.policies.protocol import PreferencePolicy
from sim.preferences import AnyArray, FloatArray, PreferencePairs
from sim.streams import Stream


def pooled_pairs(
    contexts: AnyArray,
    candidates: AnyArray,
    opinions: FloatArray,
    alpha: float,
    *,
    draws: int | None = None,
    stream: Stream | None = None,
) -> PreferencePairs:
    """Pairs whose preferred answer is drawn from the pool of the annotators' opinions.

    contexts: (n,).  candidates: (n, 2).  opinions: (n_annotators, n, 2), rows on the simplex.
    draws: answers a question.  None: both orders, weighted by the pool, the expectation of Algorithm 5's loss over
    its draw and not a sample of it.  [arXiv 2405.00254, Algorithm 5]
    """
    candidates = np.asarray(candidates)
    n = len(candidates)
    if candidates.ndim != 2 or candidates.shape[1] != 2:
        raise ValueError(f"candidates must be (n, 2): Algorithm 5 compares two candidates (got {candidates.shape})")
    require_same_rows(candidates=candidates, contexts=contexts)
    require_shape("opinions", np.asarray(opinions), ("n_annotators", n, 2))
    if draws is not None:
        require_count("draws", draws)
    consensus = pool_opinions(np.moveaxis(opinions, 0, 1), alpha)
    first, second, contexts = candidates[:, 0], candidates[:, 1], np.asarray(contexts)
    if draws is None:
        weight = np.concatenate([consensus[:, 0], consensus[:, 1]])
        return PreferencePairs(
            np.concatenate([contexts, contexts]), np.concatenate([first, second]), np.concatenate([second, first]),
            np.zeros(2 * n, dtype=np.int64), 1, weights=weight,
        )  # fmt: skip
    if stream is None:
        raise ValueError("stream must be given: sampled answers need a stream")
    wins = stream.child("answers").uniforms((draws, n)) < consensus[None, :, 0]
    chosen, rejected = np.where(wins, first, second).ravel(), np.where(wins, second, first).ravel()
    return PreferencePairs(np.tile(contexts, draws), chosen, rejected, np.zeros(draws * n, dtype=np.int64), 1)


def pop_dpo(policy: PreferencePolicy, pairs: PreferencePairs) -> None:
    """Fit `policy` to pairs drawn from pooled opinions, in place: plain DPO on what `pooled_pairs` made."""
    policy.fit(pairs, pairs.pair_weights())


def pop_dpo_optimum(reference: FloatArray, consensus: FloatArray, beta: float) -> FloatArray:
    """pi*(a) proportional to pi_old(a) q(a)^(1 / beta), what Algorithm 5's expected loss is least at; (..., K).

    At the optimum sigma(beta (h_a - h_b)) = q_a, h = log(pi / pi_old). With opinions exp(R_i), normalised alike, this
    is pi_old exp(Agg_alpha(R) / beta): the KL-regularised optimum of the aggregated reward.   [derived]
    """
    require_finite(reference=reference, consensus=consensus)
    require_positive(beta=beta)
    for name, values in (("reference", reference), ("consensus", consensus)):
        if np.min(values) < 0:
            raise ValueError(f"{name} must not be negative (got {np.min(values)})")
    with np.errstate(divide="ignore"):
        exponent = np.log(reference) + np.log(consensus) / beta
    weight = np.exp(exponent - exponent.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))
