"""Intervals against SciPy, hand computation and coverage by simulation."""

import numpy as np
import pytest
from scipy import stats

from sim.streams import Stream
from theory.engine.intervals import binomial_interval, bootstrap_interval, rate_slope, student_interval


@pytest.mark.parametrize(("events", "trials"), [(0, 30), (3, 40), (20, 40), (40, 40)])
def test_clopper_pearson_against_scipy(events, trials):
    expected = stats.binomtest(events, trials).proportion_ci(0.95, method="exact")
    assert binomial_interval(events, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_rule_of_three():
    """No event in N draws: the two-sided 90 % limit (one-sided 95 %) is about 3 / N."""
    assert binomial_interval(0, 1000, level=0.9)[1] == pytest.approx(3 / 1000, rel=0.01)


def test_clopper_pearson_covers():
    p, n = 0.07, 60
    drawn = (Stream(1, "coverage").uniforms((2000, n)) < p).sum(axis=1)
    inside = [low <= p <= high for low, high in (binomial_interval(int(k), n) for k in drawn)]
    assert np.mean(inside) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 2000)


def test_student_against_scipy():
    values = Stream(2).normals(25) + 1
    expected = stats.t.interval(0.95, 24, values.mean(), stats.sem(values))
    assert student_interval(values) == pytest.approx(expected)
    assert student_interval(np.array([2.0])) == (2.0, 2.0)


def test_bootstrap_is_near_student_for_many_normals():
    values = Stream(3).normals(400)
    assert bootstrap_interval(values, Stream(4)) == pytest.approx(student_interval(values), abs=0.02)


def test_slope_of_an_exact_power_law():
    grid = np.array([100.0, 1000.0, 10_000.0, 100_000.0])
    values = np.tile(3.0 * grid**-0.7, (30, 1))
    fit = rate_slope(grid, values, Stream(5))
    assert fit.slope == pytest.approx(-0.7)
    assert fit.without_first == pytest.approx(-0.7)
    assert fit.interval == pytest.approx((-0.7, -0.7))


def test_slope_interval_covers():
    grid = np.geomspace(100, 10_000, 5)
    inside = []
    for r in range(150):
        noise = 1 + 0.3 * Stream(6, replicate=r).normals((40, 5)).clip(-2, 2)
        low, high = rate_slope(grid, grid**-0.5 * noise, Stream(7, replicate=r), draws=300).interval
        inside.append(low <= -0.5 <= high)
    assert np.mean(inside) > 0.88


def test_a_rate_needs_three_points():
    with pytest.raises(ValueError, match="at least 3 grid points"):
        rate_slope(np.array([1.0, 2.0]), np.ones((30, 2)), Stream())
