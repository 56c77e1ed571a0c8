"""Batches of replicates, made as workers come free: as long as pays for handing them out, short enough to share."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from sim.studies.batches import Batch, Ran

# Handing a batch out, writing and reading it again takes milliseconds.
_SECONDS = 2.0
# One replicate says little of what the next thousands take.
_GROWTH = 32


class Batches(Iterator[Batch]):
    """Of what is missing: a batch of each cell in turn, so that an interrupted study has some of every cell; the last
    cell first, where as a rule the slowest is.

    size: replicates a batch; None: about two seconds' worth, of what is known by then, and never more than a fair part
    of what is left.
    """

    def __init__(
        self,
        templates: Mapping[str, Batch],
        missing: Sequence[tuple[str, int, int]],
        slots: Callable[[], int],
        size: int | None,
    ) -> None:
        self._templates, self._slots, self._size = templates, slots, size
        self._open = deque(reversed([(series, start, stop) for series, start, stop in missing]))
        self._left = sum(stop - start for _, start, stop in missing)
        self._most: dict[str, int] = {}

    def learn(self, batch: Batch, ran: Ran) -> None:
        """What a batch took."""
        each = max(ran.seconds / max(ran.replicates, 1), 1e-9)
        self._most[batch.series] = min(max(int(_SECONDS / each), 1), _GROWTH * ran.replicates)

    def __next__(self) -> Batch:
        if not self._open:
            raise StopIteration
        series, start, stop = self._open.popleft()
        fair = math.ceil(self._left / (4 * self._slots()))
        size = self._size or min(self._most.get(series, 1), fair)
        last = min(start + size, stop)
        self._left -= last - start
        if last < stop:
            self._open.append((series, last, stop))
        return replace(self._templates[series], first=start, last=last)
