"""Independent tasks on this process, on joblib's processes, or on Dask: one call, the same answers.

Tasks are taken one by one as workers come free, so that there may be any number of them, and answers are handed on as
they arrive. A worker that dies is replaced and what it had is done again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sim.running.dask_engine import on_dask
from sim.running.joblib_engine import on_processes
from sim.running.watched import dismiss
from sim.running.workers import ENGINES, Engine, EngineName, Tls, Workers, on_one_thread

__all__ = ["ENGINES", "Engine", "EngineName", "Tls", "Workers", "available_cores", "engine_for", "run_tasks"]

T = TypeVar("T")
R = TypeVar("R")


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


class Here:
    """This process."""

    slots = 1

    def run(
        self,
        function: Callable[[T], R],
        tasks: Iterator[T],
        arrived: Callable[[T, R], None],
        again: Callable[[T], Iterable[T]],
    ) -> None:
        for task in tasks:
            arrived(task, on_one_thread(function, task))


@contextmanager
def engine_for(workers: Workers, *, few: bool = False) -> Iterator[Engine]:
    """The engine, ready; what it started is ended with the context, at once where that is left by an exception.

    few: there are not two tasks, which is not worth starting processes of our own.
    """
    if workers.engine == "dask":
        with on_dask(workers) as dask:
            yield dask
    elif workers.engine == "local" or workers.count == 1 or few:
        try:
            yield Here()
        finally:
            dismiss()
    else:
        with on_processes(workers.count) as processes:
            yield processes


def run_tasks(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    workers: int = 1,
    engine: EngineName = "joblib",
    scheduler: str | None = None,
    tls: Tls | None = None,
    on_done: Callable[[int, R], None] | None = None,
) -> list[R]:
    """function(task) for each of a few tasks, answers in the tasks' order.

    `on_done(index, answer)` is called here as each one arrives, in any order: write it down then, and a
    killed run loses only what was in flight.  Randomness must be keyed by the task, never by the worker.
    scheduler: address of a running Dask scheduler; without one a cluster on 127.0.0.1 is started and stopped.
    """
    answers: dict[int, R] = {}

    def arrived(numbered: tuple[int, T], answer: R) -> None:
        answers[numbered[0]] = answer
        if on_done is not None:
            on_done(numbered[0], answer)

    with engine_for(Workers(workers, engine, scheduler, tls), few=len(tasks) < 2) as ready:
        numbered: Callable[[tuple[int, T]], R] = _Numbered(function)
        ready.run(numbered, iter(enumerate(tasks)), arrived, lambda task: [task])
    return [answers[index] for index in range(len(tasks))]


@dataclass(frozen=True)
class _Numbered:
    """function(task) of (index, task); picklable where the function is."""

    function: Callable[[Any], Any]

    def __call__(self, numbered: tuple[int, Any]) -> Any:
        return self.function(numbered[1])
