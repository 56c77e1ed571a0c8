"""Agg_alpha against exact arithmetic, its limits, its gradient; rejects what is no number."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.algorithms.aggregation import aggregate, aggregate_prime, aggregate_weights

REWARDS = np.array([[0.3, -1.0, 2.0], [1.1, 0.4, 2.0], [-0.7, 0.2, 2.0], [0.0, 5.0, 2.0]])
ALPHAS = (-30.0, -2.0, -0.5, -1e-3, 1e-3, 0.5, 2.0, 30.0)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_against_the_definition_in_exact_sums(alpha):
    by_hand = [math.log(math.fsum(math.exp(alpha * r) for r in column) / 4) / alpha for column in REWARDS.T]
    assert aggregate(REWARDS, alpha) == pytest.approx(by_hand, abs=1e-11)


def test_limits_and_a_hand_computed_case():
    assert aggregate(REWARDS, 0.0) == pytest.approx(REWARDS.mean(axis=0), abs=1e-15)
    assert aggregate(REWARDS, np.inf).tolist() == REWARDS.max(axis=0).tolist()
    assert aggregate(REWARDS, -np.inf).tolist() == REWARDS.min(axis=0).tolist()
    # log((1 + e) / 2) = 0.6201145069582775
    assert aggregate(np.array([[0.0], [1.0]]), 1.0)[0] == pytest.approx(0.6201145069582775, abs=1e-15)
    # (1/2)(e^-1 - 1) / -1 = (1 - 1/e) / 2
    assert aggregate_prime(np.array([[0.0], [1.0]]), -1.0)[0] == pytest.approx((1 - math.exp(-1)) / 2, abs=1e-15)


@pytest.mark.parametrize("alpha", [-1e-9, 1e-9, -1e-13, 1e-13, 1e-300])
def test_nothing_cancels_near_zero(alpha):
    """Agg = mean + alpha variance / 2 + O(alpha^2); a naive logarithm would lose ten digits here."""
    expected = REWARDS.mean(axis=0) + 0.5 * alpha * REWARDS.var(axis=0)
    assert aggregate(REWARDS, alpha) == pytest.approx(expected, rel=1e-14, abs=1e-14)


def test_large_exponents_do_not_overflow():
    rewards = np.array([[1000.0], [-1000.0]])
    assert aggregate(rewards, 5.0)[0] == pytest.approx(1000 - math.log(2) / 5, abs=1e-9)
    assert aggregate(rewards, -5.0)[0] == pytest.approx(-1000 + math.log(2) / 5, abs=1e-9)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_prime_is_an_increasing_transform(alpha):
    if abs(alpha) < 10:
        inverse = np.log1p(alpha * aggregate_prime(REWARDS, alpha)) / alpha
        assert inverse == pytest.approx(aggregate(REWARDS, alpha), abs=1e-9)


@pytest.mark.parametrize("alpha", [-2.0, 0.0, 0.7])
def test_weights_are_the_gradient(alpha):
    step = 1e-6
    for i in range(4):
        moved = [REWARDS + sign * step * (np.arange(4) == i)[:, None] for sign in (1, -1)]
        slope = (aggregate(moved[0], alpha) - aggregate(moved[1], alpha)) / (2 * step)
        assert aggregate_weights(REWARDS, alpha)[i] == pytest.approx(slope, abs=1e-8)
    assert aggregate_weights(REWARDS, np.inf)[:, 2].tolist() == [0.25] * 4
    assert aggregate_weights(REWARDS, np.inf)[:, 0].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert aggregate_weights(REWARDS, -np.inf)[:, 0].tolist() == [0.0, 0.0, 1.0, 0.0]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=6), st.floats(-20, 20), st.floats(-20, 20))
def test_between_min_and_max_and_rising_in_alpha(rewards, first, second):
    column = np.array(rewards)[:, None]
    low, high = sorted((first, second))
    at = [float(aggregate(column, alpha)[0]) for alpha in (-np.inf, low, high, np.inf)]
    assert all(a <= b + 1e-9 for a, b in pairwise(at))


def test_what_is_refused():
    with pytest.raises(ValueError, match="alpha must be a number"):
        aggregate(REWARDS, float("nan"))
    with pytest.raises(ValueError, match="no limit at infinite"):
        aggregate_prime(REWARDS, np.inf)
