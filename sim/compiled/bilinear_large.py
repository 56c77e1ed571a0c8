"""Compiled passes over one large problem, shared between threads: contexts and differences as they come, (n, d).

Rows of features, as `bilinear` wants them, would have to be written first: half of the time of a whole fit, where
vectors are long enough to fill the registers.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.bilinear import add_curvature, loss_slopes, to_rows
from sim.compiled.copies import copy_matrix, copy_vector
from sim.compiled.jit import FAST, FAST_PARALLEL, INNER
from sim.compiled.low_rank_start import add_moments
from sim.compiled.row_sums import add_row_gradient, row_margins
from sim.compiled.structs import BilinearAnswers, Curvature, Factors, Moments, TileScratch
from sim.compiled.tiles import TILE

# Chunks of a pass, summed in order: the same bits for any number of threads.
_CHUNKS = 16
# Answers the start is computed from, an unknown, and the covariances, a dimension: they only shape the coordinates.
# Taken evenly, in runs of so many, because answers often come sorted.
_FOR_START, _FOR_COVARIANCE, _RUN = 12, 40, 8


@njit(**INNER)
def _add_tile(answers, lo, hi, r, factors, scratch, gradient, curvature):
    """One tile's loss (totals[0]), gradients and curvatures; factors, p and q with rows of zeros to a multiple of 3."""
    m, x, z, offset = hi - lo, answers.x, answers.z, answers.offset
    left, right, by_left, by_right = factors.left, factors.right, gradient.left, gradient.right
    p, q, rows = scratch.p, scratch.q, scratch.rows
    u, slope, bend = rows[0, :m], rows[1, :m], rows[2, :m]
    for a in range(0, len(left), 3):
        row_margins(x, lo, hi, left[a], left[a + 1], left[a + 2], p[a], p[a + 1], p[a + 2])
        row_margins(z, lo, hi, right[a], right[a + 1], right[a + 2], q[a], q[a + 1], q[a + 2])
    for a in range(r):
        pa, qa = p[a, :m], q[a, :m]
        before = offset[lo:hi] if a == 0 else u
        for c in range(m):
            u[c] = before[c] + pa[c] * qa[c]
    curvature.totals[0] += loss_slopes(u, answers.weight[lo:hi], answers.unweighted, 0, slope, bend)
    add_curvature(p[:r], q[:r], u, bend, curvature)
    for a in range(r):
        pa, qa = p[a, :m], q[a, :m]
        for c in range(m):
            pa[c] *= slope[c]
            qa[c] *= slope[c]
    for a in range(0, len(left), 3):
        add_row_gradient(x, lo, hi, q[a], q[a + 1], q[a + 2], by_left[a], by_left[a + 1], by_left[a + 2])
        add_row_gradient(z, lo, hi, p[a], p[a + 1], p[a + 2], by_right[a], by_right[a + 1], by_right[a + 2])


