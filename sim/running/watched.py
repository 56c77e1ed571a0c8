"""A call in a process of its own that is watched: where it hangs or its process dies, a new one takes its place.

The process that waits holds no lock of Python's while it waits, and the watched one need not come back to Python to be
ended: a kernel that loops for ever is ended too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import TypeVar

from sim.errors import InputError
from sim.running.orphans import end_with

T = TypeVar("T")
R = TypeVar("R")
# Seconds a new process has to be there: imports on a busy file system.
_PATIENCE = 120.0


@dataclass(frozen=True)
class Ended:
    """The call did not come back.  beats: how often it had called `beat`; why: in words."""

    beats: int
    why: str


class _Child:
    """One process and the pipe to it; what it is asked it does one after the other."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        code = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from sim.running.watched import serve; serve()"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            )  # fmt: skip
        if not self._pipe.poll(_PATIENCE):
            self.kill()
            raise InputError(f"a worker process did not start within {_PATIENCE:.0f} s", fix="run the same again")

    def call(self, function: Callable[[T], R], task: T, time_out: float) -> R | Ended:
        from joblib.externals.loky.backend.reduction import dumps

        beats, limit = 0, max(time_out, _PATIENCE)
        try:
            self._pipe.send_bytes(dumps((function, task)))
            while self._pipe.poll(limit):
                kind, content = self._pipe.recv()
                limit = limit if kind == "ready" else time_out
                if kind == "answer":
                    answer: R = content
                    return answer
                if kind == "error":
                    raise content
                beats += kind == "beat"
        except (EOFError, ConnectionError):
            code = self.kill()
            return Ended(beats, f"its process died ({f'signal {-code}' if code < 0 else f'exit code {code}'})")
        except BaseException:
            if not isinstance(sys.exception(), Exception):
                self.kill()
            raise
        self.kill()
        return Ended(beats, f"took more than {limit:g} s")

    def kill(self) -> int:
        if self._process.poll() is None:
            self._process.kill()
        self._pipe.close()
        return self._process.wait()


_HERE = threading.local()
_TO_PARENT: Connection | None = None


def watched(function: Callable[[T], R], task: T, time_out: float) -> R | Ended:
    """function(task) in this thread's watched process; it is ended where more than `time_out` seconds pass between its
    calls of `prepared` and `beat`, or after the last of them. What it raises is raised here."""
    child: _Child | None = getattr(_HERE, "child", None)
    if child is None:
        child = _HERE.child = _Child()
    try:
        found = child.call(function, task, time_out)
    except InputError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception):
            _HERE.child = None
        raise
    if isinstance(found, Ended):
        _HERE.child = None
    return found


def dismiss() -> None:
    """This thread's watched process is no longer needed."""
    child: _Child | None = getattr(_HERE, "child", None)
    if child is not None:
        child.kill()
        _HERE.child = None


def prepared() -> None:
    """In a watched call: what it needs is imported, from here on its time counts. Nothing elsewhere."""
    if _TO_PARENT is not None:
        _TO_PARENT.send(("prepared", None))


def beat() -> None:
    """In a watched call: it goes on. Nothing elsewhere."""
    if _TO_PARENT is not None:
        _TO_PARENT.send(("beat", None))


def serve() -> None:
    """The watched process: does what it is asked until nobody is there to ask."""
    global _TO_PARENT
    end_with(int(sys.argv[3]))
    _TO_PARENT = Connection(int(sys.argv[2]))
    _TO_PARENT.send(("ready", None))
    while True:
        try:
            function, task = _TO_PARENT.recv()
        except EOFError:
            return
        try:
            answer = ("answer", function(task))
        except Exception as error:  # whatever it raises is raised where it was asked for
            answer = ("error", error)
        _TO_PARENT.send(answer)
