"""Which pairs make a step, and which of them share a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from sim.preferences import IntArray
from sim.streams import Stream

# Sorting inside so many batches keeps padding small and batches still random.
_CHUNK_BATCHES = 32
# A part of the key of every unfinished or finished fit: one whose batches were cut by other rules is another fit.
# Until 30 November 2026 the last batch had what the others left, and with it the longest answers of its chunk.
CUT = "of like sizes"


def n_batches(n: int, batch: int) -> int:
    """How many batches of at most `batch` answers a pass over n has."""
    return -(-n // batch)


def step_batches(lengths: IntArray, batch: int, stream: Stream, bucket: bool = True) -> list[IntArray]:
    """A random order of the pairs cut into batches; lengths (n,), tokens of each answer as `Objective` counts them.

    bucket: pairs are sorted by length inside chunks of 32 batches before they are cut, and the batches shuffled:
    pairs of a batch are then of like length. Each pair occurs once. Batches are `n_batches` in number and their sizes
    differ by one at most: what is left of full ones would be the longest pairs of a chunk, in each pass.
    """
    order, number = stream.permutation(len(lengths)), n_batches(len(lengths), batch)
    bounds = np.arange(number + 1) * len(order) // max(number, 1)
    if bucket:
        for lo in range(0, number, _CHUNK_BATCHES):
            chunk = order[bounds[lo] : bounds[min(lo + _CHUNK_BATCHES, number)]]
            chunk[:] = chunk[np.argsort(lengths[chunk], kind="stable")]
    cut = [order[lo:hi] for lo, hi in pairwise(bounds)]
    return [cut[j] for j in stream.child("batches").permutation(number)] if bucket else cut


def micro_batches(rows: IntArray, lengths: IntArray, tokens: int, sequences: IntArray) -> Iterator[IntArray]:
    """A step's answers in pieces of at most `tokens` padded tokens; gradients add up.

    lengths: (n,) tokens of each answer's longest sequence.  sequences: (n,) how many it has, two of a pair.
    """
    rows = rows[np.argsort(lengths[rows], kind="stable")[::-1]]
    start = 0
    while start < len(rows):
        most = tokens // int(lengths[rows[start]])
        size = max(1, int(np.searchsorted(np.cumsum(sequences[rows[start:]]), most, side="right")))
        yield rows[start : start + size]
        start += size
