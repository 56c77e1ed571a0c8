"""Clusters by choices: on sets of two what the estimator for pairs finds; the objective never falls."""

from __future__ import annotations

import numpy as np
import pytest

from sim.algorithms.choice_clusters import assign_by_choices, cluster_choices
from sim.choice_sets import choice_sets
from sim.estimators.user_clusters import assign_users, cluster_users
from sim.streams import Stream

DRAW = np.random.default_rng(1)
N, D = 20, 3
WHO = DRAW.integers(0, N, 600)
X = DRAW.normal(size=(600, D)) + 0.8 * np.where(WHO % 2, 1.0, -1.0)[:, None] * [1.0, -1.0, 0.5]
PAIRS = choice_sets(X, np.arange(601), WHO, N)


def test_sets_of_two_are_pairs():
    ours = cluster_choices(PAIRS, 2, Stream(0), ridge=1.0, restarts=3)
    theirs = cluster_users(X, WHO, N, 2, Stream(0), ridge=1.0, restarts=3)
    np.testing.assert_allclose(ours.theta, theirs.theta, atol=1e-6)
    assert (ours.label == theirs.label).all()
    assert ours.objective == pytest.approx(theirs.objective)
    assert (assign_by_choices(ours.theta, PAIRS) == assign_users(theirs.theta, X, WHO, N)).all()


def test_the_objective_never_falls():
    starts = np.arange(0, 601, 3)
    sets = choice_sets(X, starts, WHO[::3], N)
    trace = cluster_choices(sets, 3, Stream(2), restarts=2).trace
    assert (np.diff(trace) >= -1e-9).all()


def test_more_clusters_than_people_are_refused():
    with pytest.raises(ValueError, match="n_clusters"):
        cluster_choices(PAIRS, N + 1, Stream(0))
