"""Independent tasks on this process, on joblib's processes, or on Dask: one call, the same answers."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from sim.errors import InputError
from sim.install import install_line
from sim.running.threads import one_thread

T = TypeVar("T")
R = TypeVar("R")
EngineName = Literal["local", "joblib", "dask"]
ENGINES: tuple[EngineName, ...] = ("local", "joblib", "dask")


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _on_one_thread(function: Callable[[T], R], task: T) -> R:
    """Workers share the cores between tasks: threads inside a task would only spin against each other."""
    with one_thread(openmp=True):
        return function(task)


def run_tasks(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    workers: int = 1,
    engine: EngineName = "joblib",
    scheduler: str | None = None,
    on_done: Callable[[int, R], None] | None = None,
) -> list[R]:
    """function(task) for each task, answers in the tasks' order.

    `on_done(index, answer)` is called here as each one arrives, in any order: write it down then, and a
    killed run loses only what was in flight.  Randomness must be keyed by the task, never by the worker.
    scheduler: address of a running Dask scheduler; without one a cluster on 127.0.0.1 is started and stopped.
    """
    if workers < 1:
        raise InputError(f"workers must be at least 1 (got {workers})")
    if engine not in ENGINES:
        raise InputError(f"engine must be one of {', '.join(ENGINES)} (got {engine!r})")
    if scheduler is not None and engine != "dask":
        raise InputError("scheduler: belongs to engine 'dask'", fix="leave it out, or ask for dask")
    answers: dict[int, R] = {}

    def arrived(index: int, answer: R) -> None:
        answers[index] = answer
        if on_done is not None:
            on_done(index, answer)

    if engine == "dask":
        _run_dask(function, tasks, workers, scheduler, arrived)
    elif engine == "local" or workers == 1 or len(tasks) < 2:
        for index, task in enumerate(tasks):
            arrived(index, _on_one_thread(function, task))
    else:
        _run_joblib(function, tasks, workers, arrived)
    return [answers[index] for index in range(len(tasks))]


def _indexed(function: Callable[[T], R], index: int, task: T, waiting: int) -> tuple[int, R]:
    """In a worker: Ctrl-C, which a terminal sends to all, is for the process that waits, which then stops the worker;
    each would print a traceback of its own."""
    if os.getpid() != waiting and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return index, _on_one_thread(function, task)


def _run_joblib(
    function: Callable[[T], R], tasks: Sequence[T], workers: int, arrived: Callable[[int, R], None]
) -> None:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    jobs = (delayed(_indexed)(function, index, task, os.getpid()) for index, task in enumerate(tasks))
    parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    try:
        # A worker that has grown by 300 MB, as compiled kernels can make it, is replaced by a fresh one: no user's
        # concern. As an error the warning would end joblib's own thread, and this one would wait for ever.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
            for index, answer in parallel(jobs):
                arrived(index, answer)
    except TerminatedWorkerError as error:
        raise InputError(
            "a worker process died: killed from outside, or for want of memory",
            fix="what had finished is kept; run the same again, with fewer workers where memory is short",
        ) from error


# Seconds a scheduler has to answer, and a worker of its to be there.
_PATIENCE = 15


def _run_dask(
    function: Callable[[T], R],
    tasks: Sequence[T],
    workers: int,
    scheduler: str | None,
    arrived: Callable[[int, R], None],
) -> None:
    try:
        from distributed import CancelledError, Client, LocalCluster, as_completed
    except ImportError as missing:
        raise InputError("engine 'dask' needs Dask, which is not installed", fix=install_line("cluster")) from missing
    cluster: Any = None
    if scheduler is None:
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=60
        )
    place = "the Dask scheduler" if scheduler is None else f"the Dask scheduler at {scheduler}"
    gone = InputError(
        f"{place} went away before all was done", fix="what had finished is kept; start it and run the same again"
    )
    try:
        with _silent_log(), _closing(_connected(Client, scheduler or cluster, place)) as client:
            futures = {
                client.submit(_on_one_thread, function, task, pure=False): index for index, task in enumerate(tasks)
            }
            for future in as_completed(futures):
                if future.status in ("cancelled", "lost"):
                    raise gone
                try:
                    answer = future.result()
                except CancelledError as error:
                    raise gone from error
                arrived(futures[future], answer)
    finally:
        if cluster is not None:
            cluster.close()


@contextmanager
def _closing(client: Any) -> Iterator[Any]:
    try:
        yield client
    finally:
        client.close(timeout=5)


@contextmanager
def _silent_log() -> Iterator[None]:
    """Whatever goes wrong is said once, in our error; the library's own log says it again, in tracebacks."""
    import logging

    loggers = [
        log for name, log in logging.root.manager.loggerDict.items() if name.startswith(("distributed", "tornado"))
    ]
    found = [log for log in loggers if isinstance(log, logging.Logger)]
    before = [log.disabled for log in found]
    for log in found:
        log.disabled = True
    try:
        yield
    finally:
        for log, disabled in zip(found, before, strict=True):
            log.disabled = disabled


def _connected(client: Any, place: Any, words: str) -> Any:
    """A client of a scheduler that has a worker, or one line that says which of the two is missing."""
    try:
        found = client(place, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise InputError(f"{words} does not answer", fix="start it (`dask scheduler`), or name no scheduler") from error
    try:
        found.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        found.close(timeout=5)
        raise InputError(f"{words} has no workers", fix="start some (`dask worker ADDRESS`)") from error
    return found
