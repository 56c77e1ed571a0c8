"""Which pairs make a step, and which of them share a forward pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sim.preferences import IntArray
from sim.streams import Stream

# Sorting inside so many batches keeps padding small and batches still random.
_CHUNK_BATCHES = 32


def step_batches(lengths: IntArray, batch: int, stream: Stream, bucket: bool = True) -> list[IntArray]:
    """A random order of the pairs cut into batches; lengths (n,), tokens of each answer as `Objective` counts them.

    bucket: pairs are sorted by length inside chunks of 32 batches before they are cut, and the batches shuffled:
    pairs of a batch are then of like length. Each pair occurs once; the last batch may be smaller.
    """
    order = stream.permutation(len(lengths))
    if not bucket:
        return [order[lo : lo + batch] for lo in range(0, len(order), batch)]
    cut: list[IntArray] = []
    for lo in range(0, len(order), batch * _CHUNK_BATCHES):
        chunk = order[lo : lo + batch * _CHUNK_BATCHES]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        cut += [chunk[j : j + batch] for j in range(0, len(chunk), batch)]
    return [cut[j] for j in stream.child("batches").permutation(len(cut))]


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
