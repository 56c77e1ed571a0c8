"""Several quantities of one draw, each of which must obey: their sum or largest shows one alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.intervals import rate_slope
from theory.engine.judges import ALPHA, EveryDraw, Judgement, Slope
from theory.engine.verdicts import Verdict


@dataclass(frozen=True)
class EachEveryDraw(EveryDraw):
    """`EveryDraw` of several inequalities, (n_replicates, n_columns): the share attained is that of the least tight."""

    def attained(self, values: FloatArray) -> float | None:
        return min((found for column in values.T if (found := super(EachEveryDraw, self).attained(column)) is not None),
                   default=None)  # fmt: skip


@dataclass(frozen=True)
class EachSlope(Slope):
    """`Slope` for every column of (n_replicates, n_points, n_columns): which one is shown is the one that decides.

    All must hold, so that no column's level is corrected for; one that does not is told with p times their number.
    """

    @property
    def relation(self) -> str:
        return f"each {super().relation}"

    def _each(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> list[Judgement]:
        return [super(EachSlope, self).judge(column, grid, stream) for column in np.moveaxis(values, -1, 0)]

    def _shown(self, each: list[Judgement]) -> int:
        """The clearest violation; where there is none the least sure column."""
        outside = [place for place, found in enumerate(each) if found.verdict is Verdict.VIOLATED]
        if outside:
            return min(outside, key=lambda place: each[place].p_value)
        return max(range(len(each)), key=lambda place: each[place].p_value)

    def column(self, values: FloatArray, grid: FloatArray) -> FloatArray:
        """The column that decides, for a curve.  No judge of slopes draws from its stream."""
        return np.asarray(values[..., self._shown(self._each(values, grid, Stream(0)))])

    def detects(
        self, values: FloatArray, grid: FloatArray | None, stream: Stream, n: int | None = None
    ) -> float | None:
        """Of the column in which a departure is seen least."""
        each = [super(EachSlope, self).detects(column, grid, stream, n) for column in np.moveaxis(values, -1, 0)]
        known = [power for power in each if power is not None]
        return min(known) if len(known) == len(each) else None

    def judge(self, values: FloatArray, grid: FloatArray | None, stream: Stream) -> Judgement:
        each = self._each(values, grid, stream)
        place = self._shown(each)
        slopes = [] if grid is None else [rate_slope(grid, column).slope for column in np.moveaxis(values, -1, 0)]
        shown = replace(each[place], note=f"slopes {', '.join(f'{slope:.2f}' for slope in slopes)}")
        if shown.verdict is Verdict.VIOLATED:
            p = min(1.0, len(each) * shown.p_value)
            return replace(shown, verdict=Verdict.VIOLATED if p <= ALPHA else Verdict.INCONCLUSIVE, p_value=p)
        held = all(found.verdict is Verdict.HOLDS for found in each)
        return replace(shown, verdict=Verdict.HOLDS if held else Verdict.INCONCLUSIVE)
