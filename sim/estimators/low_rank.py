"""Maximum likelihood for rewards that are bilinear in a user's context and an item's features, of bounded rank."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sim.arguments import float_array, require_choice
from sim.compiled import low_rank_fits, product_newton
from sim.compiled.structs import BilinearAnswers, Factors, Limits, Moments
from sim.compiled.tiles import padded, row_length
from sim.estimators.bradley_terry import FitStatus
from sim.estimators.full_rank import fit_full_rank, fit_full_rank_batch
from sim.estimators.low_rank_descent import fit_by_descent
from sim.estimators.low_rank_problem import (
    SHARED_FROM,
    STARTS,
    LowRankBatch,
    LowRankFit,
    Start,
    as_rows,
    checked,
    checked_offset,
    checked_weights,
    empty_outputs,
    manifold_dimension,
    require_limits,
    require_rank,
    spectral_start,
)
from sim.preferences import FloatArray

__all__ = [
    "METHODS", "STARTS", "LowRankBatch", "LowRankFit", "Method", "Start", "fit_full_rank", "fit_full_rank_batch",
    "fit_low_rank", "fit_low_rank_batch", "manifold_dimension", "spectral_start",
]  # fmt: skip

Method = Literal["alternating", "quasi_newton", "gradient", "scaled"]
METHODS: tuple[Method, ...] = ("alternating", "quasi_newton", "gradient", "scaled")


def fit_low_rank(
    contexts: FloatArray,
    differences: FloatArray,
    rank: int,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1e-6,
    method: Method = "alternating",
    start: Start | FloatArray = "spectral",
    tolerance: float = 1e-9,
    max_rounds: int = 1000,
    squares: tuple[FloatArray, FloatArray] | None = None,
) -> LowRankFit:
    """min over Theta of rank <= r of (1 / sum w) sum_i w_i [-log sigma(o_i + x_i' Theta z_i)] + 0.5 ridge |Theta|_F^2.

    [arXiv 2412.19436, rank-constrained MLE by Burer-Monteiro factors Theta = A B'; every detail below reconstructed]

    contexts: (n, d_x), x.  differences: (n, d_phi), z = phi(chosen) - phi(rejected).  offset: (n,) margins given from
    elsewhere.  ridge, tolerance: nats an answer; a fit stops when a round would gain less than `tolerance`.

    alternating: each factor in turn at its exact minimum (Newton with halving), whatever the conditioning; the loss
    never rises.  quasi_newton: limited-memory BFGS on the factors from the curvature's blocks, the same minimum many
    times sooner.  gradient, scaled: first-order methods of the theory, see `sim.estimators.low_rank_descent`.
    start: spectral, truncated SVD of Sx^-1 [(4 / n) sum (1 / 2) x z'] Sz^-1 (contexts and differences independent,
    margins small); full, of the full-rank fit; or a matrix (d_x, d_phi).
    squares: sum w x x' and sum w z z', where several large quasi_newton fits from given starts share them; such a fit
    keeps to the calling thread, so that several can be made at once.
    """
    x, z = checked(contexts, differences)
    n, d_x, d_phi = *x.shape, z.shape[1]
    require_rank(rank, d_x, d_phi)
    require_choice("method", method, METHODS)
    require_limits(ridge, tolerance, least=0 if method == "quasi_newton" else 1, max_rounds=max_rounds)
    own, margin = checked_weights(weights, n), checked_offset(offset, n)
    if isinstance(start, str):
        require_choice("start", start, STARTS)
    else:
        start = float_array("start", start, (d_x, d_phi))
    if squares is not None:
        squares = (
            float_array("squares of contexts", squares[0], (d_x, d_x)),
            float_array("squares of differences", squares[1], (d_phi, d_phi)),
        )
    if method in ("gradient", "scaled"):
        return fit_by_descent(x, z, rank, kind=method, weights=own, offset=margin, ridge=ridge, start=start,
                              tolerance=tolerance, max_rounds=max_rounds)  # fmt: skip
    given = not isinstance(start, str) or start == "full"
    first = np.zeros((padded(d_x), padded(d_phi)))
    if not isinstance(start, str):
        first[:d_x, :d_phi] = start
    elif given:
        first[:d_x, :d_phi] = fit_full_rank(x, z, weights=own, offset=margin, ridge=max(ridge, 1e-6)).theta
    limits = Limits(float(ridge), float(tolerance), max_rounds)
    factors = Factors(np.zeros((rank, padded(d_x))), np.zeros((rank, padded(d_phi))))
    large = method == "quasi_newton" and n * (d_x + d_phi) >= SHARED_FROM
    sides = (x, z) if large else (as_rows(x), as_rows(z))
    answers = BilinearAnswers(*sides, own, margin, n, float(own.sum()), bool((own == 1.0).all()), 0)
    if method == "alternating":
        found = product_newton.fit_alternating(answers, d_x, d_phi, limits, given, first, factors)
    elif large:
        sums = None if squares is None or not given else _moments_of(squares, float(own.sum()))
        found = low_rank_fits.fit_large(answers, limits, given, first, factors, sums)
    else:
        found = low_rank_fits.fit_serial(answers, limits, given, first, factors)
    theta = factors.left[:, :d_x].T @ factors.right[:, :d_phi]
    separable = bool(low_rank_fits.all_positive(x, z, own, margin, theta))
    loss, largest, rounds, status = found
    return LowRankFit(theta, rank, float(loss), float(largest), int(rounds), FitStatus(status), separable)


def _moments_of(squares: tuple[FloatArray, FloatArray], mass: float) -> Moments:
    """What a fit from a given start needs of them, in padded dimensions."""
    (d_x, d_phi), (x, z) = (len(own) for own in squares), (np.zeros((padded(len(own)),) * 2) for own in squares)
    x[:d_x, :d_x], z[:d_phi, :d_phi] = squares
    return Moments(np.zeros((len(z), len(x))), x, z, np.array([mass, 0.0]))


def fit_low_rank_batch(
    contexts: FloatArray, differences: FloatArray, rank: int, *, ridge: float = 1e-6, tolerance: float = 1e-9,
    max_rounds: int = 1000,
) -> LowRankBatch:  # fmt: skip
    """`fit_low_rank` (quasi_newton, spectral start, unweighted) on B replicates at once, parallel over replicates.

    contexts: (B, n, d_x).  differences: (B, n, d_phi).
    """
    x, z = checked(contexts, differences, 3)
    B, n, d_x = x.shape
    d_phi = z.shape[2]
    require_rank(rank, d_x, d_phi)
    require_limits(ridge, tolerance, max_rounds=max_rounds)
    outputs = empty_outputs(B, d_x, d_phi)
    limits = Limits(float(ridge), float(tolerance), max_rounds)
    low_rank_fits.fit_low_rank_many(x, z, row_length(n), 0, rank, limits, *outputs)
    return outputs.batch(rank)
