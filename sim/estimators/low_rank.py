"""Maximum likelihood for rewards that are bilinear in a user's context and an item's features, of bounded rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sim.compiled import low_rank_fits, product_newton
from sim.compiled.structs import BilinearAnswers, Ends, Factors, Limits
from sim.compiled.tiles import padded, row_length
from sim.estimators.bradley_terry import FitStatus
from sim.preferences import BoolArray, FloatArray, IntArray

Method = Literal["alternating", "quasi_newton", "gradient", "scaled"]
METHODS: tuple[Method, ...] = ("alternating", "quasi_newton", "gradient", "scaled")
Start = Literal["spectral", "full"]
STARTS: tuple[Start, ...] = ("spectral", "full")
# From this many numbers on, the passes of one quasi-Newton fit are shared between threads.
_SHARED_FROM = 1 << 19


@dataclass(frozen=True, eq=False)
class LowRankFit:
    """theta (d_x, d_phi) of rank at most `rank`; loss, mean nats an answer with the ridge's share.

    gradient: largest entry of the last gradient, in the method's own coordinates.  separable: every answer is on the
    right side, so that the likelihood has no maximum and theta's length is decided by the ridge alone.
    """

    theta: FloatArray
    rank: int
    loss: float
    gradient: float
    rounds: int
    status: FitStatus
    separable: bool


@dataclass(frozen=True, eq=False)
class LowRankBatch:
    """The same for B replicates: theta (B, d_x, d_phi), the others (B,)."""

    theta: FloatArray
    rank: int
    loss: FloatArray
    gradient: FloatArray
    rounds: IntArray
    status: IntArray
    separable: BoolArray


def manifold_dimension(d_x: int, d_phi: int, rank: int) -> int:
    """k = (d_x + d_phi) r - r^2, the number of free numbers in a (d_x, d_phi) matrix of rank r.

    The rate of arXiv 2412.19436, as a public summary gives it, has (d_x + d_phi) r, an upper bound of it.
    """
    return (d_x + d_phi) * rank - rank * rank


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
) -> LowRankFit:
    """min over Theta of rank <= r of (1 / sum w) sum_i w_i [-log sigma(o_i + x_i' Theta z_i)] + 0.5 ridge |Theta|_F^2.

    [arXiv 2412.19436, rank-constrained MLE by Burer-Monteiro factors Theta = A B'; every detail below reconstructed]

    contexts: (n, d_x), x.  differences: (n, d_phi), z = phi(chosen) - phi(rejected).  offset: (n,) margins given from
    elsewhere.  ridge, tolerance: nats an answer; a fit stops when a round would gain less than `tolerance`.

    alternating: each factor in turn at its exact minimum (Newton with halving), whatever the conditioning; the loss
    never rises.  quasi_newton: limited-memory BFGS on the factors from the curvature's blocks, the same minimum
    many times sooner.
    gradient, scaled: first-order methods of the theory, see `sim.estimators.low_rank_descent`.
    start: spectral, truncated SVD of Sx^-1 [(4 / n) sum (1 / 2) x z'] Sz^-1 (contexts and differences independent,
    margins small); full, of the full-rank fit; or a matrix (d_x, d_phi).
    """
    x, z = checked(contexts, differences)
    n, d_x, d_phi = *x.shape, z.shape[1]
    require_rank(rank, d_x, d_phi)
    _require(method, METHODS, "method")
    _require_ridge(ridge)
    own, margin = _weights(weights, n), _offset(offset, n)
    if method != "quasi_newton":
        _require_finite(x, z, margin)
    mass = float(own.sum())
    if method in ("gradient", "scaled"):
        from sim.estimators.low_rank_descent import fit_by_descent

        return fit_by_descent(x, z, rank, kind=method, weights=own, offset=margin, ridge=ridge, start=start,
                              tolerance=tolerance, max_rounds=max_rounds)  # fmt: skip
    first = np.zeros((padded(d_x), padded(d_phi)))
    given = not isinstance(start, str)
    if isinstance(start, str):
        _require(start, STARTS, "start")
        if start == "full":
            first[:d_x, :d_phi] = fit_full_rank(x, z, weights=own, offset=margin, ridge=max(ridge, 1e-6)).theta
            given = True
    else:
        if start.shape != (d_x, d_phi):
            raise ValueError(f"start must be ({d_x}, {d_phi}) (got {start.shape})")
        first[:d_x, :d_phi] = start
    left, right = np.zeros((rank, padded(d_x))), np.zeros((rank, padded(d_phi)))
    limits, factors = Limits(float(ridge), float(tolerance), max_rounds), Factors(left, right)
    large = method == "quasi_newton" and n * (d_x + d_phi) >= _SHARED_FROM
    sides = (x, z) if large else (as_rows(x), as_rows(z))
    answers = BilinearAnswers(*sides, own, margin, n, mass, bool((own == 1.0).all()), 0)
    if method == "alternating":
        found = product_newton.fit_alternating(answers, d_x, d_phi, limits, given, first, factors)
    elif large:
        found = low_rank_fits.fit_shared(answers, limits, given, first, factors)
    else:
        found = low_rank_fits.fit_serial(answers, limits, given, first, factors)
    loss, largest, rounds, status = found
    if not np.isfinite(loss):
        _require_finite(x, z, margin)
    theta = left[:, :d_x].T @ right[:, :d_phi]
    return LowRankFit(
        theta,
        rank,
        float(loss),
        float(largest),
        int(rounds),
        FitStatus(status),
        bool(low_rank_fits.all_positive(x, z, own, margin, theta)),
    )


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
    _require_ridge(ridge)
    theta, loss, largest, rounds, status, separable = _empty(B, d_x, d_phi)
    limits, ends = Limits(float(ridge), float(tolerance), max_rounds), Ends(largest, rounds, status, separable)
    low_rank_fits.fit_low_rank_many(x, z, row_length(n), 0, rank, limits, theta, loss, ends)
    if not np.isfinite(loss).all():
        _require_finite(x, z)
    return LowRankBatch(theta, rank, loss, largest, rounds, status, separable)


def fit_full_rank(
    contexts: FloatArray,
    differences: FloatArray,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1e-6,
    tolerance: float = 1e-11,
    max_steps: int = 100,
) -> LowRankFit:
    """`fit_low_rank`'s objective without the constraint: Newton on the d_x d_phi entries of Theta."""
    x, z = checked(contexts, differences)
    n, d_x, d_phi = *x.shape, z.shape[1]
    _require_ridge(ridge)
    own, margin = _weights(weights, n), _offset(offset, n)
    _require_finite(x, z, margin)
    point = np.zeros(padded(d_x * d_phi))
    answers = BilinearAnswers(as_rows(x), as_rows(z), own, margin, n, float(own.sum()), False, 0)
    limits = Limits(float(ridge), float(tolerance), max_steps)
    loss, steps, largest, status = product_newton.fit_full(answers, d_x, d_phi, limits, point)
    theta = point[: d_x * d_phi].reshape(d_x, d_phi)
    return LowRankFit(
        theta, min(d_x, d_phi), float(loss), float(largest), int(steps), FitStatus(status),
        bool(low_rank_fits.all_positive(x, z, own, margin, theta)),
    )  # fmt: skip


def fit_full_rank_batch(
    contexts: FloatArray, differences: FloatArray, *, ridge: float = 1e-6, tolerance: float = 1e-11,
    max_steps: int = 100,
) -> LowRankBatch:  # fmt: skip
    """`fit_full_rank` on B replicates at once, parallel over replicates."""
    x, z = checked(contexts, differences, 3)
    _require_ridge(ridge)
    _require_finite(x, z)
    B, n, d_x = x.shape
    theta, loss, largest, rounds, status, separable = _empty(B, d_x, z.shape[2])
    limits, ends = Limits(float(ridge), float(tolerance), max_steps), Ends(largest, rounds, status, separable)
    product_newton.fit_full_many(x, z, row_length(n), limits, theta, loss, ends)
    return LowRankBatch(theta, min(d_x, z.shape[2]), loss, largest, rounds, status, separable)


def spectral_start(contexts: FloatArray, differences: FloatArray) -> FloatArray:
    """Sx^-1 [(4 / n) sum_i (1 / 2) x_i z_i'] Sz^-1, (d_x, d_phi): one step from zero, right to first order where
    contexts and differences are independent and margins small; it shrinks as margins grow, and its subspaces stay good.

    [reconstructed]"""
    x, z = checked(contexts, differences)
    n = len(x)
    moments = 2.0 * (x.T @ z) / n
    # A direction nobody varies along has no inverse and no part in the start.
    inverses = [np.linalg.pinv(values.T @ values / n, rcond=1e-12, hermitian=True) for values in (x, z)]
    return np.asarray(inverses[0] @ moments @ inverses[1])


def as_rows(values: FloatArray) -> FloatArray:
    """(n, d) -> rows of features as `sim.compiled.tiles` wants them."""
    n, d = values.shape
    rows = np.zeros((padded(d), row_length(n)))
    # On a busy machine entering a parallel region costs milliseconds, more than a small fit.
    if values.size < _SHARED_FROM:
        rows[:d, :n] = values.T
    else:
        low_rank_fits.rows_of(values, rows)
    return rows


def checked(contexts: FloatArray, differences: FloatArray, ndim: int = 2) -> tuple[FloatArray, FloatArray]:
    """Both as contiguous float64 of matching shapes."""
    x, z = (np.require(values, np.float64, ["C", "W"]) for values in (contexts, differences))
    if x.ndim != ndim or z.ndim != ndim or x.shape[:-1] != z.shape[:-1] or 0 in x.shape or 0 in z.shape:
        raise ValueError(
            f"contexts and differences must have {ndim} axes, all but the last alike, none empty "
            f"(got {x.shape} and {z.shape})"
        )
    return x, z


def _require_finite(*several: FloatArray) -> None:
    for name, values in zip(("contexts", "differences", "offset"), several, strict=False):
        if not np.isfinite(values).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise ValueError(f"{name} must be finite numbers (got {values[place]} at {place})")


def _require_ridge(ridge: float) -> None:
    if not 0.0 <= ridge < np.inf:
        raise ValueError(f"ridge must be a finite number, at least 0 (got {ridge})")


def require_rank(rank: int, d_x: int, d_phi: int) -> None:
    if not 1 <= rank <= min(d_x, d_phi):
        raise ValueError(
            f"rank must lie in 1..{min(d_x, d_phi)}, the smaller of {d_x} context and {d_phi} feature dimensions "
            f"(got {rank})"
        )


def _require(value: str, choices: tuple[str, ...], name: str) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)} (got {value!r})")


def _weights(weights: FloatArray | None, n: int) -> FloatArray:
    own = np.ones(n) if weights is None else np.require(weights, np.float64, ["C", "W"])
    if own.shape != (n,) or not (own >= 0).all() or not own.sum() > 0:
        raise ValueError(f"weights must be {n} numbers, none negative, not all zero")
    return own


def _offset(offset: FloatArray | None, n: int) -> FloatArray:
    own = np.zeros(n) if offset is None else np.require(offset, np.float64, ["C", "W"])
    if own.shape != (n,):
        raise ValueError(f"offset must have shape ({n},) (got {own.shape})")
    return own


def _empty(B: int, d_x: int, d_phi: int) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, IntArray, BoolArray]:
    return (
        np.zeros((B, d_x, d_phi)), np.empty(B), np.empty(B), np.empty(B, np.int64), np.empty(B, np.int64),
        np.zeros(B, np.bool_),
    )  # fmt: skip
