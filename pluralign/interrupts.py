"""Ctrl-C ends a command with one line and 130, wherever it was.

Nothing but the standard library is imported here: it is the first thing a command loads.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

EXIT_CODE = 130
LINE = "pluralign: interrupted; check, study and llm runs go on from here when the same command is given again"
# Seconds: long enough for workers to be stopped and files to be closed, short enough for somebody who waits.
AGAIN = 0.7
# After so many times there is no more waiting: whatever is on disk is whole after a kill too.
TIMES = 2
# Of a compiler that drops what is raised, and looks up seldom.
_COMPILER, _AGAIN_THERE = "numba", 0.2


def say_interrupted() -> int:
    """The line, on a line of its own; returns the exit code."""
    # A terminal shows ^C where the cursor was.
    sys.stderr.write(("\n" if sys.stderr.isatty() else "") + LINE + "\n")
    return EXIT_CODE


@contextmanager
def guarded_imports() -> Iterator[None]:
    """Around the imports of a program's own module, where nobody could catch the interrupt."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(say_interrupted())


@contextmanager
def insistent_interrupts() -> Iterator[None]:
    """Inside, an interrupt that was lost comes again.

    LLVM calls Python back while it compiles a kernel, and what is raised in such a call is printed and dropped: the
    command would go on. So the interrupt is raised again after `AGAIN` seconds, and where this context is not left
    then, or while something is being compiled, the process ends without more ado, and with it its workers.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    alarm: list[Any] = []
    times, over = 0, False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal times
        alarm.append(signal.signal(signal.SIGALRM, again))
        if _in_compiler(frame):
            times = TIMES - 1
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_THERE, _AGAIN_THERE)
        else:
            signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        raise KeyboardInterrupt

    def again(number: int, frame: FrameType | None) -> None:
        nonlocal times
        if over:
            return
        times += 1
        if times >= TIMES:
            say_interrupted()
            sys.stderr.flush()
            os._exit(EXIT_CODE)
        raise KeyboardInterrupt

    def unraisable(lost: Any) -> None:
        if not (isinstance(lost.exc_value, KeyboardInterrupt) or lost.exc_type is KeyboardInterrupt):
            hook(lost)

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        # Somebody else's handler, or ignored as in a background job: theirs stays.
        yield
        return
    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        # First of all: the next one would be raised in the middle of what follows.
        over = True
        signal.signal(signal.SIGINT, before)
        if alarm:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, alarm[0])
        sys.unraisablehook = hook


def _in_compiler(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == _COMPILER:
            return True
        frame = frame.f_back
    return False
