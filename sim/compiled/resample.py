"""Sums over resampled rows, the bootstrap's inner loop, without keeping what was drawn."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.arrays import IntArray
from sim.compiled.jit import JIT
from sim.compiled.philox import fill_part

# Numbers summed by eight running sums, NumPy's block: beyond it, halves are summed apart.
BLOCK = 128


def sum_plan(n: int) -> tuple[IntArray, IntArray]:
    """How NumPy sums a row of n numbers: sizes of the blocks from left to right, and how many pairs of partial sums
    are added up after each.

    Halves, the left one a multiple of eight, down to blocks.
    """
    sizes: list[int] = []
    merges: list[int] = []

    def halve(count: int) -> None:
        if count <= BLOCK:
            sizes.append(count)
            merges.append(0)
            return
        left = count // 2
        left -= left % 8
        halve(left)
        halve(count - left)
        merges[-1] += 1

    halve(n)
    return np.array(sizes, np.int64), np.array(merges, np.int64)


# No reassociation here, unlike other kernels: the order of the sum is what is promised.
@njit(**{**JIT, "parallel": True})
def resampled_sums(rows, sizes, merges, out, replicate, k0, k1):
    """out[b] = sum over j of rows[pick_bj], columns apart, pick_bj = floor(n U) with number b n + j of the stream.

    rows: (n, m).  sizes, merges: `sum_plan(n)`.  out: (draws, m), to the bit what NumPy's `rows[pick].sum(axis=1)` is.
    """
    n, m = rows.shape
    for b in prange(out.shape[0]):
        uniform, lane = np.empty(BLOCK), np.empty((8, m))
        # As deep as 2^60 numbers are halved.
        stack = np.empty((64, m))
        at, depth = b * n, 0
        for block in range(sizes.size):
            size = sizes[block]
            fill_part(uniform, at, 0, size, replicate, k0, k1)
            at += size
            whole = size - size % 8 if size >= 8 else 0
            if size >= 8:
                for i in range(8):
                    pick = min(np.int64(uniform[i] * n), n - 1)
                    for c in range(m):
                        lane[i, c] = rows[pick, c]
                for i in range(8, whole):
                    pick = min(np.int64(uniform[i] * n), n - 1)
                    for c in range(m):
                        lane[i % 8, c] += rows[pick, c]
                for c in range(m):
                    stack[depth, c] = ((lane[0, c] + lane[1, c]) + (lane[2, c] + lane[3, c])) + (
                        (lane[4, c] + lane[5, c]) + (lane[6, c] + lane[7, c])
                    )
            else:
                for c in range(m):
                    stack[depth, c] = 0.0
            for i in range(whole, size):
                pick = min(np.int64(uniform[i] * n), n - 1)
                for c in range(m):
                    stack[depth, c] += rows[pick, c]
            depth += 1
            for _ in range(merges[block]):
                depth -= 1
                for c in range(m):
                    stack[depth - 1, c] += stack[depth, c]
        for c in range(m):
            out[b, c] = stack[0, c]
