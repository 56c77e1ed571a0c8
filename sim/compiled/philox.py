"""Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), compiled."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from sim.compiled.jit import FAST, FAST_PARALLEL, INNER, JIT

_M0 = np.uint64(0xD2511F53)
_M1 = np.uint64(0xCD9E8D57)
_W0 = np.uint64(0x9E3779B9)
_W1 = np.uint64(0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
# 53 random bits and a half: the midpoints of 2^53 equal cells, so never exactly 0 or 1.
_CELL = 1.0 / 9007199254740992.0
# Numbers a thread draws at once.
_CHUNK = 1 << 14


@njit(inline="always", error_model="numpy")
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Ten rounds on a 128-bit counter under a 64-bit key; all eight words are uint64 below 2^32."""
    for _ in range(10):
        p0 = _M0 * c0
        p1 = _M1 * c2
        c0, c1, c2, c3 = (p1 >> HALF) ^ c1 ^ k0, p1 & LOW, (p0 >> HALF) ^ c3 ^ k1, p0 & LOW
        k0 = (k0 + _W0) & LOW
        k1 = (k1 + _W1) & LOW
    return c0, c1, c2, c3


@njit(inline="always", error_model="numpy")
def unit(high, low):  # type: ignore[no-untyped-def]
    """Two 32-bit words -> a float64 strictly between 0 and 1."""
    bits = ((high << HALF) | low) >> np.uint64(11)
    return (np.float64(np.int64(bits)) + 0.5) * _CELL


@njit(**JIT)
def philox_block(counter, key):  # type: ignore[no-untyped-def]
    """One block, for the published test vectors; uint64 arrays (4,) and (2,)."""
    out = np.empty(4, np.uint64)
    out[0], out[1], out[2], out[3] = philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1])
    return out


@njit(inline="always", error_model="numpy")
def uniform_pair(block, replicate, k0, k1):  # type: ignore[no-untyped-def]
    """The two uniforms of one block: numbers 2 * block and 2 * block + 1 of the stream."""
    w0, w1, w2, w3 = philox(block & LOW, block >> HALF, replicate & LOW, replicate >> HALF, k0, k1)
    return unit(w0, w1), unit(w2, w3)


@njit(**INNER)
def fill_part(out, start, lo, hi, replicate, k0, k1):  # type: ignore[no-untyped-def]
    """out[lo..hi-1] = numbers start + lo .. start + hi - 1 of the stream."""
    if (start + lo) % 2 == 1:
        out[lo] = uniform_pair(np.uint64((start + lo) // 2), replicate, k0, k1)[1]
        lo += 1
    # Cut to its part: an index that might be negative would cost a test, and the vector lanes.
    part, first = out[lo:hi], (start + lo) // 2
    for i in range(part.size // 2):
        part[2 * i], part[2 * i + 1] = uniform_pair(np.uint64(first + i), replicate, k0, k1)
    if part.size % 2 == 1:
        part[part.size - 1] = uniform_pair(np.uint64(first + part.size // 2), replicate, k0, k1)[0]


# Two functions, not one under two sets of flags: numba's cache tells kernels apart by their source alone.
@njit(**FAST)
def fill_serial(out, start, replicate, k0, k1):  # type: ignore[no-untyped-def]
    """out[i] = number start + i of the stream."""
    if out.size > 0:
        fill_part(out, start, 0, out.size, replicate, k0, k1)


@njit(**FAST_PARALLEL)
def fill_parallel(out, start, replicate, k0, k1):  # type: ignore[no-untyped-def]
    """As `fill_serial`, over threads: the index decides every number, so the bits are the same."""
    chunks = (out.size + _CHUNK - 1) // _CHUNK
    for chunk in prange(chunks):
        lo = chunk * _CHUNK
        fill_part(out, start, lo, min(lo + _CHUNK, out.size), replicate, k0, k1)
