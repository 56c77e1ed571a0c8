"""What a study runs: an experiment is a setting, checked once, and a function from (setting, stream) to numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sim.policies.protocol import FinitePolicy, PreferencePolicy
from sim.streams import Stream


@dataclass(frozen=True)
class Measurement:
    """One number: `metric` of `method`, how long the method took, and how it ended."""

    method: str
    metric: str
    value: float | None
    wall_s: float = 0.0
    status: str = "ok"


@dataclass(frozen=True)
class PolicyRequest:
    """The policy a backend is asked for.

    literal: the plain sum of losses, as printed; otherwise each group's loss is divided by its mass.
    ridge, epochs: strength of the penalty and steps of an inexact solver (an exact one ignores `epochs`).
    """

    dimension: int
    n_actions: int
    beta: float
    literal: bool
    ridge: float
    epochs: int
    stream: Stream


class FittedPolicy(PreferencePolicy, FinitePolicy, Protocol):
    """What a backend hands out: EM fits it, games and regrets sum over its actions."""


@dataclass(frozen=True)
class Backend:
    """make(request) gives a fresh policy; it must be a top-level function, so that workers can find it.

    random_start: policies differ from the start, so that EM may begin with an E-step.
    """

    make: Callable[[PolicyRequest], FittedPolicy]
    random_start: bool = False


Backends: TypeAlias = Mapping[str, Backend]


@dataclass(frozen=True)
class Experiment:
    """setting: a frozen dataclass whose fields are the keys a study file may set or vary.

    run(setting, stream, backends) -> measurements. missing(setting, backends) says what a cell lacks here, or
    None: such a cell is skipped, not failed.
    """

    setting: type[Any]
    run: Callable[[Any, Stream, Backends], list[Measurement]]
    missing: Callable[[Any, Backends], str | None]