@njit(**INNER)
def _add_chunk(answers, chunk, r, factors, gradient, curvature):
    """`_add_tile` of the tiles of one chunk."""
    n, wide = answers.n, len(factors.left)
    tiles = (n + TILE - 1) // TILE
    scratch = TileScratch(np.empty((wide, TILE)), np.empty((wide, TILE)), np.empty((3, TILE)))
    for number in range(chunk * tiles // _CHUNKS, (chunk + 1) * tiles // _CHUNKS):
        lo = number * TILE
        _add_tile(answers, lo, min(lo + TILE, n), r, factors, scratch, gradient, curvature)


@njit(**INNER)
def _parts(factors):
    """(factors with rows of zeros, each chunk's gradients, curvature sums and totals)."""
    left, right = factors
    r = len(left)
    wide = (r + 2) // 3 * 3
    own = Factors(np.zeros((wide, left.shape[1])), np.zeros((wide, right.shape[1])))
    copy_matrix(left, own.left[:r])
    copy_matrix(right, own.right[:r])
    gradients = Factors(np.zeros((_CHUNKS, wide, left.shape[1])), np.zeros((_CHUNKS, wide, right.shape[1])))
    return own, gradients, Curvature(np.zeros((_CHUNKS, 2, r, r)), np.zeros((_CHUNKS, 3)))


@njit(**INNER)
def _sum_parts(gradients, curvatures, by_left, by_right, sums, totals):
    r = len(by_left)
    by_left[:] = 0.0
    by_right[:] = 0.0
    sums[:] = 0.0
    totals[:] = 0.0
    for chunk in range(_CHUNKS):
        by_left += gradients.left[chunk, :r]
        by_right += gradients.right[chunk, :r]
        sums += curvatures.sums[chunk]
        totals += curvatures.totals[chunk]


@njit(**FAST_PARALLEL)
def shared_pass(answers, factors, by_left, by_right, sums, totals):
    """`curved_pass` for x (n, d_x) and z (n, d_phi); gradients and `Curvature` as outputs."""
    x, z, weight, offset, n, unweighted = (
        answers.x, answers.z, answers.weight, answers.offset, answers.n, answers.unweighted
    )  # fmt: skip
    mass, r = answers.mass, len(factors.left)
    own_factors, gradients, curvatures = _parts(factors)
    own_left, own_right = own_factors
    part_left, part_right = gradients
    part_sums, part_totals = curvatures
    for chunk in prange(_CHUNKS):
        own = BilinearAnswers(x, z, weight, offset, n, mass, unweighted, 0)
        gradient = Factors(part_left[chunk], part_right[chunk])
        curvature = Curvature(part_sums[chunk], part_totals[chunk])
        _add_chunk(own, np.int64(chunk), r, Factors(own_left, own_right), gradient, curvature)
    _sum_parts(gradients, curvatures, by_left, by_right, sums, totals)


@njit(**FAST)
def lone_pass(answers, factors, by_left, by_right, sums, totals):
    """`shared_pass` on the calling thread: one of several that have a fit each must not start threads of its own."""
    own_factors, gradients, curvatures = _parts(factors)
    for chunk in range(_CHUNKS):
        gradient = Factors(gradients.left[chunk], gradients.right[chunk])
        curvature = Curvature(curvatures.sums[chunk], curvatures.totals[chunk])
        _add_chunk(answers, chunk, len(factors.left), own_factors, gradient, curvature)
    _sum_parts(gradients, curvatures, by_left, by_right, sums, totals)


@njit(**FAST_PARALLEL)
def shared_moments(answers, dx, dz, r):
    """`moments` for x (n, d_x) and z (n, d_phi), in d_x and d_phi padded dimensions, of a sample of the answers."""
    x, z, weight, offset, n, unweighted = (
        answers.x, answers.z, answers.weight, answers.offset, answers.n, answers.unweighted
    )  # fmt: skip
    stride = max(n // (_FOR_START * (dx + dz) * r), 1)
    every = max(n // (stride * _FOR_COVARIANCE * max(dx, dz)), 1)
    runs = (n + _RUN * stride - 1) // (_RUN * stride)
    tiles = (runs * _RUN + TILE - 1) // TILE
    part, part_x, part_z = np.zeros((_CHUNKS, dz, dx)), np.zeros((_CHUNKS, dx, dx)), np.zeros((_CHUNKS, dz, dz))
    part_totals = np.zeros((_CHUNKS, 2))
    for chunk in prange(_CHUNKS):
        own_x, own_z, own = np.zeros((dx, TILE)), np.zeros((dz, TILE)), np.empty((2, TILE))
        sums = Moments(part[chunk], part_x[chunk], part_z[chunk], part_totals[chunk])
        for number in range(chunk * tiles // _CHUNKS, (chunk + 1) * tiles // _CHUNKS):
            count = 0
            for run in range(number * TILE // _RUN, min((number + 1) * TILE // _RUN, runs)):
                lo = run * stride * _RUN
                hi = min(lo + _RUN, n)
                to_rows(x, lo, hi, own_x[:, count:])
                to_rows(z, lo, hi, own_z[:, count:])
                copy_vector(weight[lo:hi], own[0, count : count + hi - lo])
                copy_vector(offset[lo:hi], own[1, count : count + hi - lo])
                count += hi - lo
            held = BilinearAnswers(own_x, own_z, own[0], own[1], count, 1.0, unweighted, 0)
            add_moments(held, 0, count, number % every == 0, sums)
    for chunk in range(1, _CHUNKS):
        part[0] += part[chunk]
        part_x[0] += part_x[chunk]
        part_z[0] += part_z[chunk]
        part_totals[0] += part_totals[chunk]
    return Moments(part[0], part_x[0], part_z[0], part_totals[0])
