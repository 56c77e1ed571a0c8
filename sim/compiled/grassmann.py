"""Compiled pieces of Newton's method for a subspace, users' heads profiled out, on the Grassmann manifold.

Subspace as rows, (k, d padded); a user's answers are the columns starts[i]:starts[i + 1] of `features`.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.cholesky import factor_in_place
from sim.compiled.copies import copy_matrix
from sim.compiled.jit import INNER
from sim.compiled.tiles import TILE, add_gradient, add_hessian


@njit(**INNER)
def orthonormalise(subspace, heads, upper):
    """Gram-Schmidt, twice, on the rows; heads are rewritten so that every theta stays as it is."""
    k, d = subspace.shape
    upper[:] = 0.0
    for a in range(k):
        upper[a, a] = 1.0
    for a in range(k):
        for _ in range(2):
            for b in range(a):
                inner = 0.0
                for j in range(d):
                    inner += subspace[a, j] * subspace[b, j]
                for j in range(d):
                    subspace[a, j] -= inner * subspace[b, j]
                upper[a, b] += inner
        norm = 0.0
        for j in range(d):
            norm += subspace[a, j] * subspace[a, j]
        norm = np.sqrt(norm)
        upper[a, a] = norm
        for j in range(d):
            subspace[a, j] /= norm
    for i in range(heads.shape[0]):
        for b in range(k):
            total = upper[b, b] * heads[i, b]
            for a in range(b + 1, k):
                total += upper[a, b] * heads[i, a]
            heads[i, b] = total


@njit(**INNER)
def remove_span(subspace, vectors):
    """Each row of `vectors` minus its part in the subspace."""
    for r in range(vectors.shape[0]):
        for a in range(subspace.shape[0]):
            inner = 0.0
            for j in range(subspace.shape[1]):
                inner += vectors[r, j] * subspace[a, j]
            for j in range(subspace.shape[1]):
                vectors[r, j] -= inner * subspace[a, j]


@njit(**INNER)
def subspace_gradient(features, starts, slope, heads, per_user, gradient):
    """gradient (k, d) of the loss by the subspace; per_user (N, d): each user's sum of slope times features."""
    gradient[:] = 0.0
    per_user[:] = 0.0
    for i in range(heads.shape[0]):
        for lo in range(starts[i], starts[i + 1], TILE):
            hi = min(lo + TILE, starts[i + 1])
            add_gradient(features, lo, hi, slope[lo:hi], per_user[i])
        for a in range(heads.shape[1]):
            v = heads[i, a]
            for j in range(gradient.shape[1]):
                gradient[a, j] += v * per_user[i, j]


@njit(**INNER)
def profiled_hessian(features, starts, curvature, heads, per_user, subspace, ridge, work, out):
    """Hessian of the profiled loss on the tangent space, row (a, j) -> a * d + j, plus a large multiple of the
    projector onto the rest; lower triangle. [variable projection: H_UU - sum_i C_i H_vv^-1 C_i']"""
    k, d = subspace.shape
    N = heads.shape[0]
    scaled, own, block, cross = work
    out[:] = 0.0
    for i in range(N):
        own[:] = 0.0
        for lo in range(starts[i], starts[i + 1], TILE):
            hi = min(lo + TILE, starts[i + 1])
            add_hessian(features, lo, hi, curvature[lo:hi], scaled, own)
        for j in range(d):
            for other in range(j):
                own[other, j] = own[j, other]
        for a in range(k):
            for b in range(a + 1):
                scale = heads[i, a] * heads[i, b]
                for j in range(d):
                    for other in range(d):
                        out[a * d + j, b * d + other] += scale * own[j, other]
        # cross[c] = H_i u_c, then C_i[(a, j), c] = v_a (H_i u_c)_j + [a = c] g_ij
        for c in range(k):
            for j in range(d):
                total = 0.0
                for other in range(d):
                    total += own[j, other] * subspace[c, other]
                cross[c, j] = total
        for a in range(k):
            for b in range(a + 1):
                total = ridge if a == b else 0.0
                for j in range(d):
                    total += subspace[a, j] * cross[b, j]
                block[a, b] = total
        for a in range(k):
            for b in range(a + 1):
                total = block[a, b]
                for c in range(b):
                    total -= block[a, c] * block[b, c]
                block[a, b] = np.sqrt(max(total, 1e-300)) if a == b else total / block[b, b]
        # Columns of C_i L^-T, one after the other; each is subtracted as an outer product.
        m = k * d
        for c in range(k):
            for a in range(k):
                for j in range(d):
                    value = heads[i, a] * cross[c, j] + (per_user[i, j] if a == c else 0.0)
                    for e in range(c):
                        value -= cross[k + e, a * d + j] * block[c, e]
                    cross[k + c, a * d + j] = value / block[c, c]
            for r in range(m):
                left = cross[k + c, r]
                for s in range(r + 1):
                    out[r, s] -= left * cross[k + c, s]
    for r in range(k * d):
        for s in range(r):
            out[s, r] = out[r, s]


@njit(**INNER)
def tangent(subspace, heads, ridge, hessian):
    """P H P + curvature of the manifold + a multiple of I - P, in place; the largest entry that its
    diagonal had, infinite where one is no number."""
    k, d = subspace.shape
    largest = 0.0
    for r in range(k * d):
        size = abs(hessian[r, r])
        largest = max(largest, size) if size == size else np.inf
    for r in range(k * d):
        for b in range(k):
            remove_span(subspace, hessian[r : r + 1, b * d : (b + 1) * d])
    flipped = hessian.T.copy()
    for r in range(k * d):
        for b in range(k):
            remove_span(subspace, flipped[r : r + 1, b * d : (b + 1) * d])
    copy_matrix(flipped, hessian)
    for a in range(k):
        for b in range(k):
            spread = 0.0
            for i in range(heads.shape[0]):
                spread += heads[i, a] * heads[i, b]
            for j in range(d):
                hessian[a * d + j, b * d + j] += ridge * spread
            if a == b:
                for c in range(k):
                    for j in range(d):
                        for other in range(d):
                            hessian[a * d + j, a * d + other] += largest * subspace[c, j] * subspace[c, other]
    return largest


@njit(**INNER)
def factorise(hessian, damping, factor):
    """Cholesky of hessian + damping I into `factor` (lower); False if it is not positive."""
    for j in range(len(hessian)):
        for k in range(j + 1):
            factor[j, k] = hessian[j, k]
        factor[j, j] += damping
    return factor_in_place(factor)
