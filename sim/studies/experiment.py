"""What a study runs: an experiment is a setting, checked once, and a function from (setting, stream) to numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from sim.plugins import Door
from sim.policies.protocol import FinitePolicy, PreferencePolicy
from sim.streams import Stream
from sim.studies.results import Results
from sim.studies.summary import means_table


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

    random_start: policies differ from the start, so that EM may begin with an E-step.  sources, packages: the folders
    and files beyond `sim`, and the installed packages, that decide its numbers.
    """

    make: Callable[[PolicyRequest], FittedPolicy]
    random_start: bool = False
    sources: tuple[Path, ...] = ()
    packages: tuple[str, ...] = ()


Backends: TypeAlias = Mapping[str, Backend]


@dataclass(frozen=True)
class Figure:
    """draw(results, folder) -> files.  needs: factors a grid must have for it."""

    draw: Callable[[Results, Path], list[Path]]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """setting: a frozen dataclass whose fields are the keys a study file may set or vary.

    run(setting, stream, backends) -> measurements.  figures: by the name a study file may ask for.
    table(results, factors) -> text.  missing(setting, backends) says what a cell lacks here, or None: such a cell is
    skipped, not failed.  backend(setting): which backend takes part, if any.
    memory(setting): about how many bytes a replicate needs; a cell that needs more than there are is refused before the
    study begins (0: not known).
    files(setting): files of data that a replicate reads; what was computed from other contents is computed again.
    paths: fields of the setting that name files.  The setting is given absolute ones: a relative path in a study file
    is beside it, one of `--set` is of the working folder.
    doors: fields of the setting that name something others may add, and through which door.
    """

    setting: type[Any]
    run: Callable[[Any, Stream, Backends], list[Measurement]]
    figures: Mapping[str, Figure]
    table: Callable[[Results, Sequence[str]], str] = means_table
    missing: Callable[[Any, Backends], str | None] = lambda setting, backends: None
    backend: Callable[[Any], str | None] = lambda setting: None
    doors: Mapping[str, Door] = field(default_factory=dict)
    memory: Callable[[Any], float] = lambda setting: 0.0
    files: Callable[[Any], tuple[Path, ...]] = lambda setting: ()
    paths: tuple[str, ...] = ()

    def figure_for(self, factors: Sequence[str]) -> str | None:
        """The first figure this grid has the factors for: what is drawn where a study file names none."""
        return next((name for name, own in self.figures.items() if set(own.needs) <= set(factors)), None)
