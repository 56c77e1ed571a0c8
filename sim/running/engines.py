"""Independent tasks on this process, on joblib's processes, or on Dask: one call, the same answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from sim.errors import InputError
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
    elif engine == "joblib":
        from joblib import Parallel, delayed

        jobs = (delayed(_indexed)(function, index, task) for index, task in enumerate(tasks))
        parallel = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
        for index, answer in parallel(jobs):
            arrived(index, answer)
    else:
        raise InputError(f"engine must be one of {', '.join(ENGINES)} (got {engine!r})")
    return [answers[index] for index in range(len(tasks))]


def _indexed(function: Callable[[T], R], index: int, task: T) -> tuple[int, R]:
    return index, _on_one_thread(function, task)


def _run_dask(
    function: Callable[[T], R],
    tasks: Sequence[T],
    workers: int,
    scheduler: str | None,
    arrived: Callable[[int, R], None],
) -> None:
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError as missing:
        raise InputError(
            "engine 'dask' needs Dask, which is not installed", fix="pip install 'pluralign[cluster]'"
        ) from missing
    cluster: Any = None
    if scheduler is None:
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=40
        )
    try:
        with Client(scheduler or cluster) as client:
            futures = {
                client.submit(_on_one_thread, function, task, pure=False): index for index, task in enumerate(tasks)
            }
            for future, answer in as_completed(futures, with_results=True):
                arrived(futures[future], answer)
    finally:
        if cluster is not None:
            cluster.close()
