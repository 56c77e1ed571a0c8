"""Compiled sums over answers as they come, (n, d): four of them share each load of three vectors of d features."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from sim.compiled.jit import INNER


@njit(**INNER)
def row_margins(values, lo, hi, f, g, h, p, q, s):
    """p[c], q[c], s[c] = <f, v>, <g, v>, <h, v> for v = values[lo + c]."""
    m, d = hi - lo, values.shape[1]
    for c in range(0, m - 3, 4):
        v0, v1, v2, v3 = values[lo + c], values[lo + c + 1], values[lo + c + 2], values[lo + c + 3]
        p0, p1, p2, p3, q0, q1, q2, q3 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for j in range(d):
            p0 += f[j] * v0[j]
            p1 += f[j] * v1[j]
            p2 += f[j] * v2[j]
            p3 += f[j] * v3[j]
            q0 += g[j] * v0[j]
            q1 += g[j] * v1[j]
            q2 += g[j] * v2[j]
            q3 += g[j] * v3[j]
            s0 += h[j] * v0[j]
            s1 += h[j] * v1[j]
            s2 += h[j] * v2[j]
            s3 += h[j] * v3[j]
        p[c], p[c + 1], p[c + 2], p[c + 3] = p0, p1, p2, p3
        q[c], q[c + 1], q[c + 2], q[c + 3] = q0, q1, q2, q3
        s[c], s[c + 1], s[c + 2], s[c + 3] = s0, s1, s2, s3
    for c in range(m - m % 4, m):
        v0 = values[lo + c]
        p0, q0, s0 = 0.0, 0.0, 0.0
        for j in range(d):
            p0 += f[j] * v0[j]
            q0 += g[j] * v0[j]
            s0 += h[j] * v0[j]
        p[c], q[c], s[c] = p0, q0, s0


@njit(**INNER)
def add_row_gradient(values, lo, hi, p, q, s, f, g, h):
    """f += sum_c p[c] values[lo + c], and likewise g and h."""
    m, d = hi - lo, values.shape[1]
    for c in range(0, m - 3, 4):
        v0, v1, v2, v3 = values[lo + c], values[lo + c + 1], values[lo + c + 2], values[lo + c + 3]
        p0, p1, p2, p3 = p[c], p[c + 1], p[c + 2], p[c + 3]
        q0, q1, q2, q3 = q[c], q[c + 1], q[c + 2], q[c + 3]
        s0, s1, s2, s3 = s[c], s[c + 1], s[c + 2], s[c + 3]
        for j in range(d):
            f[j] += p0 * v0[j] + p1 * v1[j] + p2 * v2[j] + p3 * v3[j]
            g[j] += q0 * v0[j] + q1 * v1[j] + q2 * v2[j] + q3 * v3[j]
            h[j] += s0 * v0[j] + s1 * v1[j] + s2 * v2[j] + s3 * v3[j]
    for c in range(m - m % 4, m):
        v0 = values[lo + c]
        for j in range(d):
            f[j] += p[c] * v0[j]
            g[j] += q[c] * v0[j]
            h[j] += s[c] * v0[j]
