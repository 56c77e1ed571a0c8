"""Comparisons of items with random features, at the speed of the random source.

For studies of estimators at scale: no contexts, no environment, ten million pairs a second and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from sim.arguments import require_count
from sim.preferences import AnyArray, BoolArray, FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class FeaturePairs:
    """annotator (n,), first_chosen (n,): whether the item drawn first won.  differences (n, d): features of the
    chosen item minus those of the rejected, or None where they were not stored."""

    annotator: IntArray
    first_chosen: BoolArray
    differences: AnyArray | None

    def __len__(self) -> int:
        return len(self.annotator)


class PairBlocks:
    """Differences of a sample of `sample_feature_pairs` that no memory holds, by blocks: each is drawn when it is asked
    for, the same every time, into one array that the next one overwrites.

    theta, n_pairs, stream, width: as there.  block: pairs of each but the last.
    """

    def __init__(
        self, theta: FloatArray, n_pairs: int, stream: Stream, *, width: float = 2.0, block: int = 1 << 18
    ) -> None:
        require_count("n_pairs", n_pairs, 0)
        require_count("block", block)
        self._theta = _checked(theta, width)
        self._n, self._stream, self._width, self._block = n_pairs, stream, width, block
        self._out = np.empty((min(block, n_pairs), self._theta.shape[-1]))

    def __len__(self) -> int:
        return -(-self._n // self._block)

    def __getitem__(self, place: int) -> FloatArray:
        # One at a time: a slice of blocks that share their memory would be the last of them again and again.
        number = range(len(self))[index(place)]
        start = number * self._block
        n = min(self._block, self._n - start)
        drawn = sample_feature_pairs(
            self._theta, n, self._stream, start=start, width=self._width, out=self._out[:n]
        ).differences
        assert drawn is not None
        return drawn


def sample_feature_pairs(
    theta: FloatArray,
    n_pairs: int,
    stream: Stream,
    *,
    start: int = 0,
    width: float = 2.0,
    store: bool = True,
    dtype: DTypeLike = np.float64,
    out: AnyArray | None = None,
) -> FeaturePairs:
    """n pairs of items, each judged by an annotator drawn uniformly.

    x, x' uniform on a cube of side `width` in R^d (2: [-1, 1)^d; 1: [0, 1)^d; the place is immaterial),
    a uniform on 0..M-1,  P(x chosen) = sigma(<theta_a, x - x'>).

    theta: (M, d).  Pair i is a function of (stream, start + i, theta) alone: `start` regenerates any part of a
    larger sample, so that a sample of a size no memory holds is drawn with store=False and visited in parts.
    Features have 32 random bits each.  dtype: float64 or float32 (the choices are the same).
    out: (n, d) C-ordered array of that dtype to write the differences into (fresh memory costs more than the
    draws); returned as `differences`.
    """
    from sim.compiled import feature_pairs

    theta = _checked(theta, width)
    if n_pairs < 0 or start < 0:
        raise ValueError(f"n_pairs and start must not be negative (got {n_pairs}, {start})")
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise ValueError(f"dtype must be float64 or float32 (got {kind})")
    shape = (n_pairs if store else 0, theta.shape[1])
    if out is None:
        out = np.empty(shape, kind)
    elif out.shape != shape or out.dtype != kind or not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError(
            f"out must be a writable C-ordered {kind} array of shape {shape} (got {out.dtype} {out.shape})"
        )
    annotator, first_chosen = np.empty(n_pairs, np.int64), np.empty(n_pairs, np.bool_)
    draw = feature_pairs.draw_float64 if kind == np.float64 else feature_pairs.draw_float32
    keys = np.array([*stream.child("features").key, *stream.child("answers").key], dtype=np.uint64)
    padded = np.pad(theta, ((0, 0), (0, theta.shape[1] % 2)))
    draw(start, float(width), padded, annotator, first_chosen, out, np.uint64(stream.replicate), keys)
    return FeaturePairs(annotator, first_chosen, out if store else None)


def _checked(theta: FloatArray, width: float) -> FloatArray:
    theta = np.array(theta, dtype=np.float64, ndmin=2)
    if theta.ndim != 2 or 0 in theta.shape:
        raise ValueError(f"theta must be (annotators, features), neither empty (got {theta.shape})")
    if not np.isfinite(theta).all():
        raise ValueError("theta must be finite")
    if not 0 < width < np.inf:
        raise ValueError(f"width must be positive and finite (got {width})")
    return theta
