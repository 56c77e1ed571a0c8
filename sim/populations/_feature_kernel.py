"""Compiled sampler of Bradley-Terry pairs with random features, a few cycles a feature."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim._philox import _HALF, _LOW, philox, unit
from sim.jit import FAST_PARALLEL, INNER, sigmoid

# Pairs a thread draws at once.
_CHUNK = 1 << 12


@njit(**INNER)
def _pair(index, width, theta, difference, replicate, k0, k1):
    """Draw pair `index`: features of first minus second into difference; (annotator, first was chosen).

    Block 0 of a pair holds the choice and the annotator, block 1 + j the features j and j + h of both items,
    h = ceil(d / 2), 32 bits each.
    """
    annotators, d = theta.shape
    half = (d + 1) // 2
    base = np.uint64(index) * np.uint64(half + 1)
    r0, r1 = replicate & _LOW, replicate >> _HALF
    w0, w1, w2, w3 = philox(base & _LOW, base >> _HALF, r0, r1, k0, k1)
    luck, annotator = unit(w0, w1), np.int64(unit(w2, w3) * annotators)
    # Only differences matter: width / 2^32 times that of two 32-bit words, exact in a float64.
    scale = width / 4294967296.0
    low, high = difference[:half], difference[half:]
    for j in range(half):
        block = base + np.uint64(1 + j)
        w0, w1, w2, w3 = philox(block & _LOW, block >> _HALF, r0, r1, k0, k1)
        low[j] = scale * np.float64(np.int64(w0) - np.int64(w1))
        high[j] = scale * np.float64(np.int64(w2) - np.int64(w3))
    margin, own = 0.0, theta[min(annotator, annotators - 1)]
    for j in range(d):
        margin += own[j] * difference[j]
    return min(annotator, annotators - 1), luck < sigmoid(margin)


@njit(**INNER)
def _draw(start, lo, hi, width, theta, annotator, first_chosen, out, replicate, k0, k1):
    d = theta.shape[1]
    difference = np.empty(2 * ((d + 1) // 2))
    for i in range(lo, hi):
        who, first = _pair(start + i, width, theta, difference, replicate, k0, k1)
        annotator[i], first_chosen[i] = who, first
        if out.shape[0] > 0:
            row, sign = out[i], 1.0 if first else -1.0
            for j in range(d):
                row[j] = sign * difference[j]


@njit(**FAST_PARALLEL)
def draw_float64(start, width, theta, annotator, first_chosen, out, replicate, k0, k1):
    """Pairs start, start + 1, ...; out (n, d) float64 chosen minus rejected, or (0, d): not stored."""
    n = annotator.size
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        lo = chunk * _CHUNK
        _draw(start, lo, min(lo + _CHUNK, n), width, theta, annotator, first_chosen, out, replicate, k0, k1)


# A function of its own: one kernel, one signature (see `sim.jit`).
@njit(**FAST_PARALLEL)
def draw_float32(start, width, theta, annotator, first_chosen, out, replicate, k0, k1):
    """The same into float32."""
    n = annotator.size
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        lo = chunk * _CHUNK
        _draw(start, lo, min(lo + _CHUNK, n), width, theta, annotator, first_chosen, out, replicate, k0, k1)
