"""Sets of whole numbers that are nearly all there: intervals, so that a million replicates take the room of a few."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class Ranges:
    """Whole numbers from 0 as disjoint intervals [start, stop), never adjacent, in order."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """The numbers start .. stop - 1, whether they were there or not."""
        if stop <= start:
            return
        # Intervals that touch [start, stop) become one with it.
        low, high = bisect_left(self._stops, start), bisect_right(self._starts, stop)
        if low < high:
            start, stop = min(start, self._starts[low]), max(stop, self._stops[high - 1])
        self._starts[low:high], self._stops[low:high] = [start], [stop]

    def add_all(self, others: Ranges) -> None:
        for start, stop in others:
            self.add(start, stop)

    def copy(self) -> Ranges:
        twin = Ranges()
        twin._starts, twin._stops = list(self._starts), list(self._stops)
        return twin

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._starts, number) - 1
        return place >= 0 and number < self._stops[place]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The intervals."""
        return iter(list(zip(self._starts, self._stops, strict=True)))

    def count(self, start: int, stop: int) -> int:
        """How many of start .. stop - 1 are there."""
        return sum(max(min(high, stop) - max(low, start), 0) for low, high in self)

    def gaps(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The intervals of what is missing in [start, stop)."""
        for low, high in self:
            if low >= stop:
                break
            if low > start:
                yield start, low
            start = max(start, high)
        if start < stop:
            yield start, stop
