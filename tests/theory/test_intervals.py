"""Intervals against SciPy, hand computation and coverage by simulation."""

import numpy as np
import pytest
from scipy import stats

from sim.streams import Stream
from theory.engine.intervals import binomial_interval, rate_slope


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


def test_slope_of_an_exact_power_law():
    grid = np.array([100.0, 1000.0, 10_000.0, 100_000.0])
    values = np.tile(3.0 * grid**-0.7, (30, 1))
    fit = rate_slope(grid, values)
    assert fit.slope == pytest.approx(-0.7)
    assert fit.without_first == pytest.approx(-0.7)
    assert fit.interval == pytest.approx((-0.7, -0.7))


def test_slope_interval_covers_with_few_replicates_and_uneven_noise():
    grid = np.geomspace(100, 10_000, 5)
    inside = []
    for r in range(600):
        noise = 1 + np.array([0.05, 0.05, 0.1, 0.2, 0.3]) * Stream(6, replicate=r).normals((12, 5)).clip(-3, 3)
        low, high = rate_slope(grid, grid**-0.5 * noise).interval
        inside.append(low <= -0.5 <= high)
    # Student's within two standard errors of .95; each side as careful as the more careful of that and the corrected
    # one. A bootstrap's percentiles cover in .87.
    assert 0.93 < np.mean(inside) < 0.98


def test_jackknife_of_a_slope_leaves_each_replicate_out_once():
    grid = np.geomspace(100, 10_000, 4)
    values = grid**-0.5 * (1 + 0.2 * Stream(8).normals((9, 4)))
    left = np.array([rate_slope(grid, np.delete(values, r, axis=0)).slope for r in range(9)])
    expected = np.sqrt(8 / 9 * ((left - left.mean()) ** 2).sum())
    assert rate_slope(grid, values).standard_error == pytest.approx(expected)


@pytest.mark.parametrize("values", [np.ones((2, 3)), np.array([[1.0, 1, 1], [1, 1, 1], [-5, 1, 1]])])
def test_a_slope_that_cannot_be_judged_is_anywhere(values):
    assert rate_slope(np.array([1.0, 2.0, 4.0]), values).interval == (-np.inf, np.inf)


def test_a_rate_needs_three_points():
    with pytest.raises(ValueError, match="at least 3 grid points"):
        rate_slope(np.array([1.0, 2.0]), np.ones((30, 2)))


def test_a_rate_of_skewed_draws_is_not_found_steeper_than_it_is():
    """Lognormal draws whose spread grows along the grid: their means lie below their law's most often where they spread
    most. Student's test, written out here, says so in a tenth of the trials; .025 are due."""
    grid, sd = np.geomspace(1000, 100_000, 5), np.linspace(0.3, 1.3, 5)
    student, judged = [], []
    for r in range(800):
        values = grid**-0.5 * np.exp(sd * Stream(7, replicate=r).normals((30, 5)) - sd**2 / 2.0)
        fit = rate_slope(grid, values)
        student.append(fit.slope + stats.t.ppf(0.975, 29) * fit.standard_error < -0.5)
        judged.append(fit.interval[1] < -0.5)
        assert (fit.tails(-0.5)[0] <= 0.025) == judged[-1]
    assert np.mean(student) > 0.07
    assert np.mean(judged) < 0.7 * np.mean(student)
