"""joblib's worker processes: kept from call to call, replaced where one dies, ended at once by Ctrl-C."""

from __future__ import annotations

import os
import signal
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sim.errors import InputError
from sim.running.orphans import end_with
from sim.running.workers import DEATHS, on_one_thread

T = TypeVar("T")
R = TypeVar("R")
# Read when the libraries are first loaded there: what `one_thread` sets later on is too late for some.
_ONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# Where a store of finished work is, and who may use it: workers that were started before these were set do not know.
_STORES = ("AWS_", "AZURE_", "FSSPEC_", "GCSFS_", "GOOGLE_")


class _Processes:
    def __init__(self, count: int) -> None:
        self.slots = count

    def _executor(self) -> Any:
        """The one that is there, or where it broke a new one."""
        # joblib's own way to the executor that it shares with whoever else uses joblib in this process.
        from joblib.executor import get_memmapping_executor

        env = {name: value for name, value in os.environ.items() if name.startswith(_STORES)} | dict.fromkeys(_ONE, "1")
        return get_memmapping_executor(self.slots, timeout=300, initializer=end_with, initargs=(os.getpid(),), env=env)

    def run(
        self,
        function: Callable[[T], R],
        tasks: Iterator[T],
        arrived: Callable[[T, R], None],
        again: Callable[[T], Iterable[T]],
    ) -> None:
        from joblib.externals.loky.process_executor import BrokenProcessPool

        executor, deaths = self._executor(), 0
        todo, waiting = deque[T](), dict[Future[R], T]()
        lost: list[T] = []
        while True:
            while len(waiting) < 2 * self.slots and not lost:
                task = todo.popleft() if todo else next(tasks, None)
                if task is None:
                    break
                try:
                    waiting[executor.submit(on_one_thread, function, task)] = task
                except BrokenProcessPool:
                    lost.append(task)
            if not waiting and not lost:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done if waiting else ():
                task = waiting.pop(future)
                try:
                    answer = future.result()
                except BrokenProcessPool:
                    lost.append(task)
                    continue
                deaths = 0
                arrived(task, answer)
            if lost and not waiting:
                # All that were in hand are lost with the one that died: whose fault it was nobody knows.
                deaths += 1
                if deaths >= DEATHS:
                    raise InputError(
                        "a worker process died again and again: killed from outside, or for want of memory",
                        fix="what had finished is kept; run the same again, with fewer workers where memory is short, "
                        "or with a time-out, under which a replicate that kills its process is counted as failed",
                    )  # fmt: skip
                executor = self._executor()
                todo.extend(part for task in lost for part in again(task))
                lost = []


@contextmanager
def on_processes(count: int) -> Iterator[_Processes]:
    engine = _Processes(count)
    try:
        # A worker that has grown by 300 MB, as compiled kernels can make it, is replaced by a fresh one: no user's
        # concern. As an error the warning would end joblib's own thread, and this one would wait for ever.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
            yield engine
    except BaseException:
        # An error of a task too: the others would go on for nobody.
        _end_workers()
        raise


def _end_workers() -> None:
    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor
    if executor is None:
        return
    for number in list(executor._processes or {}):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    executor.shutdown(wait=False, kill_workers=True)
    reusable_executor._executor = None
