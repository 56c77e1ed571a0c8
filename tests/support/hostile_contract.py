"""What every input may do to a reader or a command, however odd it is: work, or be refused in one line.

No traceback, no hang (`SECONDS` of processor time), no memory (`MEMORY` more than before), nothing left where the
output goes after a refusal, nothing half-written ever, nothing on the screen that a terminal would obey.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

from pluralign.__main__ import main
from sim.errors import InputError

SECONDS = 30.0
MEMORY = 1 << 29
LONGEST_LINE = 1000
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# What is said beside a refusal: notes and warnings are lines of their own.
_BESIDE = ("[", "note: ", "warning: ", "compiling kernels")
# Codes with which a command that has worked says what it found.
_FOUND = {"check": {0, 1, 3}, "study": {0, 1}, "replay": {0, 1}, "axioms": {0}}


class TooSlow(BaseException):
    """Past every `except Exception`."""


@contextlib.contextmanager
def _within(seconds: float):
    """Processor time, so that a busy machine fails nobody; again and again, because compiled code may drop it."""

    def late(number, frame):
        raise TooSlow

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _now() -> int:
    """Bytes of address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@contextlib.contextmanager
def _at_most(memory: int):
    """More is refused by the system, as on a small machine."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_now() + memory, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def _held():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("default", category=UserWarning)
        with _within(SECONDS), _at_most(MEMORY):
            yield


def check_reader(read, *arguments):
    """What it returns, or None where it refused in one line."""
    try:
        with _held():
            return read(*arguments)
    except InputError as error:
        _assert_one_line(str(error))
        return None
    except TooSlow:
        raise AssertionError(f"took more than {SECONDS} s") from None


def _assert_one_line(text: str) -> None:
    line = " ".join(text.split())
    assert line, "an empty message"
    assert "Traceback" not in line


@contextlib.contextmanager
def folder_of(files):
    """A working directory with these files (name -> bytes, or a folder to copy), gone afterwards."""
    before = Path.cwd()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    try:
        for name, content in files.items():
            if isinstance(content, Path):
                shutil.copytree(content, folder / name)
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        os.chdir(folder)
        yield folder
    finally:
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def check_command(folder: Path, words, kept=()) -> int:
    """Type it; the exit code.  kept: what may stay in the folder after a refusal (finished pieces of long work)."""
    words = [str(word) for word in words]
    before, argv = _names(folder), sys.argv
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["pluralign", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _held():
            code = main()
    except TooSlow:
        raise AssertionError(f"took more than {SECONDS} s") from None
    except SystemExit as left:
        raise AssertionError(f"left by SystemExit({left.code}), past the one line") from left
    except BaseException:
        raise AssertionError(f"a traceback:\n{traceback.format_exc()}") from None
    finally:
        sys.argv = argv
    _assert_screen(words, code, out.getvalue(), err.getvalue())
    after = _names(folder)
    if code == 2:
        left = {name for name in after - before if not name.startswith(tuple(kept))} if kept else after - before
        assert not left, f"left behind: {sorted(left)}"
        assert before <= after, f"gone: {sorted(before - after)}"
    halves = [name for name in after - before if Path(name).name.startswith(".")]
    assert not halves, f"half-written: {halves}"
    return code


def _assert_screen(words, code, out: str, err: str) -> None:
    for text in (out, err):
        obeyed = _OBEYED.search(text)
        assert obeyed is None, f"{obeyed[0]!r} reaches the terminal: {text[max(obeyed.start() - 60, 0) :][:120]!r}"
    assert "Traceback" not in err
    if code == 2:
        assert out == "", out[:200]
        lines = [line for line in err.splitlines() if not line.startswith(_BESIDE)]
        assert len(lines) == 1, err[-2000:]
        assert lines[0].startswith("pluralign: error: "), lines[0]
        assert len(lines[0]) <= LONGEST_LINE, f"{len(lines[0])} characters: {lines[0][:300]}"
        assert "out of memory" not in lines[0], lines[0]
        return
    assert code in _FOUND.get(words[0], {0}), (code, err[-500:])
    if "--json" in words:
        json.loads(out, parse_constant=_no_json)


def _no_json(name: str):
    raise AssertionError(f"{name} is not JSON")
