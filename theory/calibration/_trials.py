"""Synthetic data whose right verdict is known, judged by the engine's own code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.checks import Check, check_theorem
from theory.engine.intervals import binomial_interval, rate_slope
from theory.engine.judges import Bound, Equivalent, EveryDraw, MeanAtLeast, MeanAtMost
from theory.engine.means import mean_interval
from theory.engine.multiplicity import benjamini_yekutieli, holm
from theory.engine.theorem import Control, Premise, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict

LEVEL = 0.05
_BOUNDS: dict[str, tuple[Bound, float]] = {
    "at-most": (MeanAtMost(1.0), 1.0),
    "at-least": (MeanAtLeast(1.0), 1.0),
    "equivalent": (Equivalent(1.0, 0.5), 1.5),
}


def at_boundary(
    name: str, stream: Stream, trials: int, n: int, *, says: Verdict, copies: int = 1, skewed: float = 0.0
) -> float:
    """Share of trials called `says` with the true mean just at the edge; each value is written `copies` times.

    skewed: sd of the logarithm of lognormal draws; 0: normal draws.
    """
    judge, edge = _BOUNDS[name]
    values = np.repeat(edge + _centred(stream, (trials, n // copies), skewed), copies, axis=1)
    return float(np.mean([judge.judge(row, None, stream).verdict is says for row in values]))


def student_at_boundary(stream: Stream, trials: int, n: int, skewed: float) -> float:
    """Share of trials in which Student's test, as it is, finds a mean just at its limit below it."""
    from scipy import stats

    values = _centred(stream, (trials, n), skewed)
    return float((stats.ttest_1samp(values, 0.0, axis=1, alternative="less").pvalue <= LEVEL).mean())


def _centred(stream: Stream, shape: tuple[int, int], skewed: float) -> FloatArray:
    """Draws of mean 0."""
    normals = stream.normals(shape)
    return normals if skewed == 0.0 else np.exp(skewed * normals) - np.exp(skewed**2 / 2.0)


def late_draw_missed(stream: Stream, n: int, points: int, above: float) -> float:
    """1 where a draw of size `above` at a random replicate and column, under a limit of 1, is not seen."""
    values = stream.child("values").uniforms((n, points))
    row, column = stream.child("row").integers(n, 1)[0], stream.child("column").integers(points, 1)[0]
    values[row, column] = above
    judged = EveryDraw(1.0).judge(values, None, stream)
    return float(judged.verdict is not Verdict.VIOLATED or judged.worst != row)


def realised_less_promised(stream: Stream, trials: int, n: int, shift: float) -> float:
    """Frequency of VIOLATED at a mean of 1 + shift, less the power that `detects` promises at 1.6."""
    judge = MeanAtMost(1.0, departure=0.6)
    promised = judge.detects(stream.child("pilot").normals(4000), None, stream, n)
    assert promised is not None
    values = 1.0 + shift + stream.normals((trials, n))
    return float(np.mean([judge.judge(row, None, stream).verdict is Verdict.VIOLATED for row in values])) - promised


