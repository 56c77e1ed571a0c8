"""How many replicates, on which grid, a check needs to see what it should see."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.checks import CAUGHT, judged, stream_of
from theory.engine.judges import ALPHA, Bound, Slope, TwoSided
from theory.engine.registry import answering, papers, theorems_of
from theory.engine.required import require_measurement, require_premises
from theory.engine.theorem import Json, Measurement, Profile, Theorem
from theory.engine.verdicts import Verdict

# Replicates that are tried: at most for a departure, by its formula; and so many times those measured for others.
MOST, TIMES = 1_000_000, 100
_DRAWS = 200


@dataclass(frozen=True)
class Need:
    """against: the departure or the control; now: the power at the replicates there are; replicates: the least that
    reach the target, None where no number does (or none is known)."""

    against: str
    now: float | None
    replicates: int | None


@dataclass(frozen=True)
class GridPlan:
    """grid: points; replicates: the least at which a slope's departure is seen on it; seconds: what they would take,
    a replicate's time taken as proportional to the sum of the grid."""

    words: str
    grid: list[float]
    replicates: int | None
    seconds: float | None


@dataclass(frozen=True)
class PowerPlan:
    """What a claim's variant has and needs; holds: the claim itself, how often its verdict would be the expected one.

    family, level: a verdict stands where its p-value is at most level = ALPHA / family, the sternest that Holm asks of
    one among `family` verdicts. Departure and controls are those of the check by itself, at ALPHA.  tested: the share
    of the replicates that test the claim.
    """

    claim_id: str
    variant: str
    target: float
    replicates: int
    seconds_a_replicate: float
    family: int
    level: float
    tested: float
    holds: Need
    departure: Need
    controls: tuple[Need, ...]
    grids: tuple[GridPlan, ...]

    @property
    def unreached(self) -> tuple[str, ...]:
        """What no number of replicates that was tried reaches the target for: the claim, its departure, controls. A
        departure that is not named, or not known, is not asked for."""
        asked = [("the claim", self.holds), *((f"control '{need.against}'", need) for need in self.controls)]
        if self.departure.now is not None:
            asked.insert(1, ("the departure", self.departure))
        return tuple(words for words, need in asked if need.replicates is None)

    @property
    def needed(self) -> int | None:
        """Replicates that reach the target for the claim, its departure and every control; None where some are not
        reached (`unreached`)."""
        known = [need.replicates for need in (self.holds, self.departure, *self.controls) if need.replicates]
        return None if self.unreached else max(known)

    def as_json(self) -> Json:
        return {**dataclasses.asdict(self), "needed": self.needed, "unreached": list(self.unreached)}


def plan(
    theorem: Theorem[Any], variant: str, *, target: float, profile: Profile = "quick", seed: int = 0,
    family: int | None = None,
) -> PowerPlan:  # fmt: skip
    """From one measurement: its spread is taken for that of further replicates.

    target: probability, e.g. .8.  family: among how many verdicts the p-value is adjusted; None: those of the claim's
    paper, or of a claim of one's own its variants.  For the claim and against a control the replicates are resampled;
    against the smallest departure the judge's own formula is used.
    Errors: InputError for a target outside (0, 1), a family below 1, an unknown variant, a claim whose premises fail
    there, or of which no replicate tests anything; for whatever a claim of one's own raises.
    """
    if not 0.0 < target < 1.0:
        raise InputError(f"the target must lie between 0 and 1 (got {target:g})", fix="0.8 is usual")
    if family is not None and family < 1:
        raise InputError(f"the family must have at least 1 verdict (got {family})", fix="1 is the claim by itself")
    if variant not in theorem.SETTINGS:
        raise InputError(f"claim '{theorem.claim_id}' has no variant '{variant}'",
                         fix=f"choose from {', '.join(theorem.SETTINGS)}")  # fmt: skip
    with answering(theorem):
        return _planned(theorem, variant, target, profile, seed, family)


def _planned(
    theorem: Theorem[Any], variant: str, target: float, profile: Profile, seed: int, family: int | None
) -> PowerPlan:
    chosen = theorem.SETTINGS[variant]
    setting = theorem.at_profile(chosen.setting, profile)
    stream, bound = stream_of(theorem, setting, seed), theorem.bound(setting)
    began = time.monotonic()
    measured = _measured(theorem, setting, bound, seed)
    if measured is None:
        raise InputError(f"claim '{theorem.claim_id}': a premise fails in its setting", fix="nothing is measured there")
    if not len(measured.values):
        raise InputError(f"claim '{theorem.claim_id}': none of {measured.drawn} draws tests it",
                         fix="its event is too rare in its setting")  # fmt: skip
    a_replicate = (time.monotonic() - began) / measured.drawn
    family = verdicts_beside(theorem) if family is None else family
    level = ALPHA / family
    controls = []
    for control in theorem.control(chosen.setting):
        broken = theorem.at_profile(control.setting, profile)
        found = _measured(theorem, broken, bound, seed)
        if found is None:
            controls.append(Need(control.name, 1.0, 1))
        else:
            found, own = found.numbers, stream_of(theorem, broken, seed)
            controls.append(_needed(control.name, found, own, target, partial(_caught, bound)))
    return PowerPlan(
        theorem.claim_id, variant, target, measured.drawn, a_replicate, family, level,
        len(measured.values) / measured.drawn,
        _needed(f"is {chosen.expected}", measured, stream, target,
                partial(_stands, theorem, bound, chosen.expected, level)),
        _departure(bound, measured, stream, target), tuple(controls),
        _grids(bound, measured, stream, target, a_replicate),
    )  # fmt: skip


