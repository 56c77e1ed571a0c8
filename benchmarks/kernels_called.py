"""A pluralign command, and after it one line of JSON: the kernels it called, the seconds each took to compile, and the
types it was called with. `python benchmarks/kernels_called.py study types --set replicates=1 ...`
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from numba.core import event
from numba.core.caching import NullCache
from numba.core.registry import CPUDispatcher

from pluralign.__main__ import main
from sim.compiled.signatures import as_kept


class _Seconds(event.Listener):
    """Of each kernel with all it calls."""

    def __init__(self) -> None:
        self.of: dict[Any, float] = {}
        self._began: list[float] = []

    def on_start(self, event: Any) -> None:
        self._began.append(time.perf_counter())

    def on_end(self, event: Any) -> None:
        took = time.perf_counter() - self._began.pop()
        if not self._began:
            self.of[event.data["dispatcher"]] = took


def called(seconds: dict[Any, float]) -> dict[str, tuple[float, list[Any]]]:
    """Every kernel of ours that is kept and that this process compiled or loaded."""
    found: dict[str, tuple[float, list[Any]]] = {}
    for name, module in list(sys.modules.items()):
        for kernel in list(vars(module).values()) if name.startswith("sim.") else ():
            if not isinstance(kernel, CPUDispatcher) or isinstance(kernel._cache, NullCache) or not kernel.overloads:
                continue
            if kernel.py_func.__module__ == name:
                (types,) = kernel.overloads
                found[f"{name}.{kernel.py_func.__qualname__}"] = seconds.get(kernel, 0.0), [*map(as_kept, types)]
    return found


if __name__ == "__main__":
    listener = _Seconds()
    event.register("numba:compile", listener)
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code
    if not code:
        print(json.dumps(called(listener.of)))
    sys.exit(code)
