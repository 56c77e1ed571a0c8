"""What the kernels of the fits take together: few named tuples in place of many positions.

Part of every njit signature that holds one, so their fields keep one type each: float64 and int64, arrays contiguous.
A parallel kernel takes them apart before its loop, which cannot carry them, and builds its own inside. Its outputs are
arrays of their own and never in a tuple: numba takes what a parallel kernel stores into an array out of a tuple for
dead, and leaves it out without a word.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.preferences import FloatArray, IntArray


class Limits(NamedTuple):
    """ridge; tolerance, where to stop; most rounds or steps."""

    ridge: float
    tolerance: float
    max_rounds: int


class BatchLimits(NamedTuple):
    """`Limits` with a ridge and a tolerance (B,) a replicate."""

    ridge: FloatArray
    tolerance: FloatArray
    max_rounds: int


class Derivatives(NamedTuple):
    """gradient (d,) and hessian (d, d) of a pass, outputs."""

    gradient: FloatArray
    hessian: FloatArray


class Answers(NamedTuple):
    """features as rows (d, at least n), weight (n,), offset (n,): margins given from elsewhere."""

    features: FloatArray
    weight: FloatArray
    offset: FloatArray


class BilinearAnswers(NamedTuple):
    """Answers whose margin is offset + <left x, right z>; rows (d padded, at least n), or as they come (n, d).

    mass: what the loss is divided by.  unweighted: all weights are one, which is a shorter sum.  K: items of a
    ranking, 0 for answers.
    """

    x: FloatArray
    z: FloatArray
    weight: FloatArray
    offset: FloatArray
    n: int
    mass: float
    unweighted: bool
    K: int


class Factors(NamedTuple):
    """left (r, d_x padded) and right (r, d_phi padded), Theta = left' right; also a gradient by both."""

    left: FloatArray
    right: FloatArray


class Curvature(NamedTuple):
    """What a pass adds up beside gradients, see `bilinear.add_curvature`: sums (2, r, r); totals (3,), loss first."""

    sums: FloatArray
    totals: FloatArray


class TileScratch(NamedTuple):
    """p, q (r, tile): both sides of a tile's margins; rows (3, tile): margins, slopes, curvatures."""

    p: FloatArray
    q: FloatArray
    rows: FloatArray


class Moments(NamedTuple):
    """Sums at margins of `offset`: slope by Theta (d_phi, d_x); second moments of x and z, later the roots of their
    covariances; totals (2,): mass of the second moments, curvature."""

    cross: FloatArray
    x_square: FloatArray
    z_square: FloatArray
    totals: FloatArray


class Metric(NamedTuple):
    """Inverse curvature by blocks, see `factor_metric`: roots of the covariances, inverses (4, r, r), scalars (5,)."""

    x_root: FloatArray
    z_root: FloatArray
    inverses: FloatArray
    scalars: FloatArray


class Search(NamedTuple):
    """L-BFGS between evaluations: point and gradient (both factors after one another), progress and kept vectors, see
    `lbfgs`."""

    point: FloatArray
    gradient: FloatArray
    progress: FloatArray
    vectors: FloatArray


class HeadScratch(NamedTuple):
    """step (k,), hessian (k, k), columns (4, most answers of one + k)."""

    step: FloatArray
    hessian: FloatArray
    columns: FloatArray


class HessianScratch(NamedTuple):
    """Of the profiled Hessian: scaled (4, TILE), own (d, d), block (k, k), cross (2 k, k d)."""

    scaled: FloatArray
    own: FloatArray
    block: FloatArray
    cross: FloatArray


class Profile(NamedTuple):
    """Answers of all users with their best heads over a subspace: features (d padded, n), and projected on it; starts
    (N + 1,) of each user's columns; slope and curvature of each answer at those heads."""

    features: FloatArray
    projected: Answers
    starts: IntArray
    slope: FloatArray
    curvature: FloatArray
    work: HeadScratch


class PanelChoices(NamedTuple):
    """Choices of people, one person's next to each other.

    rows (m, d), features of the chosen minus those of another; those of choice e at starts[e]:starts[e + 1]; choices of
    person i at people[i]:people[i + 1]; weight (E,).
    """

    rows: FloatArray
    starts: IntArray
    people: IntArray
    weight: FloatArray
