"""quantecon's simplex, imported by one process at a time.

Its package compiles and keeps functions as it is imported, some in two files that name each other. Two processes that
do so at once with an empty cache may each write one of a pair, and whoever loads the pair is ended by LLVM ("Symbol not
found").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sim.compiled.jit import cache_in_use, cache_root


@contextmanager
def _alone() -> Iterator[None]:
    """Behind a file that the system unlocks when its process dies; without one where there are no such locks."""
    place = Path(cache_in_use() or cache_root())
    try:
        import fcntl

        place.mkdir(parents=True, exist_ok=True)
        file = (place / ".importing").open("wb")
        fcntl.flock(file, fcntl.LOCK_EX)
    except (ImportError, OSError):
        yield
        return
    with file:
        yield


with _alone():
    from quantecon.optimize.linprog_simplex import PivOptions, linprog_simplex
    from quantecon.optimize.minmax import minmax

__all__ = ["PivOptions", "linprog_simplex", "minmax"]
