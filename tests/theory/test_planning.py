"""Power that is promised and planned, against simulation; shares of bounds, against their definition."""

import numpy as np
import pytest

from sim.streams import Stream
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
from theory.engine.planning import plan, smallest
from theory.engine.registry import find
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
