"""Power that is promised and planned, against simulation; shares of bounds, against their definition."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from pluralign.api.calibration import PowerResult
from sim.errors import InputError
from sim.streams import Stream
from theory.engine.checks import check_theorem
from theory.engine.judges import (
    Equivalent,
    EveryDraw,
    Exactly,
    Frequency,
    MeanAtLeast,
    MeanAtMost,
    Slope,
    TwoSided,
)
from theory.engine.planning import Need, plan, smallest, verdicts_beside
from theory.engine.registry import find, theorems_of
from theory.engine.runner import adjust
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict

STREAM = Stream(3)
PILOT = STREAM.normals(5000)


def realised(judge, values, grid=None):
    """Share of rows of values that are judged VIOLATED."""
    return np.mean([judge.judge(row, grid, STREAM).verdict is Verdict.VIOLATED for row in values])


@pytest.mark.parametrize(
    ("judge", "mean"),
    [
        (MeanAtMost(1.0, departure=0.5), 1.5),
        (MeanAtLeast(1.0, departure=0.5), 0.5),
        (Equivalent(1.0, 0.3, departure=0.8), 1.8),
    ],
)
def test_power_of_means_is_the_frequency_at_the_departure(judge, mean):
    promised = judge.detects(PILOT, None, STREAM, 20)
    found = realised(judge, mean + STREAM.child("trials").normals((3000, 20)))
    assert promised == pytest.approx(found, abs=0.03)
    assert 0.3 < promised < 0.9, "neither certain nor hopeless, or the comparison says nothing"


def test_power_of_a_frequency_is_the_exact_tests():
    judge = Frequency(0.1, threshold=0.0)
    promised = judge.detects(PILOT, None, STREAM, 60)
    events = STREAM.child("events").uniforms((4000, 60)) < 0.2
    assert promised == pytest.approx(realised(judge, np.where(events, 1.0, -1.0)), abs=0.03)


def test_power_of_a_slope_is_the_frequency_at_the_departure():
    grid, n = np.array([10.0, 30.0, 100.0, 300.0]), 60
    judge = Slope(-0.5, departure=0.05)

    def rows(slope, name, count):
        noise = 0.25 * STREAM.child(name).normals((count, n, len(grid)))
        return grid**slope * (1.0 + noise)

    promised = np.mean([judge.detects(one, grid, STREAM) for one in rows(-0.5, "pilot", 20)])
    assert promised == pytest.approx(realised(judge, rows(-0.45, "departed", 300), grid), abs=0.1)


def test_every_draw_promises_what_its_rate_says():
    judge = EveryDraw(1.0)
    assert judge.detects(PILOT, None, STREAM, 45) == pytest.approx(1 - 0.95**45)
    assert Exactly(1.0).detects(PILOT, None, STREAM) is None


def test_shares_of_a_bound():
    values = np.array([0.1, 0.2, 0.4])
    assert EveryDraw(0.5).attained(values) == pytest.approx(0.8)
    assert MeanAtMost(0.7).attained(values) == pytest.approx(1 / 3)
    assert MeanAtLeast(0.07).attained(values) == pytest.approx(0.3)
    assert Frequency(0.5, threshold=0.4).attained(values) == pytest.approx(0.5)
    assert EveryDraw(1e-12).attained(values) is None, "a share of a rounding tolerance means nothing"
    assert all(
        isinstance(judge, TwoSided) for judge in (EveryDraw(1.0), Exactly(1.0), Slope(1.0), Equivalent(1.0, 0.1))
    )


@pytest.mark.parametrize("target", [0.3, 0.8, 0.99])
def test_the_smallest_number_against_trying_every_one(target):
    def power(n):
        return 1 - 0.97**n

    assert smallest(power, target) == next(n for n in range(2, 1000) if power(n) >= target)
    assert smallest(lambda n: 0.5, 0.6, most=100) is None
    assert smallest(lambda n: 1.0, 0.6) == 2


def test_a_plan_of_a_rate_has_grids_and_of_a_formula_none():
    found = plan(find("many-answers-one-user"), "as_stated", target=0.9)
    assert [own.words for own in found.grids] == ["as it is", "a decade longer", "twice the points"]
    as_it_is, longer, _ = found.grids
    assert longer.replicates <= as_it_is.replicates, "a longer grid needs fewer replicates"
    assert longer.grid[-1] / as_it_is.grid[-1] == pytest.approx(10, rel=0.5)
    formula = plan(find("regret-beta"), "as_corrected", target=0.9)
    assert formula.grids == ()


@dataclass(frozen=True)
class DrawSetting(Setting):
    replicates: int = 50
    shift: float = 0.0


class Draws(Theorem[DrawSetting]):
    """Uniform numbers are at most 1."""

    claim_id, paper, source, statement = "draws", "nobody's", "nowhere", "A uniform number is at most 1."

    def __init__(self, replicates):
        self.SETTINGS = {"as_stated": Variant(DrawSetting(replicates))}

    def bound(self, setting):
        return EveryDraw(1.0)

    def draw(self, setting, stream):
        return float(stream.uniforms(1)[0]) + setting.shift

    def control(self, setting):
        return (Control("shifted", dataclasses.replace(setting, shift=1.0)),)


@pytest.mark.parametrize("family", [1, 20])
def test_the_number_that_is_promised_is_enough_for_the_verdict(family):
    """.95^n <= .05 / family; one replicate fewer is taken back to INCONCLUSIVE among `family` claims alike."""
    found = plan(Draws(50), "as_stated", target=0.9, family=family)
    least = int(np.ceil(np.log(0.05 / family) / np.log(0.95)))
    assert found.holds.replicates == least
    assert found.needed >= least
    for n, verdict in ((least, Verdict.HOLDS), (least - 1, Verdict.INCONCLUSIVE)):
        (check,) = check_theorem(Draws(n), "quick", seed=0)
        # Holm's first step, which the plan assumes: the others' p-values are larger, those of other papers nought.
        crowd = [dataclasses.replace(check, p_value=max(check.p_value, 0.049)) for _ in range(family - 1)]
        sure = [dataclasses.replace(check, paper="another", p_value=0.0) for _ in range(400 * (family > 1))]
        assert adjust([check, *crowd, *sure])[0].verdict is verdict


def test_the_family_is_the_paper_of_the_claim():
    assert verdicts_beside(find("regret-beta")) == sum(len(own.SETTINGS) for own in theorems_of("unobserved_types"))
    assert verdicts_beside(Draws(50)) == 1


def test_a_family_of_none_is_refused():
    with pytest.raises(InputError, match="at least 1 verdict"):
        plan(Draws(50), "as_stated", target=0.9, family=0)


class TooMuch(Draws):
    """The mean of uniform numbers is at most .45: more draws see the better that it is not."""

    claim_id, statement = "too-much", "The mean of uniform numbers is at most .45."

    def __init__(self, replicates, shift=1.0):
        super().__init__(replicates)
        self.shift = shift

    def bound(self, setting):
        return MeanAtMost(0.45, departure=0.1)

    def control(self, setting):
        return (Control("shifted", dataclasses.replace(setting, shift=self.shift)),)


@pytest.mark.parametrize(("claim", "unreached"), [
    (TooMuch(100), ("the claim",)), (TooMuch(100, shift=-1.0), ("the claim", "control 'shifted'")),
    (Draws(50), ()),
])  # fmt: skip
def test_what_no_number_of_replicates_reaches_is_said_and_none_is_named(claim, unreached):
    """Of a claim that is false, and of a control that is no violation, the more draws the less."""
    found = plan(claim, "as_stated", target=0.8)
    assert found.unreached == unreached
    assert (found.needed is None) == bool(unreached)
    assert found.as_json()["needed"] == found.needed
    title = PowerResult(found).page().title
    if unreached:
        assert f"no number of replicates reaches power 0.8 for {', '.join(unreached)} (it has 100)" in title
        assert found.holds.replicates is None
    else:
        assert f"{found.needed} replicates reach power 0.8 (it has 50)" in title


def test_a_departure_that_is_not_named_is_not_asked_for():
    found = plan(Draws(50), "as_stated", target=0.8, family=1)
    assert dataclasses.replace(found, departure=Need("none is named", None, None)).unreached == ()
    assert dataclasses.replace(found, departure=Need("too small", 0.1, None)).unreached == ("the departure",)
