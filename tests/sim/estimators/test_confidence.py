"""Confidence sets of a reward against sampling and a constrained search."""

import numpy as np
import pytest
from reward_sets import drawn_ellipsoid, drawn_likelihood_set
from scipy.optimize import minimize

from sim.estimators.confidence import answer_covariance


def test_lower_bound_is_the_worst_reward_of_the_set():
    _, _, ellipsoid = drawn_ellipsoid(1)
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(200_000, 3))
    boundary = directions @ np.linalg.inv(np.linalg.cholesky(ellipsoid.covariance))
    boundary /= np.sqrt(np.einsum("ni,ij,nj->n", boundary, ellipsoid.covariance, boundary))[:, None]
    members = ellipsoid.estimate + np.sqrt(ellipsoid.radius) * boundary
    assert ellipsoid.contains(members[0] * 0.999 + ellipsoid.estimate * 0.001)
    assert not ellipsoid.contains(ellipsoid.estimate + 1.01 * (members[0] - ellipsoid.estimate))
    for v in rng.normal(size=(4, 3)):
        sampled = (members @ v).min()
        assert ellipsoid.lower_bound(v)[0] <= sampled
        assert ellipsoid.lower_bound(v)[0] == pytest.approx(sampled, abs=2e-2)


def test_covariance_is_the_mean_square():
    x = np.random.default_rng(0).normal(size=(2, 30, 3))
    assert answer_covariance(x, 0.5)[1] == pytest.approx(x[1].T @ x[1] / 30 + 0.5 * np.eye(3))


def test_likelihood_set_against_a_constrained_search():
    rewards = drawn_likelihood_set()
    floor = rewards.objective(rewards.estimate) - rewards.drop
    for direction in np.random.default_rng(0).normal(size=(4, 3)):
        solved = minimize(
            lambda theta, d=direction: d @ theta, rewards.estimate, method="SLSQP",
            constraints={"type": "ineq", "fun": lambda theta: rewards.objective(theta) - floor},
            options={"ftol": 1e-12, "maxiter": 500},
        )  # fmt: skip
        worst = rewards.worst(direction)
        assert rewards.contains(worst)
        assert direction @ worst == pytest.approx(solved.fun, abs=1e-5)
    assert rewards.contains(rewards.estimate)
    assert not rewards.contains(rewards.estimate + 3.0)
