"""What this machine can do at best, measured, and the least time that makes of a piece of work.

A limit is the larger of arithmetic over the machine's arithmetic and of bytes over its memory's speed: the roofline of
Williams, Waterman and Patterson (2009). Exponentials, divisions and logarithms are counted as the arithmetic of our own
`exp` (28 operations) and as 8 for a division. It leaves out what depends on order, so that nothing reaches it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

EXP, DIVISION = 28, 8


@dataclass(frozen=True)
class Work:
    """Floating-point operations and bytes that have to go to memory, of one whole run."""

    operations: float = 0.0
    written: float = 0.0

    def seconds(self, threads: int) -> float:
        return max(self.operations / arithmetic(threads), self.written / writing())


@cache
def arithmetic(threads: int) -> float:
    """Operations a second: the best of twenty products of matrices by BLAS."""
    n = 1024
    a = np.random.default_rng(0).random((n, n))
    with threadpool_limits(threads):
        return 2.0 * n**3 / _best(lambda: a @ a, 20)


@cache
def writing() -> float:
    """Bytes a second into memory that was touched before, all threads: the best of ten fills of 256 MB."""
    from numba import njit, prange

    @njit(parallel=True)
    def fill(x: np.ndarray, value: float) -> None:
        for i in prange(x.size):
            x[i] = value

    x = np.ones(32_000_000)
    return x.nbytes / _best(lambda: fill(x, 1.0), 10)


def _best(run: Callable[[], Any], times: int) -> float:
    run()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def processor() -> str:
    """The name the processor gives itself, with its family where it gives no more than the maker's."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    told = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in told.items()}
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')})"
