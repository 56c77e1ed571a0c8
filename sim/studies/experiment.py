"""What a study runs: an experiment is a setting, checked once, and a function from (setting, stream) to numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
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

    run(setting, stream, backends) -> measurements. draw(rows, folder) -> figure files. table(rows, factors) -> text.
    missing(setting, backends) says what a cell lacks here, or None: such a cell is skipped, not failed.
    """

    setting: type[Any]
    run: Callable[[Any, Stream, Backends], list[Measurement]]
    draw: Callable[[Sequence[Mapping[str, Any]], Path], list[Path]]
    table: Callable[[Sequence[Mapping[str, Any]], Sequence[str]], str]
    missing: Callable[[Any, Backends], str | None] = lambda setting, backends: None


def check_kinds(setting: Any) -> None:
    """Whole numbers of at least 1 where a field is an int, numbers where it is a float, truth values and texts where
    they are; a study file may hold anything."""
    for field in fields(setting):
        value, kind = getattr(setting, field.name), str(field.type)
        if kind == "int" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{field.name} must be a whole number of at least 1 (got {value!r})")
        if kind == "float" and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{field.name} must be a number (got {value!r})")
        if kind == "bool" and not isinstance(value, bool):
            raise ValueError(f"{field.name} must be true or false (got {value!r})")
        if kind == "str" and not isinstance(value, str):
            raise ValueError(f"{field.name} must be a text (got {value!r})")


def require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)} (got {value!r})")


def require_share(**values: float) -> None:
    """Each lies in [0, 1]."""
    for name, value in values.items():
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} must lie in 0..1 (got {value})")
