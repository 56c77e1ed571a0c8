"""One replicate shows no spread, and what is no number proves nothing: neither a claim nor, in a control, a check."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from sim.streams import Stream
from theory.engine.checks import check_theorem
from theory.engine.judges import Equivalent, EveryDraw, Exactly, Frequency, MeanAtLeast, MeanAtMost, Slope
from theory.engine.planning import plan
from theory.engine.theorem import Control, Premise, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.low_rank.constants import EachEquivalent

HOLDS, VIOLATED, INCONCLUSIVE = Verdict.HOLDS, Verdict.VIOLATED, Verdict.INCONCLUSIVE
GRID = np.array([1.0, 10.0, 100.0])
FALLING = 1.0 / GRID
NAN, INF = float("nan"), float("inf")


def _columns(values):
    return np.column_stack([values, values])


JUDGES = [
    (MeanAtMost(1.0), None, np.array([0.9, 0.8, 0.85])),
    (MeanAtLeast(0.5), None, np.array([0.9, 0.8, 0.85])),
    (Equivalent(0.85, 0.3), None, np.array([0.9, 0.8, 0.85])),
    (EachEquivalent(0.85, 0.3), None, _columns([0.9, 0.8, 0.85])),
    (Slope(-0.5), GRID, np.outer([1.0, 1.1, 0.9], FALLING)),
]


@pytest.mark.parametrize(("judge", "grid", "values"), JUDGES)
def test_one_replicate_of_what_is_random_is_no_evidence(judge, grid, values):
    assert judge.judge(values, grid, Stream()).verdict is HOLDS
    for one in (values[:1], 100.0 * values[:1], values[:1] / 100.0):
        found = judge.judge(one, grid, Stream())
        assert found.verdict is INCONCLUSIVE
        assert found.p_value == 1.0
        assert found.interval == (-INF, INF)
        assert "one replicate shows no spread" in found.note


@pytest.mark.parametrize(("judge", "grid", "values"), JUDGES)
@pytest.mark.parametrize("broken", [NAN, INF, -INF])
def test_a_replicate_that_is_no_number_proves_nothing(judge, grid, values, broken):
    bad = values.copy()
    bad.flat[0] = broken
    found = judge.judge(bad, grid, Stream())
    assert found.verdict is INCONCLUSIVE
    assert found.p_value == 1.0
    assert "1 of 3 replicates are not finite" in found.note


def test_a_draw_below_every_number_is_not_the_one_to_blame():
    for judge in (EveryDraw(1.0), Exactly(1.0)):
        found = judge.judge(np.array([-INF, 2.0, 0.5]), None, Stream())
        assert (found.verdict, found.worst, found.measured) == (VIOLATED, 1, 2.0)
        assert judge.judge(np.array([-INF, 2.0, NAN]), None, Stream()).worst == 2


@dataclass(frozen=True)
class Draws(Setting):
    """mean: of the draws.  broken: what the first `n_broken` are in their place."""

    replicates: int = 60
    mean: float = 0.5
    broken: float = NAN
    n_broken: int = 0
    premise: float = 1.0


class Toy(Theorem[Draws]):
    claim_id, paper, source, statement = "toy", "toys", "toys", "A toy."

    def __init__(self, judge, control, setting=None):
        self.judge, self.broken = judge, control
        self.SETTINGS = {"as_stated": Variant(setting or Draws())}

    def premises(self, setting, stream):
        return (Premise("toy", setting.premise >= 1.0, setting.premise, ">= 1"),)

    def bound(self, setting):
        return self.judge

    def draw(self, setting, stream):
        if stream.replicate < setting.n_broken:
            return setting.broken
        return setting.mean + 0.1 * float(stream.normals(1)[0])

    def control(self, setting):
        return (Control("broken", self.broken),)


AT_MOST = [MeanAtMost(1.0), Equivalent(0.5, 0.2), EveryDraw(1.5), Frequency(0.2, threshold=1.0)]


@pytest.mark.parametrize("judge", AT_MOST)
def test_a_control_that_only_breaks_does_not_certify(judge):
    real = Draws(mean=5.0)
    (found,) = check_theorem(Toy(judge, real), "quick", 0)
    assert (found.verdict, found.power, found.controls[0].caught) == (HOLDS, 1.0, True)
    for broken in (replace(Draws(), n_broken=60), replace(Draws(), n_broken=1)):
        (found,) = check_theorem(Toy(judge, broken), "quick", 0)
        assert found.verdict is INCONCLUSIVE
        assert found.power == 0.0
        assert not found.controls[0].caught


@pytest.mark.parametrize("judge", AT_MOST)
def test_a_control_is_caught_by_its_numbers_whatever_breaks_beside_them(judge):
    (found,) = check_theorem(Toy(judge, Draws(mean=5.0, n_broken=3)), "quick", 0)
    assert found.controls[0].caught
    assert found.controls[0].measured > 0.9


def test_a_premise_that_is_no_number_does_not_certify():
    caught = [
        check_theorem(Toy(MeanAtMost(1.0), Draws(premise=p)), "quick", 0)[0].controls[0].caught for p in (0.5, NAN)
    ]
    assert caught == [True, False]


@pytest.mark.parametrize("judge", [MeanAtMost(1.0), MeanAtLeast(0.1), Equivalent(0.5, 0.2)])
def test_a_claim_of_one_replicate_holds_nowhere(judge):
    one = Draws(1)
    (found,) = check_theorem(Toy(judge, Draws(mean=5.0), one), "quick", 0)
    assert found.verdict is INCONCLUSIVE
    assert plan(Toy(judge, Draws(mean=5.0), one), "as_stated", target=0.8).holds.replicates is None


def test_a_deterministic_case_needs_one():
    (found,) = check_theorem(Toy(Exactly(1.0), Draws(1, mean=5.0), Draws(1)), "quick", 0)
    assert found.verdict is HOLDS
    assert found.power == 1.0


def test_the_power_against_a_broken_control_is_none():
    found = plan(Toy(MeanAtMost(1.0), Draws(n_broken=60)), "as_stated", target=0.8)
    assert (found.controls[0].now, found.controls[0].replicates) == (0.0, None)


class Rate(Toy):
    """Means that fall below nothing along the grid, with noise."""

    offset = -0.5

    def grid(self, setting):
        return GRID

    def draw(self, setting, stream):
        return FALLING + self.offset + 0.01 * stream.normals(3)


@pytest.mark.parametrize(("offset", "replicates", "grids"), [(-0.5, 30, 0), (0.0, 1, 0), (2.0, 30, 3)])
def test_a_rate_whose_means_are_not_positive_has_no_grid_to_plan(offset, replicates, grids):
    """Relative spreads were negative, or those of one replicate."""
    toy = Rate(Slope(-0.1), Draws(replicates), Draws(replicates))
    toy.offset = offset
    assert len(plan(toy, "as_stated", target=0.8).grids) == grids
