"""Ctrl-C ends a command with one line and 130, wherever it was.

Nothing but the standard library is imported here: it is the first thing a command loads.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

EXIT_CODE = 130
LINE = "pluralign: interrupted; check, study and llm runs go on from here when the same command is given again"
# Long enough for workers to be stopped and files to be closed, short enough for somebody who waits.
AGAIN = 3.0


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
    command would go on. So the interrupt is raised again every `AGAIN` seconds until this context is left.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    alarm: list[Any] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        alarm.append(signal.signal(signal.SIGALRM, again))
        signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        raise KeyboardInterrupt

    def again(number: int, frame: FrameType | None) -> None:
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
        signal.signal(signal.SIGINT, before)
        if alarm:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, alarm[0])
        sys.unraisablehook = hook
