"""Compiled sampler of Bradley-Terry pairs with random features, a few cycles a feature."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

from sim.compiled.jit import FAST_PARALLEL, INNER, sigmoid
from sim.compiled.philox import HALF, LOW, philox, uniform_pair

# Pairs a thread draws at once, and blocks of features in the first cache.
_CHUNK, _BLOCKS = 1 << 12, 1 << 10


@njit(**INNER)
def _features(first, replicate, k0, k1, scale, low, high):
    """low[c] and high[c] = scale (w0 - w1) and scale (w2 - w3) of block first + c."""
    r0, r1 = replicate & LOW, replicate >> HALF
    for c in range(low.size):
        block = np.uint64(first + c)
        w0, w1, w2, w3 = philox(block & LOW, block >> HALF, r0, r1, k0, k1)
        # Only differences matter: exact in a float64.
        low[c] = scale * np.float64(np.int64(w0) - np.int64(w1))
        high[c] = scale * np.float64(np.int64(w2) - np.int64(w3))


@njit(**INNER)
def _answers(first, replicate, k0, k1, luck, who, annotators, annotator):
    """The two uniforms of block first + p: the choice's, and the annotator."""
    for p in range(annotator.size):
        luck[p], who[p] = uniform_pair(np.uint64(first + p), replicate, k0, k1)
    for p in range(annotator.size):
        annotator[p] = min(np.int64(who[p] * annotators), annotators - 1)


@njit(**INNER)
def _margins(theta, annotator, low, high, half, margin):
    """margin[p] = <theta of p's annotator, difference of p>; theta (M, 2 * half)."""
    for p in range(margin.size):
        own, x, y = theta[annotator[p]], low[p * half : (p + 1) * half], high[p * half : (p + 1) * half]
        total, own_y = 0.0, own[half:]
        for j in range(half):
            total += own[j] * x[j] + own_y[j] * y[j]
        margin[p] = total


@njit(**INNER)
def _choose(luck, margin, first_chosen):
    for p in range(first_chosen.size):
        first_chosen[p] = luck[p] < sigmoid(margin[p])


@njit(**INNER)
def _store(low, high, half, first_chosen, out):
    for p in range(out.shape[0]):
        x, y, row = low[p * half : (p + 1) * half], high[p * half : (p + 1) * half], out[p]
        sign, row_y = 1.0 if first_chosen[p] else -1.0, row[half:]
        for j in range(half):
            row[j] = sign * x[j]
        for j in range(row_y.size):
            row_y[j] = sign * y[j]


class Law(NamedTuple):
    """width of the cube, theta (M, 2 h), the replicate and the four words of the two keys."""

    width: Any
    theta: Any
    replicate: Any
    keys: Any


@njit(**INNER)
def _draw(start, lo, hi, law, annotator, first_chosen, out):
    """Pairs start + lo .. start + hi - 1; each step over a whole group, so that its loop fills the lanes.

    Pair i: features j and j + h of both items, h = ceil(d / 2), are the words of block i h + j under the first
    key; the choice and the annotator are the uniforms of block i under the second.  theta: (M, 2 h).
    """
    width, theta, replicate, keys = law.width, law.theta, law.replicate, law.keys
    half = theta.shape[1] // 2
    group = max(1, _BLOCKS // half)
    low, high = np.empty(group * half), np.empty(group * half)
    luck, who, margin = np.empty(group), np.empty(group), np.empty(group)
    for begin in range(lo, hi, group):
        end = min(begin + group, hi)
        pair, n = start + begin, end - begin
        x, y = low[: n * half], high[: n * half]
        _features(pair * half, replicate, keys[0], keys[1], width / 4294967296.0, x, y)
        _answers(pair, replicate, keys[2], keys[3], luck, who, theta.shape[0], annotator[begin:end])
        _margins(theta, annotator[begin:end], x, y, half, margin[:n])
        _choose(luck, margin, first_chosen[begin:end])
        if out.shape[0] > 0:
            _store(x, y, half, first_chosen[begin:end], out[begin:end])


@njit(**FAST_PARALLEL)
def draw_float64(start, width, theta, annotator, first_chosen, out, replicate, keys):
    """Pairs start, start + 1, ...; out (n, d) float64 chosen minus rejected, or (0, d): not stored.

    theta: (M, d), with a column of zeros more where d is odd.  keys: two of two words each.
    """
    n = annotator.size
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        lo = chunk * _CHUNK
        _draw(start, lo, min(lo + _CHUNK, n), Law(width, theta, replicate, keys), annotator, first_chosen, out)


# A function of its own: one kernel, one signature (see `sim.compiled.jit`).
@njit(**FAST_PARALLEL)
def draw_float32(start, width, theta, annotator, first_chosen, out, replicate, keys):
    """The same into float32."""
    n = annotator.size
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        lo = chunk * _CHUNK
        _draw(start, lo, min(lo + _CHUNK, n), Law(width, theta, replicate, keys), annotator, first_chosen, out)
