"""Low-rank rewards from rankings of several items: Plackett-Luce, and what splitting into pairs loses."""

from __future__ import annotations

import numpy as np

from sim.arguments import float_array, require_same_rows
from sim.compiled import low_rank_fits
from sim.compiled.structs import BilinearAnswers, Factors, Limits
from sim.compiled.tiles import padded
from sim.estimators.bradley_terry import FitStatus
from sim.estimators.low_rank_problem import LowRankFit, as_rows, require_limits, require_rank
from sim.preferences import FloatArray


def fit_low_rank_rankings(
    contexts: FloatArray, ranked: FloatArray, rank: int | None = None, *, ridge: float = 1e-6, tolerance: float = 1e-9,
    max_rounds: int = 1000,
) -> LowRankFit:  # fmt: skip
    """min over Theta of rank <= r of -(1 / n) sum_i sum_j log(e^u_ij / sum_{l >= j} e^u_il) + 0.5 ridge |Theta|_F^2,
    u_ij = x_i' Theta phi_ij, items in the order of the ranking.

    [Plackett-Luce; no claim of arXiv 2412.19436 about rankings is known: an extension]

    contexts: (n, d_x).  ranked: (n, K, d_phi), best first.  rank None: no constraint.  K = 2 is `fit_low_rank`.
    Limited-memory BFGS on whitened factors; tolerance in nats a ranking.
    """
    x, items = _checked(contexts, ranked)
    n, K, d_phi = items.shape
    d_x = x.shape[1]
    own = min(d_x, d_phi) if rank is None else rank
    require_rank(own, d_x, d_phi)
    require_limits(ridge, tolerance, max_rounds=max_rounds)
    # A ranking's likelihood does not see what its items have in common: without it margins stay small.
    centred = items - items.mean(axis=1, keepdims=True)
    rows = n * K
    left, right = np.zeros((own, padded(d_x))), np.zeros((own, padded(d_phi)))
    by_item = as_rows(np.repeat(x, K, axis=0)), as_rows(centred.reshape(rows, d_phi))
    answers = BilinearAnswers(*by_item, np.ones(rows), np.zeros(rows), rows, float(n), True, K)
    limits = Limits(float(ridge), float(tolerance), max_rounds)
    loss, largest, rounds, status = low_rank_fits.fit_serial(
        answers, limits, False, np.zeros((padded(d_x), padded(d_phi))), Factors(left, right)
    )
    theta = left[:, :d_x].T @ right[:, :d_phi]
    u = np.einsum("nd,nkd->nk", x @ theta, centred)
    return LowRankFit(
        theta, own, float(loss), float(largest), int(rounds), FitStatus(status), bool((np.diff(u, axis=1) < 0).all())
    )


def pairs_of_rankings(contexts: FloatArray, ranked: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Every ranking as its K (K - 1) / 2 comparisons, better minus worse: (contexts, signed differences)."""
    contexts, ranked = _checked(contexts, ranked)
    first, second = np.triu_indices(ranked.shape[1], 1)
    differences = ranked[:, first] - ranked[:, second]
    return np.repeat(contexts, len(first), axis=0), differences.reshape(-1, ranked.shape[2])


def _checked(contexts: FloatArray, ranked: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(n, d_x) and (n, K >= 2, d_phi), finite, none empty."""
    x = float_array("contexts", contexts, ("n", "d_x"))
    items = float_array("ranked", ranked, ("n", "K", "d_phi"))
    require_same_rows(contexts=x, ranked=items)
    if 0 in x.shape or 0 in items.shape or items.shape[1] < 2:
        raise ValueError(f"ranked must hold rankings of at least two items, none empty (got {items.shape})")
    return x, items
