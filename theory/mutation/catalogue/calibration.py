"""Faults planted in the code that judges all papers."""

from __future__ import annotations

from functools import partial

from theory.mutation.fault import Fault

_fault = partial(Fault, paper="calibration")
_JUDGES, _CHECKS = "theory.engine.judges", "theory.engine.checks"
_MEANS = "theory.engine.means"
_INTERVALS, _MANY = "theory.engine.intervals", "theory.engine.multiplicity"

FAULTS: tuple[Fault, ...] = (
    _fault(
        id="first-column-only", place=f"{_JUDGES}:EveryDraw.judge",
        old="values.reshape(len(values), -1).max(axis=1)", new="values.reshape(len(values), -1)[:, 0]",
        what="only the first column is judged",
    ),
    _fault(
        id="one-sided-turned", place=f"{_JUDGES}:MeanAtMost.judge",
        old="mean <= self.limit", new="mean >= self.limit", what="the one-sided test is turned",
    ),
    _fault(
        id="mean-without-interval", place=f"{_JUDGES}:MeanAtMost.judge",
        old="if p > ALPHA", new="if p > 1.0", what="the judge of means ignores its error",
    ),
    _fault(
        id="mean-blames-least", place=f"{_JUDGES}:MeanAtMost.judge",
        old="np.argmax(values)", new="np.argmin(values)", what="the witness is the draw that says least",
    ),
    _fault(
        id="equivalent-without-interval", place=f"{_JUDGES}:Equivalent.judge",
        old="mean_interval(values, 1.0 - 2.0 * ALPHA)", new="(mean, mean)",
        what="equivalence is judged without an interval",
    ),
    _fault(
        id="power-always-one", place=f"{_JUDGES}:_sees",
        old="float(stats.nct.sf(", new="1.0 + 0.0 * float(stats.nct.sf(", what="promised power is always one",
    ),
    _fault(
        id="replicate-ignored", place="sim.streams:Stream.at",
        old="self.replicate if replicate is None else replicate", new="self.replicate",
        what="every replicate is the same draw",
    ),
    _fault(
        id="roles-shared", place="sim.streams:Stream.child",
        old='role=f"{self.role}/{role}"', new="role=self.role", what="roles share a stream",
    ),
    _fault(
        id="cell-not-in-key", place="sim.streams:Stream._digest",
        old="{len(self.cell)}:{self.cell}:", new="", what="cells share a stream",
    ),
    _fault(
        id="start-ignored", place="sim.streams:Stream.uniforms",
        old="fill(out, start,", new="fill(out, 0,", what="a draw that begins later begins at zero",
    ),
    _fault(
        id="holm-without-steps", place=f"{_MANY}:holm",
        old="(len(p) - np.arange(len(p)))", new="len(p)", what="Holm without its step down",
    ),
    _fault(
        id="by-without-harmonic", place=f"{_MANY}:benjamini_yekutieli",
        old="(1.0 / np.arange(1, n + 1)).sum()", new="1.0", what="Benjamini-Yekutieli without the harmonic sum",
    ),
    _fault(
        id="binomial-tail-doubled", place=f"{_INTERVALS}:binomial_interval",
        old="(1.0 - level) / 2.0", new="1.0 - level", what="each tail of the exact interval has the whole error",
    ),
    _fault(
        id="student-normal", place=f"{_MEANS}:mean_interval",
        old="stdtrit(n - 1, 0.5 + level / 2.0)", new="stdtrit(1e9, 0.5 + level / 2.0)",
        what="the normal quantile for Student's",
    ),
    _fault(
        id="skewness-left-in", place=f"{_MEANS}:_rate",
        old="_SKEWNESS * skewness", new="0.0 * skewness", what="means are judged as if no draw were skewed",
    ),
    _fault(
        id="skewness-turned", place=f"{_MEANS}:_rate",
        old="_SKEWNESS * skewness", new="-_SKEWNESS * skewness", what="the correction for skewness is turned",
    ),
    _fault(
        id="slope-unweighted", place=f"{_INTERVALS}:rate_slope",
        old="_log_weights(means, values.var(axis=0, ddof=1) / n if n > 1 else np.zeros(points))", new="np.ones(points)",
        what="the slope is fitted without weights",
    ),
    _fault(
        id="slope-wrong-axis", place=f"{_INTERVALS}:rate_slope",
        old="log_grid, means = np.log(grid), values.mean(axis=0)",
        new="log_grid, means = np.log(grid)[::-1], values.mean(axis=0)", what="the slope on the reversed axis",
    ),
    _fault(
        id="vacuous-never", place=f"{_CHECKS}:_conclude",
        old="bound.cap >= largest_possible", new="False", what="VACUOUS is never said",
    ),
    _fault(
        id="control-not-looked-at", place=f"{_CHECKS}:_conclude",
        old="power < LEAST_POWER", new="False", what="a control that escapes changes nothing",
    ),
    _fault(
        id="zero-variance-certain", place=f"{_CHECKS}:_drawn",
        old="len(values) <= 1 or", new="True or", what="replicates that are all the same are taken for certainty",
    ),
    _fault(
        id="premise-ignored", place=f"{_CHECKS}:Checker._take",
        old="any(not premise.holds for premise in premises)", new="False", what="premises are ignored",
    ),
    _fault(
        id="witness-of-another", place=f"{_CHECKS}:Checker._witness",
        old="replicate=replicate,", new="replicate=replicate + 1,",
        what="the witness names the replicate after the one it shows",
    ),
)  # fmt: skip
