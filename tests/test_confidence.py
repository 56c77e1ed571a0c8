"""Ellipsoids and pessimistic policies against a cone program, sampling and a hand-computed case."""

import numpy as np
import pytest

from sim.estimators.confidence import Ellipsoid, answer_covariance, pessimistic_policy


def _instance(seed, M=9, k=3):
    rng = np.random.default_rng(seed)
    psi, reference = rng.normal(size=(M, k)), rng.dirichlet(np.ones(M))
    covariance = answer_covariance(rng.normal(size=(40, k)), 0.01)
    return psi, reference, Ellipsoid(0.7 * rng.normal(size=k), covariance, float(10.0 ** rng.uniform(-2, 1)))


@pytest.mark.parametrize("seed", range(25))
def test_against_a_cone_program(seed):
    cp = pytest.importorskip("cvxpy")
    psi, reference, ellipsoid = _instance(seed)
    found = pessimistic_policy(psi, reference, ellipsoid)
    policy = cp.Variable(len(psi))
    v = psi.T @ (policy - reference)
    root = np.linalg.cholesky(np.linalg.inv(ellipsoid.covariance))
    problem = cp.Problem(
        cp.Maximize(ellipsoid.estimate @ v - np.sqrt(ellipsoid.radius) * cp.norm(root.T @ v)),
        [policy >= 0, cp.sum(policy) == 1],
    )
    problem.solve(solver="CLARABEL")
    assert found.value == pytest.approx(problem.value, abs=1e-5)
    assert found.policy.sum() == pytest.approx(1.0)
    assert found.policy.min() >= 0
    assert problem.value <= found.value + found.gap + 1e-6, "the certificate bounds what any policy can reach"


def test_lower_bound_is_the_worst_reward_of_the_set():
    _, _, ellipsoid = _instance(1)
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


def test_by_hand():
    """Two arms against a reference arm of feature 0, identity covariance: .5 - r |1| and .4 - r |1| along two axes.
    With r = .3 the mixture w, 1 - w is worth .5 w + .4 (1 - w) - .3 (w^2 + (1 - w)^2)^(1/2): best near w = .62."""
    psi = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = pessimistic_policy(psi, np.array([1.0, 0.0, 0.0]), Ellipsoid(np.array([0.5, 0.4]), np.eye(2), 0.09))
    w = np.linspace(0, 1, 100_001)
    by_hand = 0.5 * w + 0.4 * (1 - w) - 0.3 * np.hypot(w, 1 - w)
    assert found.value == pytest.approx(by_hand.max(), abs=1e-7)
    assert found.policy[1] == pytest.approx(w[by_hand.argmax()], abs=1e-3)
    assert 0 < found.policy[2] < 1, "pessimism hedges where greed would not"


def test_nothing_known_means_the_reference():
    psi, reference, ellipsoid = _instance(2)
    blind = Ellipsoid(ellipsoid.estimate, ellipsoid.covariance, 1e6)
    found = pessimistic_policy(psi, reference, blind)
    assert found.value == pytest.approx(0.0, abs=1e-3)


def test_covariance_is_the_mean_square():
    x = np.random.default_rng(0).normal(size=(2, 30, 3))
    assert answer_covariance(x, 0.5)[1] == pytest.approx(x[1].T @ x[1] / 30 + 0.5 * np.eye(3))
