"""A call in a process of its own that is watched: where it hangs or its process dies, a new one takes its place.

The process that waits holds no lock of Python's while it waits, and the watched one need not come back to Python to be
ended: a kernel that loops for ever is ended too. A watched process that nobody asks for anything for some seconds is
ended, wherever its parent runs: a worker of somebody's Dask cluster keeps none.

What a function imports where it first needs it does not count as its time, nor the compilation of kernels: a new
process is cold, the first call in it may take seconds for what later takes none, and where that were too long no call
would ever come to be warm.
"""

from __future__ import annotations

import builtins
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar

from sim.compiled import first_use
from sim.errors import InputError
from sim.running.orphans import end_with

T = TypeVar("T")
R = TypeVar("R")
# Seconds a new process has to be there: imports on a busy file system.
_PATIENCE = 120.0
# Seconds it is kept with nothing to do: the time between two batches, and not that between two studies.
_IDLE = 20.0


@dataclass(frozen=True)
class Ended:
    """The call did not come back.  beats: how often it had called `beat`; why: in words."""

    beats: int
    why: str


class _Child:
    """One process and the pipe to it; what it is asked it does one after the other."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        self._busy, self._gone, self._lock = True, False, threading.Lock()
        self._timer = threading.Timer(0.0, self._leave)
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

        beats, patience, counts = 0, max(time_out, _PATIENCE), False
        limit = patience
        try:
            self._pipe.send_bytes(dumps((function, task)))
            while self._pipe.poll(limit):
                kind, content = self._pipe.recv()
                counts = counts or kind in ("prepared", "beat")
                limit = time_out if counts and kind != "loads" else patience
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

    def taken(self) -> bool:
        """Whether it is still there; it is then not sent away until `rest`."""
        with self._lock:
            self._timer.cancel()
            self._busy = not self._gone
            return self._busy

    def rest(self) -> None:
        """It has nothing to do."""
        self._busy, self._timer = False, threading.Timer(_IDLE, self._leave)
        self._timer.daemon = True
        self._timer.start()

    def _leave(self) -> None:
        with self._lock:
            if not (self._busy or self._gone):
                self.kill()

    def kill(self) -> int:
        self._timer.cancel()
        self._gone = True
        if self._process.poll() is None:
            self._process.kill()
        self._pipe.close()
        return self._process.wait()


_HERE = threading.local()
_TO_PARENT: Connection | None = None
_TELLING = threading.Lock()


def watched(function: Callable[[T], R], task: T, time_out: float) -> R | Ended:
    """function(task) in this thread's watched process; it is ended where more than `time_out` seconds pass between its
    calls of `prepared` and `beat`, or after the last of them, imports and compilation apart. What it raises
    is raised here."""
    child: _Child | None = getattr(_HERE, "child", None)
    if child is None or not child.taken():
        child = _HERE.child = _Child()
    try:
        found = child.call(function, task, time_out)
    except InputError:
        child.rest()
        raise
    except BaseException as error:
        if not isinstance(error, Exception):
            _HERE.child = None
        else:
            child.rest()
        raise
    if isinstance(found, Ended):
        _HERE.child = None
    else:
        child.rest()
    return found


def dismiss() -> None:
    """This thread's watched process is no longer needed."""
    child: _Child | None = getattr(_HERE, "child", None)
    if child is not None:
        if child.taken():
            child.kill()
        _HERE.child = None


def prepared() -> None:
    """In a watched call: what it needs is imported, from here on its time counts. Nothing elsewhere."""
    _tell("prepared")


def beat() -> None:
    """In a watched call: it goes on. Nothing elsewhere."""
    _tell("beat")


def _tell(kind: str, content: object = None) -> None:
    if _TO_PARENT is not None:
        with _TELLING:  # threads import, too
            _TO_PARENT.send((kind, content))


class _Loads:
    """Says when modules are being loaded, each once: one that is not there and is asked for again and again is no
    progress. Asked first for every module that is not loaded yet, it finds none; what Python does at an `import` says
    when it is over."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._within = threading.local()
        self._import = builtins.__import__

    def install(self) -> None:
        sys.meta_path.insert(0, self)
        builtins.__import__ = self._imports
        first_use.begins, first_use.ends = self.compiles, self.compiled

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name not in self._seen:
            self._seen.add(name)
            # Out of an `import` (importlib.import_module) nobody will say when it is over: its time begins anew.
            inside = getattr(self._within, "depth", 0) > 0
            self._within.loading = inside
            _tell("loads" if inside else "loaded")

    def compiles(self) -> None:
        """What comes now, compilations and imports within one another, does not count until `compiled`."""
        self._within.depth = getattr(self._within, "depth", 0) + 1
        self._within.loading = True
        _tell("loads")

    def compiled(self) -> None:
        self._end()

    def _imports(self, *arguments: Any, **named: Any) -> Any:
        self._within.depth = getattr(self._within, "depth", 0) + 1
        try:
            return self._import(*arguments, **named)
        finally:
            self._end()

    def _end(self) -> None:
        own = self._within
        own.depth -= 1
        if own.depth == 0 and getattr(own, "loading", False):
            own.loading = False
            _tell("loaded")


def serve() -> None:
    """The watched process: does what it is asked until nobody is there to ask."""
    global _TO_PARENT
    end_with(int(sys.argv[3]))
    _TO_PARENT = Connection(int(sys.argv[2]))
    _tell("ready")
    _Loads().install()
    while True:
        try:
            function, task = _TO_PARENT.recv()
        except EOFError:
            return
        try:
            answer = ("answer", function(task))
        except Exception as error:  # whatever it raises is raised where it was asked for
            answer = ("error", error)
        _tell(*answer)
