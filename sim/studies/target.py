"""When a cell has replicates enough: at fixed numbers of them, by the first so many, in whatever order they came."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sim.errors import InputError
from sim.studies.experiment import Measurement
from sim.studies.results import PART

# Any metric that has no target of its own.
ALL = "all"
_FIRST = 16


def checkpoints(most: int) -> Iterator[int]:
    """16, 24, 32, 48, 64, 96, ... below `most`, then `most`: a third more than needed at the worst but half."""
    power = _FIRST
    while power < most:
        yield power
        if power * 3 // 2 < most:
            yield power * 3 // 2
        power *= 2
    yield most


@dataclass
class _Moments:
    """Of values in order: Welford, so that nothing is held and the order of rounding is fixed."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)

    @property
    def error(self) -> float:
        """Standard error of the mean; infinite where one value cannot say."""
        return math.inf if self.count < 2 else math.sqrt(self.squares / (self.count - 1) / self.count)


@dataclass(frozen=True)
class Above:
    """A number with its standard error (infinite where one replicate cannot say) and the error that was asked for."""

    method: str
    metric: str
    error: float
    target: float


@dataclass
class Errors:
    """Monte-Carlo standard errors of a cell, by (method, metric).  read: of so many replicates, from the first on."""

    read: int = 0
    moments: dict[tuple[str, str], _Moments] = field(default_factory=dict)

    def add(self, rows: Iterable[Measurement]) -> None:
        """A replicate's rows."""
        for row in rows:
            if row.value is not None and PART not in row.metric:
                self.moments.setdefault((row.method, row.metric), _Moments()).add(row.value)

    def farthest(self, target: Mapping[str, float]) -> Above | None:
        """The number whose error is the most times its target, of all methods and the metrics that have one; None where
        nothing was measured that has."""
        asked = [
            Above(method, metric, own.error, limit)
            for (method, metric), own in self.moments.items()
            if (limit := target.get(metric, target.get(ALL))) is not None
        ]
        return max(asked, key=lambda one: one.error / one.target, default=None)

    def reached(self, target: Mapping[str, float]) -> bool:
        """Every metric that has a target has its error at or below it, for every method; something was measured."""
        worst = self.farthest(target)
        return worst is not None and worst.error <= worst.target


def require_metrics(target: Mapping[str, float], measured: Iterable[str]) -> None:
    """InputError where a target is for something that no cell measures."""
    known = sorted(set(measured))
    for name in target:
        if known and name != ALL and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise InputError(
                f"target_error: no metric '{name}' is measured", fix=f"{hint}choose of {', '.join(known)[:300]}"
            )
