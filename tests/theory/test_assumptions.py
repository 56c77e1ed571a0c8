"""The assumption meter on cases whose numbers are known."""

import numpy as np
import pytest

from sim.populations.behaviour import Behaviour
from sim.streams import Stream
from theory.engine import assumptions


def test_coverage_of_a_greedy_target():
    premise = assumptions.coverage(np.array([[0.0, 1.0, 0.0]]), Behaviour(coverage=0.3).probabilities(3), at_most=20)
    assert premise.value == pytest.approx(10.0)
    assert premise.holds
    assert not assumptions.coverage(np.array([[0.0, 1.0]]), np.array([1.0, 0.0]), at_most=1e9).holds


def test_spectra():
    theta = np.diag([3.0, 2.0, 0.5])
    assert assumptions.smallest_singular_value(theta, 0.4).holds
    assert assumptions.smallest_singular_value(theta, 0.6).value == pytest.approx(0.5)
    assert assumptions.rank_gap(theta, 2, 1.0).value == pytest.approx(1.5)
    assert assumptions.rank_gap(theta, 3, 0.1).value == pytest.approx(0.5)


def test_separation_and_overlap():
    differences = Stream(1).normals((4000, 2))
    theta = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.1]])
    assert assumptions.separation(theta, differences, 1.0).value == pytest.approx(0.1, rel=0.05)
    assert assumptions.group_overlap(np.eye(3), 0.1).value == pytest.approx(0)
    assert assumptions.group_overlap(np.full((5, 3), 1 / 3), 0.5).value == pytest.approx(1)
    assert not assumptions.smallest_share(np.array([0.99, 0.01]), 100, 5).holds


def test_data():
    apart = np.abs(Stream(2).normals((20, 2)))
    assert not assumptions.not_separable(apart).holds
    assert assumptions.not_separable(np.concatenate([apart, -apart])).holds
    contexts, types = Stream(3).normals((4000, 2)), np.arange(4000) % 2
    assert assumptions.independent_of_type(contexts, types, 0.1).holds
    assert not assumptions.independent_of_type(contexts + types[:, None], types, 0.1).holds
