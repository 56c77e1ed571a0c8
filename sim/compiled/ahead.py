"""A worker that waits for a kernel another one compiles does not sit there: it compiles what will be asked for next.

Which kernels an experiment calls, and with what types, stands in `kernels.json`, those that take longest first; it is
written by `benchmarks/kernels_ahead.py`, which runs the experiments. What does not stand there is compiled where it is
first called, as ever.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from sim.compiled.signatures import from_kept

_FILE = Path(__file__).with_name("kernels.json")


@cache
def _kept() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_FILE.read_text("utf-8"))
    return found


def kernels_of(work: str) -> tuple[str, ...]:
    """What this experiment calls, module.kernel; nothing of one that is not known."""
    return tuple(_kept()["work"].get(work, ()))


def signature_of(kernel: str) -> tuple[Any, ...]:
    return tuple(map(from_kept, _kept()["kernels"][kernel]))


def dispatcher_of(kernel: str) -> Any:
    module, name = kernel.rsplit(".", 1)
    return getattr(import_module(module), name)


def compile_one(work: str) -> bool:
    """One of this experiment's kernels that nobody has compiled or is compiling; False if there is none left."""
    for kernel in kernels_of(work):
        dispatcher = dispatcher_of(kernel)
        if not dispatcher.overloads and dispatcher._cache.take():
            try:
                dispatcher.compile(signature_of(kernel))
            finally:
                dispatcher._cache.release()
            return True
    return False
