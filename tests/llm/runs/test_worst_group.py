"""Limits of the worst group's regret hold where groups tie, where MinMax ends, and elsewhere."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from llm.runs.worst_group import WorstMean, worst_difference, worst_with_interval
from sim.streams import Stream


def _root(K, rho):
    return np.linalg.cholesky((1 - rho) * np.eye(K) + rho * np.ones((K, K)))


@pytest.mark.parametrize(
    ("means", "rho", "n"),
    [
        ([0.0, 0.0], -0.9, 64),
        ([0.0, -0.1, -0.2], 0.9, 16),
        ([0.0] * 5, 0.0, 64),
        ([0.0, -1.0, -1.0, -1.0, -1.0], 0.5, 64),
        ([0.0] * 8, 0.0, 16),
    ],
)
def test_limits_hold_the_worst_regret_whatever_ties(means, rho, n):
    """At least 95 of 100 in the long run, so 90 of these; the percentile bootstrap had .65 to .045 of the ties."""
    draw, root, inside, above = np.random.default_rng(1), _root(len(means), rho), 0, 0
    for number in range(100):
        row = worst_with_interval(np.array(means)[:, None] + root @ draw.normal(size=(len(means), n)), Stream(number))
        low, high = row.interval
        inside += low <= 0.0 <= high
        above += row.estimate > 0
        assert low <= row.estimate <= row.mean <= high
    assert inside >= 90
    # At most half; the largest mean itself lies above in 75 (two ties) to 100 (eight) of 100.
    assert above <= 62


@pytest.mark.parametrize(
    ("first", "second"), [([0.0] * 3, [0.0] * 3), ([0.0] * 5, [0.5, 0.0, 0.0, 0.0, 0.0]), ([0.0, -0.2], [0.1, 0.1])]
)
def test_limits_hold_a_difference_of_two_worst_regrets(first, second):
    """The same prompts for both policies, whose regrets go together."""
    draw, inside, true = np.random.default_rng(2), 0, max(first) - max(second)
    for number in range(60):
        one, other = draw.normal(size=(2, len(first), 64))
        x, y = np.array(first)[:, None] + one, np.array(second)[:, None] + 0.8 * one + 0.6 * other
        row = worst_difference(x, y, Stream(number))
        assert row.mean == pytest.approx(x.mean(axis=1).max() - y.mean(axis=1).max())
        inside += row.interval[0] <= true <= row.interval[1]
    assert inside >= 54


def test_limits_by_other_means():
    """One group: Student's interval and the mean. Two independent ones with equal means: Phi(q)^2 is the level."""
    one = np.random.default_rng(3).normal(2.0, size=(1, 12))
    row = worst_with_interval(one, Stream(0))
    low, high = stats.ttest_1samp(one[0], 0.0).confidence_interval(0.95)
    assert row.estimate == pytest.approx(row.mean)
    assert row.interval[1] == pytest.approx(high)
    # Drawn, with a tenth of the level for the first step.
    assert row.interval[0] == pytest.approx(low, abs=0.05 * (high - low))
    two = np.tile([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]], 1000)
    error = two[0].std(ddof=1) / np.sqrt(two.shape[1])
    row = worst_with_interval(two, Stream(0))
    assert row.interval[0] / error == pytest.approx(-ndtri(np.sqrt(0.9775)), abs=0.06)
    assert row.interval[1] / error == pytest.approx(ndtri(0.975), abs=0.002)
    assert row.estimate / error == pytest.approx(-ndtri(np.sqrt(0.5)), abs=0.06)


def test_groups_far_below_the_worst_cost_nothing():
    values = np.random.default_rng(4).normal(size=(8, 100))
    alone = worst_with_interval(values[:1], Stream(0))
    row = worst_with_interval(np.concatenate([values[:1], values[1:] - 5.0]), Stream(0))
    assert row.mean == row.estimate == alone.mean
    assert row.interval == pytest.approx(alone.interval, abs=0.01)


def test_what_is_known_is_not_too_large_by_chance():
    """A group's regret under its own policy is nothing at every prompt."""
    rng, known = np.random.default_rng(5), np.array([True, False])
    values, others = (np.stack([np.zeros(50), rng.normal(-3.0, 1.0, size=50)]) for _ in range(2))
    row = worst_with_interval(values, Stream(0), known)
    assert (row.mean, row.interval, row.estimate) == (0.0, (0.0, 0.0), 0.0)
    assert worst_difference(values, others, Stream(0), (known, known)) == WorstMean(0.0, (0.0, 0.0), 0.0)


def test_what_is_the_same_by_chance_has_no_limits():
    """Ten prompts without a regret of 5 in 100 had limits of 0 and 0: they held .05 half of the time."""
    assert worst_with_interval(np.zeros((2, 10)), Stream(0)).interval is None
    assert worst_difference(np.zeros((2, 10)), np.zeros((2, 10)), Stream(0)).interval is None
    known = np.array([True, False])
    assert worst_difference(np.zeros((2, 10)), np.zeros((2, 10)), Stream(0), (known, known)).interval is None
    rng, held = np.random.default_rng(2), []
    for _ in range(400):
        found = worst_with_interval((rng.random((2, 10)) < 0.05).astype(float), Stream(0)).interval
        if found is not None:
            held.append(found[0] <= 0.05 <= found[1])
    assert len(held) > 40
    assert np.mean(held) >= 0.93


def test_one_prompt_has_no_interval():
    one = np.array([[1.0], [2.0]])
    assert worst_with_interval(one, Stream(0)).interval is None
    assert worst_difference(one, one[::-1], Stream(0)) == WorstMean(0.0, None, 0.0)
