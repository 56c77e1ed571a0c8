"""One thread where several would only wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread(*, openmp: bool = False) -> Iterator[None]:
    """Inside, BLAS and compiled passes of the calling thread keep to one thread; with `openmp`, OpenMP's pools
    (scikit-learn, torch) too. Threads that are started inside have numba's own setting.

    Passes that take milliseconds lose more to threads that wait for each other than they gain, and where another
    program has a core ten times as much: what is independent (tasks, folds, draws) is shared out instead.
    Also a decorator: `@one_thread()`.
    """
    import numba
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(1, None if openmp else "blas"):
            yield
    finally:
        numba.set_num_threads(before)
