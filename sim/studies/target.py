"""When a cell has replicates enough: at fixed numbers of them, by the first so many, in whatever order they came."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sim.errors import InputError
from sim.studies.experiment import Measurement
from sim.studies.precision import plus_four
from sim.studies.results import PART

# Any metric that has no target of its own.
ALL = "all"
_FIRST = 16
_FEW = 8


def checkpoints(most: int) -> Iterator[int]:
    """16, 24, 32, 48, 64, 96, ... below `most`, then `most`: half more than needed at the worst."""
    power = _FIRST
    while power < most:
        yield power
        if power * 3 // 2 < most:
            yield power * 3 // 2
        power *= 2
    yield most


@dataclass
class _Moments:
    """Of values in order: Welford, so that nothing is held and the order of rounding is fixed.

    common: the value of more than half of them, where there is one, and `lead`: of so many it is ahead (the majority
    vote of Boyer and Moore, 1981).
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    common: float = 0.0
    lead: int = 0

    def add(self, value: float) -> None:
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self.squares += step * (value - self.mean)
        self.low, self.high = min(self.low, value), max(self.high, value)
        if self.lead == 0:
            self.common = value
        self.lead += 1 if value == self.common else -1

    @property
    def never_varied(self) -> bool:
        return self.low == self.high

    @property
    def error(self) -> float:
        """What a cell is judged by: the standard error of the mean as if two more values like the smallest and two like
        the largest had come (`plus_four`), because those that are rare are missing at first, and the cell would end
        there: of 0/1 in a share p of replicates, (1 - p)^16 of all cells see none in 16.

        Of values that are nearly always the same, fewer than 8 differing, not even the range is known.  They are taken
        to be able to differ by 1, or by the size of the common one where that is more.  Where none ever differs the
        error is about 1.4 of that over n, and comes to any target.  Infinite where one value cannot say.
        """
        if self.count < 2:
            return math.inf
        low, high = self.low, self.high
        # Twice those that differ from the common one, or less, where it did not come first.
        if self.count - self.lead < min(2 * _FEW, self.count - 1):
            least = max(1.0, abs(self.common))
            if self.common == low:
                high = max(high, low + least)
            else:
                low = min(low, high - least)
        found = plus_four(self.count, self.mean, self.squares, low, high)
        return found if math.isfinite(found) else math.inf


@dataclass(frozen=True)
class Above:
    """A number with its standard error (infinite where one replicate cannot say) and the error that was asked for.
    constant: all its values are alike."""

    method: str
    metric: str
    error: float
    target: float
    constant: bool = False


@dataclass
class Errors:
    """Monte-Carlo standard errors of a cell, by (method, metric).  read: of so many replicates, from the first on."""

    read: int = 0
    moments: dict[tuple[str, str], _Moments] = field(default_factory=dict)

    def add(self, rows: Iterable[Measurement]) -> None:
        """A replicate's rows; what it measured more than once is one number, their mean."""
        found: dict[tuple[str, str], list[float]] = {}
        for row in rows:
            if row.value is not None and PART not in row.metric:
                found.setdefault((row.method, row.metric), []).append(row.value)
        for key, values in found.items():
            self.moments.setdefault(key, _Moments()).add(sum(values) / len(values))

    def farthest(self, target: Mapping[str, float]) -> Above | None:
        """The number whose error is the most times its target, of all methods and the metrics that have one; None where
        nothing was measured that has."""
        asked = [
            Above(method, metric, own.error, limit, own.never_varied)
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
