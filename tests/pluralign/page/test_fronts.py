"""The front's corners against brute force: in rational numbers with two groups, by another program with more."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import linprog

from pluralign.page.fronts import fair_weights, front, front_chart
from pluralign.page.svg import scale_of

SCALES = (1e-10, 1e-3, 1.0, 1e3, 1e6, 1e10)


def _convex(rng, policies, scale):
    """Policies on, and some above, a convex trade-off: quarter of an ellipse."""
    angle = np.sort(rng.random(policies)) * np.pi / 2
    groups = np.array([1 - np.cos(angle), 1 - np.sin(angle)]) + rng.random(policies) * (rng.random(policies) < 0.3)
    return groups * np.array([[1.0], [scale]])


def _brute_force(points):
    """A policy is a corner if no other, and no mixture of two others, is as good in both: in rational numbers."""
    exact = sorted({tuple(map(Fraction, map(float, point))) for point in points})
    kept = [p for p in exact if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in exact)]
    corners = []
    for p in kept:
        around = [(q, r) for q, r in combinations(kept, 2) if q[0] < p[0] < r[0]]
        if not any(q[1] + (r[1] - q[1]) * (p[0] - q[0]) / (r[0] - q[0]) <= p[1] for q, r in around):
            corners.append((float(p[0]), float(p[1])))
    return corners


def test_a_corner_between_slopes_that_are_far_apart():
    """1, 300 lies far below the line from 0, 1000 to 3, 0 (667 there), by slopes of 700 and 150."""
    groups = np.array([[0.0, 1.0, 3.0], [1000.0, 300.0, 0.0]])
    assert front(groups[0], groups[1], groups) == [(0.0, 1000.0), (1.0, 300.0), (3.0, 0.0)]
    chart = front_chart(groups, ["a", "b", "c"], np.array([0.5, 0.5]), ["x", "y"], {}, "t", "f.csv")
    assert "front,,1.0,300.0" in chart.csv


@pytest.mark.parametrize("scale", SCALES)
def test_two_groups_of_any_scales(scale):
    rng = np.random.default_rng(0)
    for policies in (2, 3, 8, 20):
        for _ in range(10):
            groups = _convex(rng, policies, scale)
            assert front(groups[0], groups[1], groups) == _brute_force(groups.T)
            assert front(groups[1], groups[0], groups[::-1]) == _brute_force(groups[::-1].T)


def test_policies_that_are_alike_and_ones_that_are_no_better():
    for groups, corners in (
        ([[0, 0, 1], [5, 4, 4]], [(0, 4)]), ([[1, 1], [2, 2]], [(1, 2)]), ([[0, 1, 2], [2, 1, 0]], [(0, 2), (2, 0)]),
        ([[0, 1, 2], [2, 3, 1]], [(0, 2), (2, 1)]), ([[3, 3, 3], [0, 1, 2]], [(3, 0)]),
    ):  # fmt: skip
        own = np.array(groups, dtype=float)
        assert front(own[0], own[1], own) == corners


def _least_worst(first, groups, at):
    """The worst-off group's least regret where `first` is at most `at`: another program than the front's."""
    unit, size = float(groups.max()), float(first.max())
    policies = len(first)
    solved = linprog(
        np.append(np.zeros(policies), 1.0),
        A_ub=np.vstack([np.column_stack([groups / unit, -np.ones(len(groups))]), np.append(first / size, 0.0)]),
        b_ub=np.append(np.zeros(len(groups)), at / size), A_eq=np.append(np.ones(policies), 0.0)[None], b_eq=[1.0],
        method="highs-ipm", options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )  # fmt: skip
    assert solved.success
    return solved.fun * unit


@pytest.mark.parametrize("ratio", [1.0, 30.0, 1e3, 1e6])
@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
def test_the_worst_of_several_groups_of_any_scales(ratio, unit):
    """The front is the least worst regret at every mean regret, between its corners too."""
    rng = np.random.default_rng(3)
    seen = 0
    for K, policies in ((3, 3), (3, 6), (6, 12)):
        scales = ratio ** np.linspace(0, 1, K)[:, None]
        regrets = rng.random((K, policies)) * scales
        # Each group's own policy costs it nothing.
        regrets[np.arange(min(K, policies)), np.arange(min(K, policies))] = 0.0
        groups, shares = regrets * unit, rng.dirichlet(np.ones(K)) / scales[:, 0]
        first = (shares / shares.sum()) @ groups
        corners = front(first, None, groups)
        x, y = np.array(corners).T
        assert (np.diff(x) > 0).all()
        assert (np.diff(y) < 0).all()
        assert (np.diff(np.diff(y) / np.diff(x)) > 0).all(), "convex"
        assert x[0] == pytest.approx(first.min(), rel=1e-9, abs=0)
        seen += len(corners)
        for at in np.unique(np.concatenate([x, np.linspace(x[0], x[-1], 17)])):
            assert np.interp(at, x, y) == pytest.approx(_least_worst(first, groups, at), rel=1e-6, abs=1e-7 * y[0])
    assert seen >= 8


def test_rules_stand_where_they_stand_in_any_unit():
    groups = np.array([[0.0, 1.0, 3.0], [1000.0, 300.0, 0.0]])
    for unit in (1e-14, 1e10):
        for rule, w in fair_weights(groups).items():
            assert fair_weights(groups * unit)[rule] == pytest.approx(w, abs=1e-6), rule


def test_ticks_of_small_numbers_are_apart():
    ticks = scale_of([0.0, 7e-13], 0, 100).ticks()
    assert len(ticks) >= 3
    assert np.diff(ticks) == pytest.approx(ticks[-1] - ticks[-2], rel=1e-9, abs=0)
