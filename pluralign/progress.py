"""Progress of long work on standard error: one line that is rewritten on a terminal, one every few seconds elsewhere.

Standard output belongs to results. Every command that takes long shows its progress by this.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Any

import pluralign.terminal as terminal
from sim.compiled import first_use
from sim.printable import printable

# Seconds between lines where there is no terminal: while something changes, and while nothing does.
EVERY, UNCHANGED = 5.0, 60.0
_REWRITE = 1.0


class Progress:
    """`with Progress() as progress: ... progress.show("fold 3 of 5")`; the line is gone when the work has ended.

    `show` is what is being done now: a later one takes its place, and elsewhere than on a terminal one every `EVERY`
    seconds is written. `note` is a line that stays. Both may be called as often as one likes.
    """

    _now: Progress | None = None

    def __init__(self, stream: Any = None, *, every: float = EVERY) -> None:
        self._stream = terminal.unescaped(sys.stderr if stream is None else stream)
        self._rewrites = bool(self._stream.isatty())
        self._every = every
        self._began = self._written = time.monotonic()
        self._text, self._new, self._width = "", False, 0
        self._lock, self._done = threading.RLock(), threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        Progress._now = self
        terminal.before_printing = self.make_room
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        Progress._now, terminal.before_printing = None, terminal.nothing
        self.make_room()

    def show(self, text: str) -> None:
        """What is being done now."""
        with self._lock:
            self._text, self._new = " ".join(text.split()), True
            self._refresh()

    def counted(self, done: int, total: int, seconds_left: float | None, what: str = "") -> None:
        """So many of so many, and how long the rest will take (None: not known yet)."""
        left = "" if seconds_left is None or done == total else f", about {duration(seconds_left)} left"
        self.show(f"{done} of {total}{' ' + what if what else ''}{left}")

    def note(self, text: str) -> None:
        """A line that stays."""
        with self._lock:
            self._clear()
            self._write(printable(" ".join(text.split())) + "\n")
            if self._rewrites:
                self._refresh()

    def make_room(self) -> None:
        """The line is gone, until the clock writes it again."""
        with self._lock:
            self._clear()

    def _tick(self) -> None:
        """The seconds go on while the work says nothing; elsewhere than on a terminal nothing is said in the first."""
        while not self._done.wait(_REWRITE):
            first_use.workers_compile()
            with self._lock:
                if not self._done.is_set():
                    self._refresh()

    def _refresh(self) -> None:
        if not self._text:
            return
        now = time.monotonic()
        line = printable(f"[{now - self._began:.0f} s] {self._text}")
        if self._rewrites:
            room = max(shutil.get_terminal_size((80, 24)).columns - 1, 10)
            line = line if len(line) <= room else line[: room - 3] + "..."
            self._write("\r" + line.ljust(self._width))
            self._width = len(line)
        elif now - self._written >= (self._every if self._new else UNCHANGED):
            self._write(line + "\n")
            self._written, self._new = now, False

    def _clear(self) -> None:
        if self._rewrites and self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _write(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody reads it any more, or it is closed: work does not end for want of a reader of its progress.
            self._done.set()


def note(text: str) -> None:
    """A line on standard error that stays, also while a command shows its progress."""
    if Progress._now is not None:
        Progress._now.note(text)
    else:
        print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """For a reader who waits: 40 s, 3 min, 2 h 10 min."""
    if seconds < 90:
        return f"{max(seconds, 0.0):.0f} s"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
