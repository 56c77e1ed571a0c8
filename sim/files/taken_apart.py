"""Choices, rankings and ratings of many answers at once, taken apart into choices out of sets.

A ranking becomes the best out of all, the second out of the rest, and so on (Plackett-Luce); of equal ranks each is a
choice out of itself and those below.  Scores are compared two by two; equal ones tie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sim.files.pair_table import AnswerKind, Offered
from sim.preferences import AnyArray, FloatArray, IntArray

# Rank of a response that was offered and not ranked: below all that were.
UNRANKED = np.inf
# Comparisons of a ranking that are in memory at a time.
_AT_ONCE = 1 << 24


@dataclass(frozen=True, eq=False)
class _Part:
    """Choices of some answers: answer, taken, size, weight (e,); others (sum of size,); tie (e,)."""

    answer: IntArray
    taken: IntArray
    size: IntArray
    others: IntArray
    weight: FloatArray
    tie: AnyArray


def by_size(starts: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """(answers (g,), places (g, J) of their responses) of each number J of responses; starts: (n + 1,)."""
    sizes = np.diff(starts)
    for size in np.unique(sizes).tolist():
        rows = np.flatnonzero(sizes == size)
        yield rows, starts[rows][:, None] + np.arange(size)


def taken_apart(kind: AnswerKind, starts: IntArray, items: IntArray, said: AnyArray) -> Offered:
    """The choices that n answers are made of; answer j offered items[starts[j]:starts[j + 1]].

    said: of choices (n,) the place taken, -1 for none of them, which then is an alternative of every set, item -1;
    of rankings (m,) a rank an item, `UNRANKED` for none; of ratings (m,) a score an item.
    """
    apart: dict[AnswerKind, Callable[[IntArray, AnyArray], _Part]] = {"rankings": _rankings, "ratings": _ratings}
    parts = []
    if kind == "choices":
        none = bool((said < 0).any())
        parts = [_choices(rows, items[places], said[rows], none) for rows, places in by_size(starts)]
    else:
        for rows, places in by_size(starts):
            step = max(1, _AT_ONCE // places.shape[1] ** 2)
            for lo in range(0, len(rows), step):
                own = places[lo : lo + step]
                part = apart[kind](items[own], said[own])
                parts.append(_Part(rows[lo : lo + step][part.answer], *_further(part)))
    return _in_order(parts)


def _further(part: _Part) -> tuple[IntArray, IntArray, IntArray, FloatArray, AnyArray]:
    return part.taken, part.size, part.others, part.weight, part.tie


def _in_order(parts: list[_Part]) -> Offered:
    """One after the other by answer; within an answer they are in order already."""
    answer, taken, size, weight, tie = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("answer", "taken", "size", "weight", "tie")
    )
    others = np.concatenate([part.others for part in parts])
    starts = np.concatenate([[0], np.cumsum(size)])
    if (answer[1:] < answer[:-1]).any():
        order = np.argsort(answer, kind="stable")
        answer, taken, size, weight, tie = (own[order] for own in (answer, taken, size, weight, tie))
        first, starts = starts[:-1][order], np.concatenate([[0], np.cumsum(size)])
        others = others[np.repeat(first - starts[:-1], size) + np.arange(starts[-1])]
    return Offered(answer, taken, starts, others, weight, tie)


def _choices(rows: IntArray, items: IntArray, taken: IntArray, none: bool) -> _Part:
    """none: whether none of them is the last alternative of each."""
    offered = np.column_stack([items, np.full(len(items), -1)]) if none else items
    last = items.shape[1]
    place = np.where(taken < 0, last, taken)
    g, width = offered.shape
    left = np.arange(width) != place[:, None]
    one = np.ones(g)
    return _Part(
        rows, offered[np.arange(g), place], np.full(g, width - 1), offered[left], one, np.zeros(g, dtype=np.bool_)
    )


def _rankings(items: IntArray, ranks: FloatArray) -> _Part:
    order = np.argsort(ranks, axis=1, kind="stable")
    own = np.take_along_axis(ranks, order, axis=1)
    # below[j, p, k]: item k of answer j is below its p-th best.
    below = ranks[:, None, :] > own[:, :, None]
    size = below.sum(axis=2)
    made = (own < UNRANKED) & (size > 0)
    answer, place = np.nonzero(made)
    below &= made[:, :, None]
    of, _, other = np.nonzero(below)
    n = len(answer)
    return _Part(
        answer, items[answer, order[answer, place]], size[made], items[of, other], np.ones(n), np.zeros(n, np.bool_)
    )


def _ratings(items: IntArray, scores: FloatArray) -> _Part:
    first, second = np.triu_indices(items.shape[1], 1)
    left, right = scores[:, first], scores[:, second]
    higher = left >= right
    g, pairs = higher.shape
    # m scores hold at most m - 1 independent comparisons.
    share = (items.shape[1] - 1) / max(pairs, 1)
    return _Part(
        np.repeat(np.arange(g), pairs), np.where(higher, items[:, first], items[:, second]).ravel(),
        np.ones(g * pairs, dtype=np.int64), np.where(higher, items[:, second], items[:, first]).ravel(),
        np.full(g * pairs, share), (left == right).ravel(),
    )  # fmt: skip
