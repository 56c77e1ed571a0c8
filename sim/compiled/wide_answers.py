"""Compiled passes over answers with many features, (n, d) and sorted by annotator, in which each answer is read once.

A product of all answers with a few vectors costs little more than reading them: what is computed from one annotator's
answers is computed while they are in the cache. Vectors come as rows, with rows of zeros to a multiple of three.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from sim.compiled.heads import fit_head
from sim.compiled.jit import FAST
from sim.compiled.row_sums import add_row_gradient, row_margins
from sim.compiled.structs import Answers

# Answers that stay in the cache from one three of the vectors to the next.
_BLOCK = 64


@njit(**FAST)
def heads_over(answers, ridge, tolerance, basis, heads, by_basis, work):
    """Heads (N, k) at their optimum over `basis` (k and zeros, d), from where they are; answers: `WideAnswers`.

    (penalised loss, sum of curvatures); by_basis (as basis) = sum_j slope_j v_i x_j', slopes of the loss by the margin.
    """
    rows, starts, weight, offset = answers
    k, wide, longest = heads.shape[1], basis.shape[0], 1
    for i in range(heads.shape[0]):
        longest = max(longest, starts[i + 1] - starts[i])
    projected, total, curved = np.empty((wide, longest)), 0.0, 0.0
    by_basis[:] = 0.0
    for i in range(heads.shape[0]):
        lo, hi, head = starts[i], starts[i + 1], heads[i]
        m = hi - lo
        for a in range(0, wide, 3):
            row_margins(
                rows, lo, hi, basis[a], basis[a + 1], basis[a + 2], projected[a], projected[a + 1], projected[a + 2]
            )
        own = Answers(projected, weight[lo:hi], offset[lo:hi])
        total += fit_head(own, 0, m, ridge, tolerance, head, work)
        slope, curvature = work.columns[1], work.columns[2]
        for c in range(m):
            curved += curvature[c]
        for a in range(wide):
            pulled, v = projected[a], head[a] if a < k else 0.0
            for c in range(m):
                pulled[c] = v * slope[c]
        for a in range(0, wide, 3):
            add_row_gradient(
                rows, lo, hi, projected[a], projected[a + 1], projected[a + 2],
                by_basis[a], by_basis[a + 1], by_basis[a + 2],
            )  # fmt: skip
    return total, curved


@njit(**FAST)
def margins_along(rows, vectors, out):
    """out[a, j] = <vectors[a], x_j>; vectors (k and zeros, d), out (as many, n)."""
    n = rows.shape[0]
    for lo in range(0, n, _BLOCK):
        hi = min(lo + _BLOCK, n)
        for a in range(0, vectors.shape[0], 3):
            row_margins(
                rows, lo, hi, vectors[a], vectors[a + 1], vectors[a + 2],
                out[a, lo:hi], out[a + 1, lo:hi], out[a + 2, lo:hi],
            )  # fmt: skip


@njit(**FAST)
def gradient_by_group(rows, edges, group, slope, out):
    """out[g] = sum of slope_j x_j over the answers of the annotators i of group g, answers edges[i]:edges[i + 1]."""
    out[:] = 0.0
    d = rows.shape[1]
    for i in range(group.size):
        own, lo, hi = out[group[i]], edges[i], edges[i + 1]
        last = hi - (hi - lo) % 4
        for j in range(lo, last, 4):
            x0, x1, x2, x3 = rows[j], rows[j + 1], rows[j + 2], rows[j + 3]
            s0, s1, s2, s3 = slope[j], slope[j + 1], slope[j + 2], slope[j + 3]
            for c in range(d):
                own[c] += s0 * x0[c] + s1 * x1[c] + s2 * x2[c] + s3 * x3[c]
        for j in range(last, hi):
            x, s = rows[j], slope[j]
            for c in range(d):
                own[c] += s * x[c]
