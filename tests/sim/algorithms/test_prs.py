"""PRS as a whole: its steps put together, the data it uses for each, and policies at every multiple of the radius."""

import numpy as np
import pytest

from sim.algorithms.prs import fit_reward, learn_reward, prs
from sim.algorithms.reduced_pessimism import KINDS, reduced_policy, scaled_actions
from sim.environments.low_rank import exotic_world, low_rank_matrix
from sim.estimators.low_rank import fit_full_rank, fit_low_rank
from sim.estimators.reduced_confidence import reduced_confidence
from sim.estimators.reduced_subspace import reduced_subspace
from sim.streams import Stream

WORLD = exotic_world(low_rank_matrix(5, 7, 1, Stream(1, "theta"), columns=4), 4)
X, Z = WORLD.comparisons(600, Stream(1, "answers"))
TARGETS = WORLD.targets(40, Stream(1, "targets"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_is_its_steps(kind):
    fit = fit_low_rank(X, Z, 1, ridge=1e-3, method="quasi_newton").theta
    subspace = reduced_subspace(fit, 1)
    ellipsoid = reduced_confidence(subspace, X, Z, delta=0.2, scale=0.5, ridge=1e-3)
    expected = reduced_policy(subspace.features(TARGETS.contexts[:, None], TARGETS.features), ellipsoid, kind)
    found = prs(X, Z, 1, TARGETS.contexts, TARGETS.features, kind=kind, delta=0.2, scale=0.5, ridge=1e-3)
    assert np.array_equal(found.fit, fit)
    assert np.array_equal(found.ellipsoid.covariance, ellipsoid.covariance)
    assert found.ellipsoid.radius == ellipsoid.radius
    assert np.array_equal(found.policy, expected.policy)
    assert (found.served.value, found.served.gap) == (expected.value, expected.gap)
    assert found.subspace.dimension == 11


def test_without_the_constraint_it_is_pessimism_in_every_dimension():
    found = prs(X, Z, None, TARGETS.contexts, TARGETS.features, ridge=1e-3)
    assert found.subspace.dimension == len(found.ellipsoid.estimate) == 35
    assert np.array_equal(found.fit, fit_full_rank(X, Z, ridge=1e-3).theta)
    assert found.reward.theta == pytest.approx(found.fit, abs=1e-6), "the refit changes nothing"


def test_the_set_may_come_from_other_answers():
    half = slice(0, 300), slice(300, None)
    found = learn_reward(X[half[0]], Z[half[0]], 1, second=(X[half[1]], Z[half[1]]), ridge=1e-3)
    subspace = reduced_subspace(fit_reward(X[half[0]], Z[half[0]], 1, ridge=1e-3), 1)
    assert np.array_equal(found.subspace.left, subspace.left)
    expected = reduced_confidence(subspace, X[half[1]], Z[half[1]], ridge=1e-3)
    assert np.array_equal(found.ellipsoid.estimate, expected.estimate)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.25, 2.0])
def test_scaled_actions_are_the_set_at_that_scale(kind, scale):
    found = learn_reward(X, Z, 1, ridge=1e-3)
    psi = found.psi(TARGETS.contexts, TARGETS.features)
    ours = scaled_actions(psi, found.ellipsoid).policy(kind, scale)
    theirs = reduced_policy(psi, found.at_scale(scale), kind)
    if kind == "distributional":
        assert ours == pytest.approx(theirs.policy, abs=1e-3)
    else:
        assert np.array_equal(ours, theirs.policy)


def test_it_keeps_away_from_what_training_did_not_cover():
    shown = {
        kind: prs(X, Z, 1, TARGETS.contexts, TARGETS.features, kind=kind, ridge=1e-3).policy[:, TARGETS.exotic].sum()
        for kind in KINDS
    }
    assert shown["distributional"] < 0.5 * shown["greedy"]


def test_bad_arguments_are_said():
    with pytest.raises(ValueError, match="rank"):
        prs(X, Z, 6, TARGETS.contexts, TARGETS.features)
    with pytest.raises(ValueError, match="kind must be one of greedy, pointwise, distributional"):
        prs(X, Z, 1, TARGETS.contexts, TARGETS.features, kind="optimistic")
    with pytest.raises(ValueError, match="mode must be one of"):
        learn_reward(X, Z, 1, mode="exact")
