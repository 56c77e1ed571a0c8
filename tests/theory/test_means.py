"""Tests and intervals of means: Student's where nothing is skewed, else Hall's; error rates on skewed draws."""

import numpy as np
import pytest
from scipy import stats

from sim.streams import Stream
from theory.engine.means import mean_interval, tails

STREAM = Stream(4)
SKEWED = np.exp(STREAM.child("skewed").normals(30))
EVEN = np.concatenate([SKEWED, -SKEWED])


def test_draws_without_skewness_have_students_test_and_interval():
    low, high = (stats.ttest_1samp(EVEN, 0.4, alternative=side).pvalue for side in ("less", "greater"))
    assert tails(EVEN, 0.4) == pytest.approx((low, high))
    assert mean_interval(EVEN) == pytest.approx(stats.t.interval(0.95, 59, EVEN.mean(), stats.sem(EVEN)))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_halls_formula_by_scipys_skewness(sign):
    """Its closed form, ((1 + r t / 3)^3 - 1) / r + r / 6, r = 1.5 times the skewness over sqrt(n)."""
    values, limit = sign * SKEWED, sign * 1.3
    r = 1.5 * stats.skew(values, bias=False) / np.sqrt(30)
    t = stats.ttest_1samp(values, limit).statistic
    hall = ((1 + r * t / 3) ** 3 - 1) / r + r / 6
    assert abs(hall - t) > 0.1, "or nothing is compared"
    assert tails(values, limit) == pytest.approx((stats.t.cdf(max(t, hall), 29), stats.t.sf(min(t, hall), 29)))


def test_far_from_the_limit_the_formula_goes_on_as_a_line():
    """Its cubic is flat about t = -3 / r: from t = -1.5 / r on it has slope 1/4."""
    r = 1.5 * stats.skew(SKEWED, bias=False) / np.sqrt(30)
    last = -1.5 / r
    mean, error = SKEWED.mean(), stats.sem(SKEWED)
    g = [stats.t.ppf(tails(SKEWED, mean - t * error)[0], 29) for t in (last, last - 3.0, last - 6.0)]
    assert g[0] == pytest.approx((0.5**3 - 1) / r + r / 6)
    assert np.diff(g) == pytest.approx([-0.75, -0.75])


@pytest.mark.parametrize("n", [2, 3, 7, 30])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_interval_ends_where_the_test_does(n, sign):
    values = sign * SKEWED[:n]
    low, high = mean_interval(values, 0.9)
    assert (tails(values, high)[0], tails(values, low)[1]) == pytest.approx((0.05, 0.05))
    mirrored = mean_interval(-values, 0.9)
    assert mirrored == pytest.approx((-high, -low))


def test_no_verdict_is_easier_than_students():
    for row in np.exp(STREAM.child("rows").normals((200, 12))):
        student = [stats.ttest_1samp(row, 1.5, alternative=side).pvalue for side in ("less", "greater")]
        assert (np.array(tails(row, 1.5)) >= np.array(student) - 1e-12).all()


@pytest.mark.parametrize(
    ("sd", "n", "at_most", "students"), [(0.0, 25, 0.055, 0.04), (1.0, 40, 0.08, 0.12), (1.5, 200, 0.085, 0.13)]
)
def test_error_rates_at_the_edge(sd, n, at_most, students):
    """Lognormal draws (0: normal ones), their mean at the limit: 5 % of the trials would be right."""
    normals = STREAM.child(f"{sd}").normals((3000, n))
    values = normals if sd == 0.0 else np.exp(sd * normals) - np.exp(sd**2 / 2)
    below = np.array([tails(row, 0.0)[0] for row in values])
    assert np.mean(below <= 0.05) < at_most
    assert np.mean(below <= 0.001) < 0.005
    plain = stats.ttest_1samp(values, 0.0, axis=1, alternative="less").pvalue
    assert np.mean(plain <= 0.05) > students, "the case would not tell them apart"


def test_draws_without_spread_are_certain():
    assert tails(np.full(5, 2.0), 3.0) == (0.0, 1.0)
    assert tails(np.full(5, 2.0), 1.0) == (1.0, 0.0)
    assert mean_interval(np.full(5, 2.0)) == (2.0, 2.0)
