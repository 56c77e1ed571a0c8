"""Processes that are forked after compiled code has run on several threads: their threads are not there any more.

GNU's OpenMP, of which numba's default threads on Linux are made and scikit-learn's, cannot go on in such a process.
numba ends it (`Terminating: fork() called from a process already using GNU OpenMP`), for which a pool of processes
then waits for ever, and scikit-learn itself waits for ever.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from sim.errors import InputError

_lost = False


def install() -> None:
    """Have forked processes know of it; imported with the first kernel."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forked)


def _forked() -> None:
    global _lost
    import numba

    if _lost:
        return
    try:
        _lost = sys.platform == "linux" and numba.threading_layer() == "omp"
    except ValueError:
        # No kernel with threads has run yet: numba starts them here.
        _lost = False
    if "sklearn" in sys.modules:
        from threadpoolctl import threadpool_limits

        # One thread is the caller's own, which is here; of more it would wait for those that are not.
        threadpool_limits(1, "openmp")
    if _lost:
        _refuse()


def _refuse() -> None:
    """Have every kernel with threads say it where it is called, also those that are loaded from now on."""
    from numba.core.dispatcher import Dispatcher

    kind: Any = Dispatcher
    own = kind._compile_for_args

    def compiled(kernel: Any, *args: Any, **named: Any) -> Any:
        if kernel.targetoptions.get("parallel"):
            require_threads(f"kernel {kernel.__name__}")
        return own(kernel, *args, **named)

    kind._compile_for_args = compiled
    for found in gc.get_objects():
        if isinstance(found, kind) and found.targetoptions.get("parallel"):
            found._clear()  # What is compiled is called without a look at Python; without it the call comes to us.


def require_threads(what: str) -> None:
    """InputError in a process that was forked after kernels had run on several threads; what: the call it is for."""
    if _lost:
        raise InputError(
            f"{what}: this process was forked from one in which compiled code had already run on several threads, and "
            "cannot run it", fix="start processes by multiprocessing.get_context('spawn'), or by joblib, or set "
            "NUMBA_THREADING_LAYER=workqueue before the program begins",
        )  # fmt: skip
