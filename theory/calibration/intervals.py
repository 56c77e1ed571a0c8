"""Intervals cover at their level; adjusted p-values keep their error rates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.streams import Stream
from theory.calibration import _trials
from theory.engine.judges import Equivalent, Exactly
from theory.engine.theorem import Control, Setting, Theorem, Variant

_SOURCE = "pluralign, statistics of a verdict, "


@dataclass(frozen=True)
class CoverSetting(Setting):
    """copies: how often each value is written, 1 for independent replicates."""

    copies: int = 1


class StudentCoverage(Theorem[CoverSetting]):
    """P(mean in interval) is .95 of Student's for normal draws; the correction for skewness, which takes the wider
    limit on each side, adds one point. Value: the share of 100 trials of 12 draws whose interval has the mean in it."""

    claim_id = "student-coverage"
    paper = "calibration"
    source = _SOURCE + "intervals"
    statement = "The interval of a mean covers it in 95 to 97.5 % of the trials."
    SETTINGS = {"as_stated": Variant(CoverSetting(40))}

    def bound(self, setting: CoverSetting) -> Equivalent:
        return Equivalent(0.9625, 0.0125)

    def draw(self, setting: CoverSetting, stream: Stream) -> float:
        return _trials.mean_covers(stream, 100, 12, setting.copies)

    def control(self, setting: CoverSetting) -> tuple[Control[CoverSetting], ...]:
        return (Control("each value written four times", replace(setting, copies=4)),)


class SlopeCoverage(StudentCoverage):
    """P(rate in interval) = .95 for noise that grows sixfold along the grid, with the 32 replicates that most rates are
    measured with. Value: the share of 100 trials whose interval has the rate in it."""

    claim_id = "slope-coverage"
    statement = "The slope's interval covers the rate in 95 % of the trials, within two."
    SETTINGS = {"as_stated": Variant(CoverSetting(60))}

    def bound(self, setting: CoverSetting) -> Equivalent:
        return Equivalent(0.95, 0.02)

    def draw(self, setting: CoverSetting, stream: Stream) -> float:
        return _trials.slope_covers(stream, 100, 32, setting.copies)


@dataclass(frozen=True)
class BinomialSetting(Setting):
    level: float = 0.95


class BinomialCoverage(Theorem[BinomialSetting]):
    """min over p of P(p in the Clopper-Pearson interval) >= .95, summed exactly over the counts of 40 trials.
    Value: .95 less the smallest coverage over frequencies .01 to .99."""

    claim_id = "binomial-coverage"
    paper = "calibration"
    source = _SOURCE + "intervals"
    statement = "The exact binomial interval covers every frequency in at least 95 % of the trials."
    arithmetic = True
    SETTINGS = {"as_stated": Variant(BinomialSetting())}

    def bound(self, setting: BinomialSetting) -> Exactly:
        return Exactly(1e-9)

    def draw(self, setting: BinomialSetting, stream: Stream) -> float:
        return _trials.binomial_shortfall(40, setting.level)

    def control(self, setting: BinomialSetting) -> tuple[Control[BinomialSetting], ...]:
        return (Control("level .8", replace(setting, level=0.8)),)


@dataclass(frozen=True)
class ManySetting(Setting):
    """power: true nulls have p = U^power."""

    method: str = "holm"
    nulls: int = 10
    power: float = 1.0


class ManyTests(Theorem[ManySetting]):
    """Ten tests, the false nulls at p = 0. Holm: 1 - (1 - .05 / m)^m for m true nulls, whatever the others, since the
    false ones are stepped over. Value: the share of 300 trials with a false rejection."""

    claim_id = "family-wise-error"
    paper = "calibration"
    source = _SOURCE + "multiplicity"
    statement = "Holm's adjusted p-values keep the family-wise error, and use all of it."
    SETTINGS = {"as_stated": Variant(ManySetting(80))}

    def bound(self, setting: ManySetting) -> Equivalent:
        if setting.method == "holm":
            return Equivalent(1.0 - (1.0 - 0.05 / setting.nulls) ** setting.nulls, 0.008)
        return Equivalent(0.05 / sum(1.0 / k for k in range(1, 11)), 0.005)

    def draw(self, setting: ManySetting, stream: Stream) -> float:
        return _trials.false_rejections(setting.method, stream, 300, 10, setting.nulls, setting.power)

    def control(self, setting: ManySetting) -> tuple[Control[ManySetting], ...]:
        return (Control("p-values too small", replace(setting, power=2.0)),)


class ManyFalse(ManyTests):
    """As `family-wise-error` with one true null among ten: the nine false ones are stepped over, and the last is tested
    at the whole level. Without the steps its error would be a tenth of it."""

    claim_id = "family-wise-error-stepped"
    SETTINGS = {"as_stated": Variant(ManySetting(80, nulls=1))}


class FalseDiscoveries(ManyTests):
    """Benjamini-Yekutieli with nulls alone: .05 / (1 + 1/2 + .. + 1/10), by Simes' equality. Value: the mean share of
    false ones among the rejected, over 300 trials of ten tests."""

    claim_id = "false-discovery-rate"
    statement = "Benjamini and Yekutieli's adjusted p-values keep the false discovery rate, and use all of it."
    SETTINGS = {"as_stated": Variant(ManySetting(80, "by"))}


THEOREMS = (StudentCoverage(), SlopeCoverage(), BinomialCoverage(), ManyTests(), ManyFalse(), FalseDiscoveries())
