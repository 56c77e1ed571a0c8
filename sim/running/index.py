"""What is finished in some places, and where each of it lies: read once, later on only what is new.

Held are intervals of numbers, and stretches of files (a series' tasks in order, a megabyte at most): the room of a
batch each, whatever the number of tasks. Contents are read again when they are asked for, in order.
"""

from __future__ import annotations

import heapq
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from sim.errors import InputError
from sim.files.locks import locked
from sim.running.generations import ALL, Generations, mark, split
from sim.running.places import Folder, Store
from sim.running.ranges import Ranges
from sim.running.records import VERSION, Line, parsed, put_whole, task_line

_STRETCH = 1 << 20
_BLOCK = 1 << 20
# cell, replicate and digest; other files of JSON are none of ours to speak of.
_FORMAT_1 = re.compile(r"\w+-\d+-[0-9a-f]+\.json")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Lines of one series with rising numbers: bytes start..stop of a file; age: the later file counts."""

    age: int
    start: int
    stop: int
    first: int


@dataclass
class _File:
    """age: the later counts.  read: so many bytes of it.  last: the series and number of the line before."""

    age: int
    place: Folder | Store
    name: str
    read: int = 0
    last: tuple[str, int] = ("", -1)
    damaged: int = 0
    skipped: str | None = None


class Index:
    """What counts of what lies there, and what has failed since `forget_failures`."""

    def __init__(self, places: Sequence[Folder | Store]) -> None:
        self._places = tuple(places)
        self._files: list[_File] = []
        self._known: dict[tuple[int, str], _File] = {}
        self._stretches: dict[str, list[_Stretch]] = {}
        # series -> generation -> numbers
        self._done: dict[str, dict[int, Ranges]] = {}
        self._failed: dict[str, dict[int, Ranges]] = {}
        self._generations = Generations()

    def refresh(self) -> Index:
        """Reads what has been added."""
        for number, place in enumerate(self._places):
            for name, size in place.sizes().items():
                if (number, name) not in self._known:
                    self._known[number, name] = _File(len(self._files), place, name)
                    self._files.append(self._known[number, name])
                file = self._known[number, name]
                if size > file.read and file.skipped is None:
                    self._read(file, size)
        return self

    def forget_failures(self) -> None:
        """What failed is tried again."""
        self._failed = {}

    def done_of(self, series: str) -> Ranges:
        return self._generations.counting(series, self._done.get(series, {}))

    def failed_of(self, series: str) -> Ranges:
        return self._generations.counting(series, self._failed.get(series, {}))

    def generation(self, series: str) -> int:
        """What is computed now is kept as of this one."""
        return self._generations.latest(series)

    def notices(self) -> list[str]:
        """A line each, about what could not be used."""
        lines = []
        for file in self._files:
            where = f"{file.place.address}/{file.name}"
            if file.damaged:
                lines.append(f"{where}: {file.damaged} damaged lines; their tasks are computed again")
            if file.skipped:
                lines.append(f"{where}: {file.skipped}; it may be deleted")
        for place in self._places:
            if isinstance(place, Folder) and place.path.is_dir():
                old = sum(_FORMAT_1.fullmatch(path.name) is not None for path in place.path.glob("*.json"))
                if old:
                    lines.append(
                        f"{place.path}: {old} files of format 1 (one a task) are not read; they may be deleted"
                    )
        return lines

    def ordered(self, series: str, start: int, stop: int) -> Iterator[Line]:
        """The tasks start..stop-1 of a series that are there, by number: finished, or as they failed."""
        waiting = sorted(self._stretches.get(series, ()), key=lambda own: own.first)
        number, place, open_lines = start, 0, list[tuple[int, int, int, Line, Iterator[Line]]]()

        def step(stretch_age: int, tie: int, lines: Iterator[Line]) -> None:
            for line in lines:
                if line.number >= stop:
                    return
                if line.number >= number:
                    heapq.heappush(open_lines, (line.number, -stretch_age, tie, line, lines))
                    return

        while True:
            # A stretch is opened when its first number is reached: as a rule one is open at a time.
            while place < len(waiting) and (not open_lines or waiting[place].first <= open_lines[0][0]):
                if waiting[place].first >= stop:
                    break
                step(waiting[place].age, -waiting[place].start, self._lines(series, waiting[place]))
                place += 1
            if not open_lines:
                return
            number, found = open_lines[0][0], list[Line]()
            while open_lines and open_lines[0][0] == number:
                _, age, tie, line, lines = heapq.heappop(open_lines)
                found.append(line)
                step(-age, tie, lines)
            # The latest first; what failed counts only where nothing succeeded.
            yield next((line for line in found if not line.failed), found[0])
            number += 1

    @property
    def damaged(self) -> bool:
        return any(own.damaged for own in self._files)

    @property
    def foreign(self) -> bool:
        """Files of another format are among them."""
        return any(own.skipped for own in self._files)

    def copy(self, into: Path) -> None:
        """All that counts in order in one new file of `into`, complete or not there at all."""
        lines = (line.raw + b"\n" for series in self._stretches for line in self.ordered(series, *ALL))
        # The marks, too: another run may be writing what they are about to a file that is left alone.
        put_whole(Folder(into), itertools.chain(self._generations.marks(), lines))

    def _read(self, file: _File, size: int) -> None:
        """The whole lines from where it was read to; the last piece may be what a kill left of a line, no damage."""
        rest = b""
        while file.read + len(rest) < size:
            begins = file.read + len(rest)
            block = rest + file.place.read(file.name, begins, min(begins + _BLOCK, size))
            if len(block) == len(rest):  # merged by another run meanwhile
                return
            *lines, rest = block.split(b"\n")
            for line in lines:
                self._take(file, line)
                file.read += len(line) + 1
                if file.skipped:
                    return

    def _take(self, file: _File, line: bytes) -> None:
        found = parsed(line)
        if found is None:
            file.damaged += 1
            return
        key, content = found
        if key == "format":
            self._require_format(file, content)
            return
        name, _, digits = key.rpartition("-")
        if not digits.isdecimal():
            self._generations.begin(key, content)
            return
        series, generation = split(name)
        self._generations.saw(series, generation)
        number, stop = int(digits), file.read + len(line) + 1
        kept = self._failed if content.startswith("{") else self._done
        kept.setdefault(series, {}).setdefault(generation, Ranges()).add(number, number + 1)
        own = self._stretches.setdefault(series, [])
        follows = bool(own) and (own[-1].age, own[-1].stop) == (file.age, file.read)
        if follows and file.last < (series, number) and stop - own[-1].start <= _STRETCH:
            own[-1] = _Stretch(file.age, own[-1].start, stop, own[-1].first)
        else:
            own.append(_Stretch(file.age, file.read, stop, number))
        file.last = (series, number)

    def _require_format(self, file: _File, content: str) -> None:
        if content == str(VERSION):
            return
        if content.isdecimal() and int(content) < VERSION:
            file.skipped = f"finished tasks of format {content} are not read"
            return
        raise InputError(
            f"holds finished tasks of format {content}, this program reads {VERSION}",
            file=f"{file.place.address}/{file.name}", fix="delete the folder, or choose another one",
        )  # fmt: skip

    def _lines(self, series: str, stretch: _Stretch) -> Iterator[Line]:
        """Those that count."""
        file, anew = self._files[stretch.age], dict[str, Ranges]()
        for line in file.place.read(file.name, stretch.start, stretch.stop).split(b"\n"):
            found = task_line(line) if line else None
            if found is None:
                continue
            if found.series not in anew:
                anew[found.series] = self._generations.since(*split(found.series))
            if found.number not in anew[found.series]:
                yield found


def begin_anew(place: Folder | Store, bounds: Mapping[str, tuple[int, int]]) -> None:
    """Nothing of these numbers of the series that is there counts any more, for anybody, whatever happens next."""
    index = Index([place]).refresh()
    put_whole(place, (mark(series, index.generation(series) + 1, *numbers) for series, numbers in bounds.items()))


def merge(place: Folder, *, damaged: bool = True) -> None:
    """The folder's several files, or one with damaged lines, become one of whole lines, and only then are removed; a
    file that another process writes to is left alone. What was written is then safe from a power cut.

    damaged: there may be such lines.
    """
    held = [(place.path_of(name), file) for name in place.sizes() if (file := _exclusive(place.path_of(name)))]
    try:
        for _, file in held:
            os.fsync(file.fileno())
        if len(held) < 2 and not damaged:
            return
        mine = Index([Folder(place.path, frozenset(path.name for path, _ in held))]).refresh()
        if mine.foreign or (len(held) < 2 and not mine.damaged):
            return
        mine.copy(place.path)
        for path, _ in held:
            path.unlink(missing_ok=True)
    finally:
        for _, file in held:
            file.close()


def _exclusive(path: Path) -> FileIO | None:
    """The file open and locked, or None if another run is writing to it or has removed it."""
    try:
        file = path.open("r+b", buffering=0)
    except OSError:
        return None
    if locked(file):
        return file
    file.close()
    return None
