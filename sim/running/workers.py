"""Who does the work, and what every engine does: tasks in, answers out as they come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from sim.errors import InputError
from sim.running.threads import one_thread

T = TypeVar("T")
R = TypeVar("R")
EngineName = Literal["local", "joblib", "dask"]
ENGINES: tuple[EngineName, ...] = ("local", "joblib", "dask")
# A task that was in hand so often in a row when its worker died, while nothing else was finished, is not tried again.
DEATHS = 3


@dataclass(frozen=True)
class Tls:
    """Files in PEM form for a scheduler that speaks TLS: of the authority, of this client, and its private key."""

    ca: Path
    cert: Path
    key: Path

    def __post_init__(self) -> None:
        for path in (self.ca, self.cert, self.key):
            if not Path(path).is_file():
                raise InputError("there is no such file", file=path, fix="name a file in PEM form")


@dataclass(frozen=True)
class Workers:
    """Who does the work: count processes of an engine, or (dask) those of the scheduler at an address."""

    count: int = 1
    engine: EngineName = "joblib"
    scheduler: str | None = None
    tls: Tls | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"workers must be at least 1 (got {self.count})")
        if self.engine not in ENGINES:
            raise InputError(f"engine must be one of {', '.join(ENGINES)} (got {self.engine!r})")
        if self.scheduler is not None and self.engine != "dask":
            raise InputError("scheduler: belongs to engine 'dask'", fix="leave it out, or ask for dask")
        if self.tls is not None and self.scheduler is None:
            raise InputError("tls: belongs to a scheduler's address", fix="leave it out, or name the scheduler")


def require_seconds(name: str, value: object) -> None:
    """InputError unless a positive, finite number of seconds, or None."""
    if value is None:
        return
    if isinstance(value, bool) or not (isinstance(value, Real) and 0 < float(value) < math.inf):
        raise InputError(f"{name} must be a positive number of seconds (got {value!r})")


class Engine(Protocol):
    """slots: how many tasks are done at once, as far as is known now."""

    @property
    def slots(self) -> int: ...

    def run(
        self,
        function: Callable[[T], R],
        tasks: Iterator[T],
        arrived: Callable[[T, R], None],
        again: Callable[[T], Iterable[T]],
    ) -> None:
        """arrived(task, answer) here, as answers come.  again(task): what to do in place of one whose worker died."""


def on_one_thread(function: Callable[[T], R], task: T) -> R:
    """Workers share the cores between tasks: threads inside a task would only spin against each other."""
    with one_thread(openmp=True):
        return function(task)
