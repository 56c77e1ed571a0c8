"""Compiled passes on a number of threads that a test asks for, and afterwards on as many as before."""

from collections.abc import Iterator

import numba


def on_threads(*counts: int) -> Iterator[int]:
    """Each of the counts that this machine allows, while numba has that many threads."""
    before = numba.get_num_threads()
    try:
        for count in counts:
            if count <= numba.config.NUMBA_NUM_THREADS:
                numba.set_num_threads(count)
                yield count
    finally:
        numba.set_num_threads(before)
