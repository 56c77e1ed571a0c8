"""What fits of rewards bilinear in a context and an item's features share: results, checked arguments, a start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from sim.arguments import float_array, require_count, require_not_negative, require_same_rows, weight_array
from sim.compiled import low_rank_fits
from sim.compiled.tiles import padded, row_length
from sim.estimators.bradley_terry import FitStatus
from sim.preferences import BoolArray, FloatArray, IntArray

Start = Literal["spectral", "full"]
STARTS: tuple[Start, ...] = ("spectral", "full")
# From this many numbers on, work on one fit is shared between threads.
SHARED_FROM = 1 << 19


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
    if values.size < SHARED_FROM:
        rows[:d, :n] = values.T
    else:
        low_rank_fits.rows_of(values, rows)
    return rows


def checked(contexts: FloatArray, differences: FloatArray, ndim: int = 2) -> tuple[FloatArray, FloatArray]:
    """Both as finite contiguous float64 of matching shapes, (n, d) or (B, n, d), none empty."""
    axes = ("B", "n")[2 - ndim + 1 :]
    x = np.require(float_array("contexts", contexts, (*axes, "d_x")), requirements=["C", "W"])
    z = np.require(float_array("differences", differences, (*axes, "d_phi")), requirements=["C", "W"])
    for name, values in (("contexts", x), ("differences", z)):
        if 0 in values.shape:
            raise ValueError(f"{name} must not be empty (got {values.shape})")
    require_same_rows(contexts=x, differences=z)
    if x.shape[:-1] != z.shape[:-1]:
        raise ValueError(f"differences must be {x.shape[:-1]} and features, as contexts are (got {z.shape})")
    return x, z


def require_rank(rank: int, d_x: int, d_phi: int) -> None:
    if isinstance(rank, bool) or not isinstance(rank, int | np.integer) or not 1 <= rank <= min(d_x, d_phi):
        raise ValueError(
            f"rank must lie in 1..{min(d_x, d_phi)}, the smaller of {d_x} context and {d_phi} feature dimensions "
            f"(got {rank})"
        )


def require_limits(ridge: float, tolerance: float, least: int = 1, **rounds: int) -> None:
    """ridge and tolerance not negative, a whole number of rounds, at least `least`."""
    require_not_negative(ridge=ridge, tolerance=tolerance)
    for name, value in rounds.items():
        require_count(name, value, least)


def checked_weights(weights: Any, n: int) -> FloatArray:
    """(n,) weights, not all zero; ones for None."""
    own = weight_array("weights", weights, n)
    if not own.sum() > 0:
        raise ValueError("weights must not all be zero; leave out answers that do not count")
    return np.require(own, requirements=["C", "W"])


def checked_offset(offset: Any, n: int) -> FloatArray:
    """(n,) margins given from elsewhere; zeros for None."""
    return np.zeros(n) if offset is None else np.require(float_array("offset", offset, (n,)), requirements=["C", "W"])


class BatchOutputs(NamedTuple):
    """What a batched kernel writes: theta; values (2, B), loss and largest gradient entry; counts (3, B), rounds,
    status and whether separable."""

    theta: FloatArray
    values: FloatArray
    counts: IntArray

    def batch(self, rank: int) -> LowRankBatch:
        loss, largest = self.values
        rounds, status, separable = self.counts
        return LowRankBatch(self.theta, rank, loss, largest, rounds, status, separable == 1)


def empty_outputs(B: int, d_x: int, d_phi: int) -> BatchOutputs:
    return BatchOutputs(np.zeros((B, d_x, d_phi)), np.empty((2, B)), np.empty((3, B), np.int64))