def mean_covers(stream: Stream, trials: int, n: int, copies: int) -> float:
    """Share of intervals of a mean that contain the true one, 0."""
    rows = np.repeat(stream.normals((trials, n // copies)), copies, axis=1)
    ends = np.array([mean_interval(row) for row in rows])
    return float(((ends[:, 0] <= 0.0) & (ends[:, 1] >= 0.0)).mean())


def slope_covers(stream: Stream, trials: int, n: int, copies: int) -> float:
    """Share of the slope's intervals that contain the true rate, -1/2; the last points are the noisiest."""
    grid = np.array([10.0, 20.0, 40.0, 80.0, 160.0])
    noise = stream.normals((trials, n // copies, len(grid))) * np.array([0.05, 0.05, 0.1, 0.2, 0.3])
    values = np.repeat(grid**-0.5 * (1.0 + noise), copies, axis=1)
    ends = [rate_slope(grid, values[t]).interval for t in range(trials)]
    return float(np.mean([low <= -0.5 <= high for low, high in ends]))


def rate_at_boundary(
    stream: Stream, trials: int, n: int, sd: tuple[float, float], *, student: bool, copies: int
) -> float:
    """Share of trials in which a rate of -1/2 that is just at its limit is found steeper, at 2.5 %: of lognormal draws
    whose sd of logarithms grows from the first of `sd` to the second along the grid."""
    from scipy import stats

    grid, own = np.geomspace(1e3, 1e5, 5), np.linspace(*sd, 5)
    noise = np.exp(own * stream.normals((trials, n // copies, 5)) - own**2 / 2.0)
    fits = [rate_slope(grid, np.repeat(grid**-0.5 * one, copies, axis=0)) for one in noise]
    if student:
        return float(np.mean([one.slope + stats.t.ppf(0.975, n - 1) * one.standard_error < -0.5 for one in fits]))
    return float(np.mean([one.interval[1] < -0.5 for one in fits]))


def binomial_shortfall(trials: int, level: float) -> float:
    """0.95 less the smallest exact coverage of the binomial interval over frequencies 0.01..0.99."""
    from scipy import stats

    counts = np.arange(trials + 1)
    ends = np.array([binomial_interval(int(k), trials, level) for k in counts])
    frequencies = np.linspace(0.01, 0.99, 99)[:, None]
    inside = (ends[:, 0] <= frequencies) & (frequencies <= ends[:, 1])
    return float(0.95 - (stats.binom.pmf(counts, trials, frequencies) * inside).sum(axis=1).min())


def false_rejections(method: str, stream: Stream, trials: int, tests: int, nulls: int, power: float) -> float:
    """Holm: share of trials with a false rejection; BY: mean share of false ones among the rejected.

    The other tests have p = 0. `power`: true nulls have p = U^power, of which 1 is right.
    """
    p = np.zeros((trials, tests))
    p[:, :nulls] = stream.uniforms((trials, nulls)) ** power
    adjust = {"holm": holm, "by": benjamini_yekutieli}[method]
    rejected = np.array([adjust(row) for row in p]) <= LEVEL
    false = rejected[:, :nulls].sum(axis=1)
    wrong: FloatArray = (false > 0) * 1.0 if method == "holm" else false / np.maximum(rejected.sum(axis=1), 1)
    return float(wrong.mean())


@dataclass(frozen=True)
class ToySetting(Setting):
    """mean, spread: of the draws.  premise: whether it holds.  largest: of the measurement."""

    mean: float = 0.0
    spread: float = 0.3
    premise: bool = True
    largest: float | None = None
    broken: float = 5.0


class Toy(Theorem[ToySetting]):
    """The mean of normal draws is at most 1."""

    claim_id, paper, source, statement = "toy", "toys", "toys", "The mean is at most 1."

    def __init__(self, setting: ToySetting) -> None:
        self.SETTINGS = {"as_stated": Variant(setting)}

    def premises(self, setting: ToySetting, stream: Stream) -> tuple[Premise, ...]:
        return (Premise("toy", setting.premise, float(setting.premise), "true"),)

    def bound(self, setting: ToySetting) -> MeanAtMost:
        return MeanAtMost(1.0)

    def draw(self, setting: ToySetting, stream: Stream) -> float:
        return setting.mean + setting.spread * float(stream.normals(1)[0])

    def control(self, setting: ToySetting) -> tuple[Control[ToySetting], ...]:
        return (Control("mean above", ToySetting(setting.replicates, mean=setting.broken)),)

    def largest_possible(self, setting: ToySetting) -> float | None:
        return setting.largest


_TOYS: tuple[tuple[ToySetting, Verdict], ...] = (
    (ToySetting(30, mean=0.0), Verdict.HOLDS),
    (ToySetting(30, mean=2.0), Verdict.VIOLATED),
    (ToySetting(30, mean=0.0, premise=False), Verdict.PREMISE_FAILED),
    (ToySetting(30, mean=0.0, largest=0.5), Verdict.VACUOUS),
    (ToySetting(30, mean=0.0, spread=0.0), Verdict.INCONCLUSIVE),
    (ToySetting(30, mean=0.0, broken=0.5), Verdict.INCONCLUSIVE),
)


def toy(setting: ToySetting, seed: int) -> Check:
    return check_theorem(Toy(setting), "quick", seed)[0]


def wrong_verdicts(seed: int, swapped: bool) -> float:
    """How many toy claims get a verdict that is not theirs; swapped: the right ones are read in reverse."""

    rights = [right for _, right in _TOYS]
    rights = rights[::-1] if swapped else rights
    return float(
        sum(toy(setting, seed).verdict is not right for (setting, _), right in zip(_TOYS, rights, strict=True))
    )


def witness_error(seed: int, tampered: bool) -> float:
    """|recorded - drawn again| of the witness of a violated toy; it must also be the largest of the draws."""
    setting = ToySetting(30, mean=2.0)
    found = toy(setting, seed).witness
    if found is None:
        return 1.0
    one = Toy(setting)
    own = Stream(seed, cell=f"{one.paper}/{one.claim_id}/{setting.key()}")
    draws = [one.draw(setting, own.at(replicate=r)) for r in range(setting.replicates)]
    recorded = float(np.ravel(found.value)[0]) + (0.01 if tampered else 0.0)
    return max(abs(recorded - draws[found.replicate]), abs(max(draws) - recorded))
