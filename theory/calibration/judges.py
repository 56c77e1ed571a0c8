"""What the judges promise: errors in ALPHA of the trials, late draws seen, power as announced."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.streams import Stream
from theory.calibration import _trials
from theory.engine.judges import Equivalent, EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant

_SOURCE = "pluralign, statistics of a verdict, "


@dataclass(frozen=True)
class BoundarySetting(Setting):
    """of: which kind of judge.  copies: how often each value is written, 1 for independent replicates."""

    of: str = "at-most"
    trials: int = 200
    n: int = 20
    copies: int = 1


class BoundaryError(Theorem[BoundarySetting]):
    """P(VIOLATED) = ALPHA where the mean is just at the edge of the claim; Student's test is exact for normal draws.
    Value: the share of 200 trials of 20 draws. A judge that ignored its interval would say so in half of them."""

    claim_id = "judge-level-at-most"
    paper = "calibration"
    source = _SOURCE + "judges"
    statement = "At the edge of its claim a judge of means says VIOLATED in 5 % of the trials."
    SETTINGS = {"as_stated": Variant(BoundarySetting(30, "at-most"))}

    def bound(self, setting: BoundarySetting) -> Equivalent:
        return Equivalent(0.05, 0.02)

    def draw(self, setting: BoundarySetting, stream: Stream) -> float:
        return _trials.wrong_at_boundary(setting.of, stream, setting.trials, setting.n, setting.copies)

    def control(self, setting: BoundarySetting) -> tuple[Control[BoundarySetting], ...]:
        return (Control("each value written four times", replace(setting, copies=4)),)


class BoundaryAtLeast(BoundaryError):
    """As `judge-level-at-most`, of the judge of means that are at least the limit: its own edge and its own side."""

    claim_id = "judge-level-at-least"
    SETTINGS = {"as_stated": Variant(BoundarySetting(30, "at-least"))}


class BoundaryEquivalent(BoundaryError):
    """As `judge-level-at-most`, of the judge that a mean is a number: at the upper edge of its margin, whose 90 %
    interval lies outside in one trial in twenty."""

    claim_id = "judge-level-equivalent"
    SETTINGS = {"as_stated": Variant(BoundarySetting(30, "equivalent"))}


@dataclass(frozen=True)
class LateSetting(Setting):
    above: float = 1.001


class LateDraw(Theorem[LateSetting]):
    """One draw above the limit, whatever its replicate and column, is seen and blamed. Value: 1 where it is not; 40
    replicates of 5 columns, the place drawn at random."""

    claim_id = "late-draw"
    paper = "calibration"
    source = _SOURCE + "judges"
    statement = "One draw above the limit is always seen, at any replicate and any column."
    SETTINGS = {"as_stated": Variant(LateSetting(200))}

    def bound(self, setting: LateSetting) -> EveryDraw:
        return EveryDraw(0.0)

    def draw(self, setting: LateSetting, stream: Stream) -> float:
        return _trials.late_draw_missed(stream, 40, 5, setting.above)

    def control(self, setting: LateSetting) -> tuple[Control[LateSetting], ...]:
        return (Control("none above", replace(setting, above=0.999)),)


@dataclass(frozen=True)
class PowerSetting(Setting):
    shift: float = 0.6


class PromisedPower(Theorem[PowerSetting]):
    """Frequency of VIOLATED at the departure less P(T > t_{1 - ALPHA}), T of the non-central Student distribution."""

    claim_id = "promised-power"
    paper = "calibration"
    source = _SOURCE + "judges"
    statement = "The power that a judge of means promises is the frequency with which it sees the departure."
    SETTINGS = {"as_stated": Variant(PowerSetting(45))}

    def bound(self, setting: PowerSetting) -> Equivalent:
        return Equivalent(0.0, 0.05)

    def draw(self, setting: PowerSetting, stream: Stream) -> float:
        return _trials.realised_less_promised(stream, 100, 15, setting.shift)

    def control(self, setting: PowerSetting) -> tuple[Control[PowerSetting], ...]:
        return (Control("half the departure", replace(setting, shift=0.3)),)


THEOREMS = (BoundaryError(), BoundaryAtLeast(), BoundaryEquivalent(), LateDraw(), PromisedPower())
