"""Compiled sums for margins that are bilinear in two factors: u = sum_a <left_a, x> <right_a, z>.

Contexts and differences come as rows, (d padded to a multiple of four, n), as in `_tiles`; the factors as rows too,
(r, d padded). Two or three rows of a factor share each load of the features.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.estimators._tiles import TILE, add_gradient, margins
from sim.jit import FAST_PARALLEL, INNER, exp, log1p_unit

# Chunks of a large pass, summed in order: the same bits for any number of threads.
_CHUNKS = 16


@njit(**INNER)
def _margins_2(features, lo, hi, f, g, p, q):
    m = hi - lo
    for j in range(0, f.size, 4):
        x0, x1, x2, x3 = features[j, lo:hi], features[j + 1, lo:hi], features[j + 2, lo:hi], features[j + 3, lo:hi]
        f0, f1, f2, f3 = f[j], f[j + 1], f[j + 2], f[j + 3]
        g0, g1, g2, g3 = g[j], g[j + 1], g[j + 2], g[j + 3]
        if j == 0:
            for c in range(m):
                p[c] = f0 * x0[c] + f1 * x1[c] + f2 * x2[c] + f3 * x3[c]
                q[c] = g0 * x0[c] + g1 * x1[c] + g2 * x2[c] + g3 * x3[c]
        else:
            for c in range(m):
                p[c] += f0 * x0[c] + f1 * x1[c] + f2 * x2[c] + f3 * x3[c]
                q[c] += g0 * x0[c] + g1 * x1[c] + g2 * x2[c] + g3 * x3[c]


@njit(**INNER)
def _margins_3(features, lo, hi, f, g, h, p, q, s):
    m = hi - lo
    for j in range(0, f.size, 4):
        x0, x1, x2, x3 = features[j, lo:hi], features[j + 1, lo:hi], features[j + 2, lo:hi], features[j + 3, lo:hi]
        f0, f1, f2, f3 = f[j], f[j + 1], f[j + 2], f[j + 3]
        g0, g1, g2, g3 = g[j], g[j + 1], g[j + 2], g[j + 3]
        h0, h1, h2, h3 = h[j], h[j + 1], h[j + 2], h[j + 3]
        if j == 0:
            for c in range(m):
                p[c] = f0 * x0[c] + f1 * x1[c] + f2 * x2[c] + f3 * x3[c]
                q[c] = g0 * x0[c] + g1 * x1[c] + g2 * x2[c] + g3 * x3[c]
                s[c] = h0 * x0[c] + h1 * x1[c] + h2 * x2[c] + h3 * x3[c]
        else:
            for c in range(m):
                p[c] += f0 * x0[c] + f1 * x1[c] + f2 * x2[c] + f3 * x3[c]
                q[c] += g0 * x0[c] + g1 * x1[c] + g2 * x2[c] + g3 * x3[c]
                s[c] += h0 * x0[c] + h1 * x1[c] + h2 * x2[c] + h3 * x3[c]


@njit(**INNER)
def factor_margins(features, lo, hi, factor, out):
    """out[a, c] = <factor[a], features[:, lo + c]>."""
    m, r, a = hi - lo, factor.shape[0], 0
    while a < r:
        left = r - a
        if left == 3 or left > 4:
            _margins_3(
                features, lo, hi, factor[a], factor[a + 1], factor[a + 2], out[a, :m], out[a + 1, :m], out[a + 2, :m]
            )
            a += 3
        elif left > 1:
            _margins_2(features, lo, hi, factor[a], factor[a + 1], out[a, :m], out[a + 1, :m])
            a += 2
        else:
            margins(features, lo, hi, factor[a], out[a, :m])
            a += 1


@njit(**INNER)
def _gradient_2(features, lo, hi, s, t, f, g):
    for j in range(0, f.size, 4):
        x0, x1, x2, x3 = features[j, lo:hi], features[j + 1, lo:hi], features[j + 2, lo:hi], features[j + 3, lo:hi]
        f0, f1, f2, f3, g0, g1, g2, g3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for c in range(hi - lo):
            f0 += s[c] * x0[c]
            f1 += s[c] * x1[c]
            f2 += s[c] * x2[c]
            f3 += s[c] * x3[c]
            g0 += t[c] * x0[c]
            g1 += t[c] * x1[c]
            g2 += t[c] * x2[c]
            g3 += t[c] * x3[c]
        f[j] += f0
        f[j + 1] += f1
        f[j + 2] += f2
        f[j + 3] += f3
        g[j] += g0
        g[j + 1] += g1
        g[j + 2] += g2
        g[j + 3] += g3


@njit(**INNER)
def _add_factor_gradient(features, lo, hi, scaled, gradient):
    """gradient[a] += sum_c scaled[a, c] features[:, lo + c]."""
    m, r, a = hi - lo, gradient.shape[0], 0
    while a < r:
        if r - a > 1:
            _gradient_2(features, lo, hi, scaled[a, :m], scaled[a + 1, :m], gradient[a], gradient[a + 1])
            a += 2
        else:
            add_gradient(features, lo, hi, scaled[a, :m], gradient[a])
            a += 1


@njit(**INNER)
def _answer_slopes(u, weight, slope):
    """slope[c] = -w sigma(-u), returns -sum w log sigma(u)."""
    loss = 0.0
    for c in range(u.size):
        e = exp(-abs(u[c]))
        s = 1.0 / (1.0 + e)
        slope[c] = -weight[c] * (e * s if u[c] >= 0.0 else s)
        loss += weight[c] * (log1p_unit(e) + 0.5 * (abs(u[c]) - u[c]))
    return loss


@njit(**INNER)
def ranking_slopes(u, K, slope):
    """Plackett-Luce: slope of -sum_j log(e^u_j / sum_{l >= j} e^u_l) for each group of K, ranked best first; its loss.

    d / du_l = -1 + sum_{j <= l} e^u_l / sum_{m >= j} e^u_m for all but the last, whose own choice is certain.
    """
    loss = 0.0
    for start in range(0, u.size, K):
        largest = u[start]
        for j in range(1, K):
            largest = max(largest, u[start + j])
        rest = 0.0
        for j in range(K - 1, -1, -1):
            slope[start + j] = exp(u[start + j] - largest)
            rest += slope[start + j]
        passed = 0.0
        for j in range(K):
            weight, own = slope[start + j], u[start + j] - largest
            if j < K - 1:
                passed += 1.0 / rest
                loss += np.log(rest) - own
            slope[start + j] = weight * passed - (1.0 if j < K - 1 else 0.0)
            rest -= weight
            # What is left is a sum of exponentials: where the subtraction has cancelled it, it is added up again.
            if j < K - 1 and rest < 1e-3 * weight:
                rest = 0.0
                for later in range(j + 1, K):
                    rest += exp(u[start + later] - largest)
    return loss


@njit(**INNER)
def tile_of(K):
    """Columns of a pass: whole groups of K, a number that does not fall on one cache set."""
    return TILE if K <= 2 else max(TILE // K, 1) * K


@njit(**INNER)
def bilinear_tile(x, z, weight, offset, K, lo, hi, left, right, p, q, scratch, left_gradient, right_gradient):
    """Add one tile's gradients by both factors; its loss. K = 0: answers; K > 1: groups of K ranked items.

    p, q: (r, tile).  scratch: (2, tile).
    """
    m = hi - lo
    u, slope = scratch[0, :m], scratch[1, :m]
    factor_margins(x, lo, hi, left, p)
    factor_margins(z, lo, hi, right, q)
    for c in range(m):
        u[c] = offset[lo + c]
    for a in range(left.shape[0]):
        pa, qa = p[a, :m], q[a, :m]
        for c in range(m):
            u[c] += pa[c] * qa[c]
    loss = _answer_slopes(u, weight[lo:hi], slope) if K == 0 else ranking_slopes(u, K, slope)
    for a in range(left.shape[0]):
        pa, qa = p[a, :m], q[a, :m]
        for c in range(m):
            own = pa[c]
            pa[c] = slope[c] * own
            qa[c] = slope[c] * qa[c]
    _add_factor_gradient(x, lo, hi, q, left_gradient)
    _add_factor_gradient(z, lo, hi, p, right_gradient)
    return loss


@njit(**INNER)
def bilinear_pass(x, z, weight, offset, K, n, left, right, p, q, scratch, left_gradient, right_gradient):
    """Total loss and gradients by both factors."""
    left_gradient[:] = 0.0
    right_gradient[:] = 0.0
    loss, tile = 0.0, tile_of(K)
    for lo in range(0, n, tile):
        loss += bilinear_tile(
            x, z, weight, offset, K, lo, min(lo + tile, n), left, right, p, q, scratch, left_gradient, right_gradient
        )
    return loss


@njit(**FAST_PARALLEL)
def shared_bilinear_pass(x, z, weight, offset, K, n, left, right, left_gradient, right_gradient):
    """As `bilinear_pass`, over fixed chunks shared between threads and summed in order."""
    r, tile = left.shape[0], tile_of(K)
    tiles = (n + tile - 1) // tile
    part_left, part_right = np.zeros((_CHUNKS, r, left.shape[1])), np.zeros((_CHUNKS, r, right.shape[1]))
    part_loss = np.zeros(_CHUNKS)
    for chunk in prange(_CHUNKS):
        p, q, scratch = np.empty((r, tile)), np.empty((r, tile)), np.empty((2, tile))
        for number in range(chunk * tiles // _CHUNKS, (chunk + 1) * tiles // _CHUNKS):
            lo = number * tile
            part_loss[chunk] += bilinear_tile(
                x, z, weight, offset, K, lo, min(lo + tile, n), left, right, p, q, scratch, part_left[chunk],
                part_right[chunk],
            )  # fmt: skip
    left_gradient[:] = 0.0
    right_gradient[:] = 0.0
    loss = 0.0
    for chunk in range(_CHUNKS):
        loss += part_loss[chunk]
        left_gradient += part_left[chunk]
        right_gradient += part_right[chunk]
    return loss