def verdicts_beside(theorem: Theorem[Any]) -> int:
    """How many verdicts the claim's are adjusted with: those registered for its paper."""
    ours = theorems_of(theorem.paper) if theorem.paper in papers() else (theorem,)
    return sum(len(own.SETTINGS) for own in ours)


def _measured(theorem: Theorem[Any], setting: Any, bound: Bound, seed: int) -> Measurement | None:
    stream = stream_of(theorem, setting, seed)
    premises = theorem.premises(setting, stream)
    require_premises(theorem, premises)
    if any(not premise.holds for premise in premises):
        return None
    measured = theorem.measure(setting, stream)
    require_measurement(theorem, setting, bound, measured)
    return measured


def _departure(bound: Bound, measured: Measurement, stream: Stream, target: float) -> Need:
    values, grid = measured.values, measured.grid
    if not isinstance(bound, TwoSided):
        return Need("no departure is named", None, None)
    words = bound.departs or "no departure is named"

    def power(n: int) -> float | None:
        return bound.detects(values, grid, stream, max(n * len(values) // measured.drawn, 1))

    now = power(measured.drawn) if len(values) > 1 else None
    return Need(words, now, None if now is None else smallest(lambda n: power(n) or 0.0, target))


def _stands(
    theorem: Theorem[Any], bound: Bound, expected: Verdict, level: float, measured: Measurement, stream: Stream
) -> bool:
    """Whether the verdict is the expected one, and adjusting its p-value does not take it back."""
    judgement = judged(theorem, bound, measured, stream)
    return judgement is not None and judgement.verdict is expected and judgement.p_value <= level


def _caught(bound: Bound, measured: Measurement, stream: Stream) -> bool:
    return len(measured.values) > 0 and bound.judge(measured.values, measured.grid, stream).verdict in CAUGHT


def _needed(
    words: str, measured: Measurement, stream: Stream, target: float, hit: Callable[[Measurement, Stream], bool]
) -> Need:
    """How often `n` replicates drawn again with replacement are a hit."""
    if not len(measured.values):
        return Need(words, 0.0, None)
    if measured.drawn == 1:
        found = hit(measured, stream)
        return Need(words, float(found), 1 if found else None)
    draws = _DRAWS if measured.grid is None else _DRAWS // 4

    def power(n: int) -> float:
        again = measured.resampled(stream.child(f"power/{n}"), draws, n)
        return float(np.mean([hit(one, stream) for one in again]))

    # More replicates than so many times those measured say more of the measurement than of the claim.
    return Need(words, power(measured.drawn), smallest(power, target, most=TIMES * measured.drawn))


def smallest(power: Callable[[int], float], target: float, most: int = MOST) -> int | None:
    """The least n from 2 with power(n) >= target, by doubling and halving; None where `most` does not reach it.

    Exact where power grows with n. A frequency's exact test has teeth: the n found reaches the target, and a smaller
    one beside it may too.
    """
    high = 2
    while power(high) < target:
        if high >= most:
            return None
        high = min(2 * high, most)
    low = max(high // 2, 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= target else (middle, high)
    return high


def _grids(
    bound: Bound, measured: Measurement, stream: Stream, target: float, a_replicate: float
) -> tuple[GridPlan, ...]:
    """A slope on the grid there is, on one a decade longer, and on one with twice the points; none where a mean is not
    positive, or the spread not known, of which the logarithm has no error."""
    grid, values = measured.grid, measured.values
    if grid is None or not isinstance(bound, Slope) or len(values) < 2 or not np.isfinite(values).all():
        return ()
    values = bound.column(values, grid)
    means = values.mean(axis=0)
    if not (means > 0).all():
        return ()
    spread = values.std(axis=0, ddof=1) / means
    logs = np.log(grid)
    between = np.exp((logs[1:] + logs[:-1]) / 2.0)
    step = float(np.exp((logs[-1] - logs[0]) / (len(grid) - 1)))
    longer = [float(grid[-1]) * step**k for k in range(1, 1 + max(1, round(np.log(10.0) / np.log(step))))]
    plans = []
    for words, points in (
        ("as it is", grid),
        ("a decade longer", np.concatenate([grid, longer])),
        ("twice the points", np.sort(np.concatenate([grid, between]))),
    ):
        # Relative spread at a new point: that of its neighbours, log-linearly.
        relative = np.interp(np.log(points), logs, spread)
        n = smallest(partial(_slope_power, points, relative, bound), target)
        cost = a_replicate * float(np.sum(points) / np.sum(grid))
        plans.append(GridPlan(words, [float(f"{x:.6g}") for x in points], n, None if n is None else n * cost))
    return tuple(plans)


def _slope_power(points: FloatArray, relative: FloatArray, bound: Slope, n: int) -> float:
    """Normal approximation: the weighted slope's standard error is (sum_i w_i (x_i - x)^2)^(-1/2), w_i = n / s_i^2."""
    from scipy import stats

    weights = n / np.maximum(relative, 1e-9) ** 2
    x = np.log(points)
    centre = float((weights * x).sum() / weights.sum())
    error = float((weights * (x - centre) ** 2).sum() ** -0.5)
    return float(stats.norm.cdf(bound.departure / error - stats.norm.isf(ALPHA / 2.0)))
