"""Which of the finished tasks in a place count, where it was begun anew there (`--fresh`).

A run that is to compute everything again first writes a mark, a line a series,

    <checksum> <series>+<generation> [<start>,<stop>]

whose generation is the last one's plus 1: no task start..stop-1 of an earlier generation counts from here on. Whoever
computes a task afterwards keeps it under the series' latest generation, as `<series>+<generation>-<number>`; what was
kept before anybody began anew has none, and is of generation 0. So a task counts where no later generation has been
begun over its number. That needs no order of files, clocks or processes: a worker that appends to its old file, one of
a run before that comes late, and an object store without order are all judged alike; and a run that is killed, or in
which a task fails, leaves what it was to replace just as dead. The marks of a run are one file, complete or not there
at all, and there before anything else is done. When files are merged each series keeps one line an interval.

A mark that is damaged cannot say which numbers it was about. Where a line of its generation is there, it was all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from sim.running.ranges import Ranges
from sim.running.records import checked

ALL = (0, 1 << 62)
"""Every number of a series."""


def named(series: str, generation: int) -> str:
    """The series as its tasks of a generation are kept."""
    return f"{series}+{generation}" if generation else series


def split(name: str) -> tuple[str, int]:
    """(series, generation) of what `named` made."""
    series, plus, generation = name.rpartition("+")
    return (series, int(generation)) if plus and generation.isdecimal() else (name, 0)


def mark(series: str, generation: int, start: int, stop: int) -> bytes:
    return checked(named(series, generation), json.dumps([start, stop], separators=(",", ":")))


class Generations:
    """The marks of some places, as they are read, in any order."""

    def __init__(self) -> None:
        self._begun: dict[str, dict[int, Ranges]] = {}
        self._seen: dict[str, set[int]] = {}

    def begin(self, name: str, content: str) -> None:
        """A line that is no task's; any but a mark says nothing here."""
        series, generation = split(name)
        if generation:
            start, stop = json.loads(content)
            self._begun.setdefault(series, {}).setdefault(generation, Ranges()).add(start, stop)

    def saw(self, series: str, generation: int) -> None:
        """A task of this generation is there."""
        if generation:
            self._seen.setdefault(series, set()).add(generation)

    def latest(self, series: str) -> int:
        """What is computed now is of this one."""
        return max(*self._begun.get(series, ()), *self._seen.get(series, ()), 0, 0)

    def since(self, series: str, generation: int) -> Ranges:
        """The numbers that have been begun anew after it: those of it do not count."""
        begun, out = self._begun.get(series, {}), Ranges()
        for later, numbers in begun.items():
            if later > generation:
                out.add_all(numbers)
        if any(later > generation and later not in begun for later in self._seen.get(series, ())):
            out.add(*ALL)
        return out

    def counting(self, series: str, found: Mapping[int, Ranges]) -> Ranges:
        """The numbers that count of those that are there, by generation."""
        if not self.latest(series):
            return found.get(0, Ranges())
        out = Ranges()
        for generation, numbers in found.items():
            since = self.since(series, generation)
            for start, stop in numbers:
                for gap in since.gaps(start, stop):
                    out.add(*gap)
        return out

    def marks(self) -> Iterator[bytes]:
        """What is to be kept of them: of each series its numbers by the last generation begun over them; of one all of
        whose numbers were begun anew since, and that has tasks of others, that it was not about those."""
        for series, begun in self._begun.items():
            for generation, numbers in begun.items():
                since = self.since(series, generation)
                left = [gap for start, stop in numbers for gap in since.gaps(start, stop)]
                none = [(0, 0)] if generation in self._seen.get(series, ()) else []
                for start, stop in left or none:
                    yield mark(series, generation, start, stop)
