"""Compiled sums for margins that are bilinear in two factors: u = sum_a <left_a, x> <right_a, z>.

Contexts and differences come as rows, (d padded to a multiple of four, n), as in `tiles`; the factors as rows too,
(r, d padded). Two or three rows of a factor share each load of the features.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.jit import INNER, exp
from sim.compiled.newton import slopes, slopes_unweighted
from sim.compiled.tiles import TILE, add_gradient, margins


@njit(**INNER)
def to_rows(values, lo, hi, rows):
    """rows[j, c] = values[lo + c, j], in blocks that stay in the cache."""
    for start in range(lo, hi, 16):
        stop = min(start + 16, hi)
        for j in range(values.shape[1]):
            row = rows[j, start - lo : stop - lo]
            for c in range(stop - start):
                row[c] = values[start + c, j]


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
def _gradient_3(features, lo, hi, s, t, v, f, g, h):
    for j in range(0, f.size, 4):
        x0, x1, x2, x3 = features[j, lo:hi], features[j + 1, lo:hi], features[j + 2, lo:hi], features[j + 3, lo:hi]
        f0, f1, f2, f3, g0, g1, g2, g3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        h0, h1, h2, h3 = 0.0, 0.0, 0.0, 0.0
        for c in range(hi - lo):
            f0 += s[c] * x0[c]
            f1 += s[c] * x1[c]
            f2 += s[c] * x2[c]
            f3 += s[c] * x3[c]
            g0 += t[c] * x0[c]
            g1 += t[c] * x1[c]
            g2 += t[c] * x2[c]
            g3 += t[c] * x3[c]
            h0 += v[c] * x0[c]
            h1 += v[c] * x1[c]
            h2 += v[c] * x2[c]
            h3 += v[c] * x3[c]
        for row, sums in ((f, (f0, f1, f2, f3)), (g, (g0, g1, g2, g3)), (h, (h0, h1, h2, h3))):
            row[j] += sums[0]
            row[j + 1] += sums[1]
            row[j + 2] += sums[2]
            row[j + 3] += sums[3]


@njit(**INNER)
def _add_factor_gradient(features, lo, hi, scaled, gradient):
    """gradient[a] += sum_c scaled[a, c] features[:, lo + c]."""
    m, r, a = hi - lo, gradient.shape[0], 0
    while a < r:
        left = r - a
        if left == 3 or left > 4:
            _gradient_3(
                features, lo, hi, scaled[a, :m], scaled[a + 1, :m], scaled[a + 2, :m], gradient[a], gradient[a + 1],
                gradient[a + 2],
            )  # fmt: skip
            a += 3
        elif left > 1:
            _gradient_2(features, lo, hi, scaled[a, :m], scaled[a + 1, :m], gradient[a], gradient[a + 1])
            a += 2
        else:
            add_gradient(features, lo, hi, scaled[a, :m], gradient[a])
            a += 1


@njit(**INNER)
def ranking_slopes(u, K, slope, curvature):
    """Plackett-Luce: slope of -sum_j log(e^u_j / sum_{l >= j} e^u_l) for each group of K, ranked best first; its loss.

    d / du_l = -1 + sum_{j <= l} p_jl, p_jl = e^u_l / sum_{m >= j} e^u_m, for all but the last, whose own choice is
    certain.  curvature: the diagonal of the second derivative, sum_{j <= l} p_jl (1 - p_jl).
    """
    loss = 0.0
    for start in range(0, u.size, K):
        largest = u[start]
        for j in range(1, K):
            largest = max(largest, u[start + j])
        rest, values, made = 0.0, u[start : start + K], slope[start : start + K]
        for j in range(K):
            made[j] = exp(values[j] - largest)
        for j in range(K):
            rest += made[j]
        passed, squares = 0.0, 0.0
        for j in range(K):
            weight, own = slope[start + j], u[start + j] - largest
            if j < K - 1:
                passed += 1.0 / rest
                squares += 1.0 / (rest * rest)
                loss += np.log(rest) - own
            curvature[start + j] = weight * (passed - weight * squares)
            slope[start + j] = weight * passed - (1.0 if j < K - 1 else 0.0)
            rest -= weight
            # What is left is a sum of exponentials: where the subtraction has cancelled it, it is added up again.
            if j < K - 1 and rest < 1e-3 * weight:
                rest = 0.0
                for later in range(j + 1, K):
                    rest += exp(u[start + later] - largest)
    return loss


@njit(**INNER)
def loss_slopes(u, weight, unweighted, K, slope, curvature):
    """Loss, slopes and curvatures of one tile. K = 0: answers; K > 1: groups of K ranked items."""
    if K > 0:
        return ranking_slopes(u, K, slope, curvature)
    return slopes_unweighted(u, slope, curvature) if unweighted else slopes(u, weight, slope, curvature)


@njit(**INNER)
def tile_of(K):
    """Columns of a pass: whole groups of K, a number that does not fall on one cache set."""
    return TILE if K <= 2 else max(TILE // K, 1) * K


@njit(**INNER)
def add_curvature(p, q, u, w, curvature):
    """sums[0] += sum w p p', sums[1] += sum w q q' (lower triangles), totals[1:3] += sum w, sum w u^2."""
    m, sums, totals = w.size, curvature.sums, curvature.totals
    for a in range(p.shape[0]):
        for b in range(a + 1):
            pa, pb, qa, qb = p[a, :m], p[b, :m], q[a, :m], q[b, :m]
            pp, qq = 0.0, 0.0
            for c in range(m):
                pp += w[c] * pa[c] * pb[c]
                qq += w[c] * qa[c] * qb[c]
            sums[0, a, b] += pp
            sums[1, a, b] += qq
    mass, along = 0.0, 0.0
    for c in range(m):
        mass += w[c]
        along += w[c] * u[c] * u[c]
    totals[1] += mass
    totals[2] += along


@njit(**INNER)
def _bilinear_tile(answers, lo, hi, factors, scratch, gradient, curvature):
    """Add one tile's loss (totals[0]), gradients by both factors and curvatures."""
    m, x, z, offset = hi - lo, answers.x, answers.z, answers.offset
    p, q, rows = scratch.p, scratch.q, scratch.rows
    u, slope, bend = rows[0, :m], rows[1, :m], rows[2, :m]
    factor_margins(x, lo, hi, factors.left, p)
    factor_margins(z, lo, hi, factors.right, q)
    r = factors.left.shape[0]
    for a in range(r):
        pa, qa = p[a, :m], q[a, :m]
        before = offset[lo:hi] if a == 0 else u
        for c in range(m):
            u[c] = before[c] + pa[c] * qa[c]
    curvature.totals[0] += loss_slopes(u, answers.weight[lo:hi], answers.unweighted, answers.K, slope, bend)
    add_curvature(p, q, u, bend, curvature)
    for a in range(r):
        pa, qa = p[a, :m], q[a, :m]
        for c in range(m):
            pa[c] *= slope[c]
            qa[c] *= slope[c]
    _add_factor_gradient(x, lo, hi, q, gradient.left)
    _add_factor_gradient(z, lo, hi, p, gradient.right)


@njit(**INNER)
def curved_pass(answers, factors, scratch, gradient, curvature):
    """Gradients by both factors, what the curvature is made of, see `add_curvature`; returns the total loss."""
    gradient.left[:] = 0.0
    gradient.right[:] = 0.0
    curvature.sums[:] = 0.0
    curvature.totals[:] = 0.0
    tile, n = tile_of(answers.K), answers.n
    for lo in range(0, n, tile):
        _bilinear_tile(answers, lo, min(lo + tile, n), factors, scratch, gradient, curvature)
    return curvature.totals[0]
