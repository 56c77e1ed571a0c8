"""Distinct whole numbers without hashing, and their order without comparing: names are numbered from 0 here, so that a
count or one sort of plain numbers tells everything."""

from __future__ import annotations

import numpy as np

from sim.arrays import AnyArray, BoolArray, IntArray


def distinct(numbers: IntArray) -> IntArray:
    """The distinct numbers of (n,), ascending; `np.unique`, many times as fast where most are different."""
    ordered = np.sort(numbers)
    return np.asarray(ordered[_firsts(ordered)])


def present(numbers: IntArray, n: int) -> IntArray:
    """Those of 0..n-1 that are among `numbers`, ascending."""
    return np.flatnonzero(np.bincount(numbers, minlength=n))


def stable_order(numbers: IntArray) -> IntArray:
    """`np.argsort(numbers, kind="stable")`, of numbers that are not negative.

    Number and place are sorted as one, number * n + place, where that is a number of 64 bits.
    """
    n = len(numbers)
    if n == 0 or int(numbers.max()) >= 2**62 // n:
        return np.argsort(numbers, kind="stable")
    both = numbers.astype(np.int64) * n + np.arange(n)
    both.sort()
    return np.asarray(both % n)


def numbered(labels: AnyArray) -> tuple[IntArray, int]:
    """(place of each label among the distinct ones, ascending; how many there are).

    labels: (n,), of any kind that sorts; whole numbers below a few times n are counted, others sorted.
    """
    if labels.dtype.kind not in "iu" or labels.size == 0 or labels.min() < 0:
        values, index = np.unique(labels, return_inverse=True)
        return index.reshape(labels.shape), len(values)
    if labels.max() < 4 * labels.size + 1024:
        seen = np.bincount(labels) > 0
        return (np.cumsum(seen) - 1)[labels], int(seen.sum())
    order = stable_order(labels)
    place = np.cumsum(_firsts(labels[order])) - 1
    index = np.empty(len(labels), dtype=np.int64)
    index[order] = place
    return index, int(place[-1]) + 1


def _firsts(ordered: AnyArray) -> BoolArray:
    first = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first
