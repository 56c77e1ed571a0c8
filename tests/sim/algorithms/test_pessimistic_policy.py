"""Pessimistic policies over one reward's confidence set against cone programs, sampling and a hand-computed case."""

import numpy as np
import pytest
from reward_sets import drawn_ellipsoid, drawn_likelihood_set

from sim.algorithms.aggregation import aggregate
from sim.algorithms.maximin_policy import maximin_policy
from sim.algorithms.pessimistic_aggregation import pessimistic_aggregate_policy
from sim.algorithms.pessimistic_policy import likelihood_pessimistic_policy, pessimistic_policy
from sim.estimators.confidence import Ellipsoid
from sim.streams import Stream


@pytest.mark.parametrize("seed", range(25))
def test_against_a_cone_program(seed):
    cp = pytest.importorskip("cvxpy")
    psi, reference, ellipsoid = drawn_ellipsoid(seed)
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


def test_a_mixture_beside_the_kink_is_found():
    """Either option alone is worse than the reference; half of each is worth 1 - .5 |1|."""
    psi = np.array([[0.0, 0.0], [1.0, 3.0], [1.0, -3.0]])
    found = pessimistic_policy(psi, np.array([1.0, 0.0, 0.0]), Ellipsoid(np.array([1.0, 0.0]), np.eye(2), 0.25))
    assert found.policy == pytest.approx([0.0, 0.5, 0.5], abs=1e-6)
    assert found.value == pytest.approx(0.5, abs=1e-7)
    assert found.gap < 1e-6


@pytest.mark.parametrize("radius", [0.3, 1.0, 25.0, 1e4])
def test_from_one_trajectory_the_certificate_holds_and_is_tight(radius):
    """A reference of one trajectory, which is where the norm has its kink, against a cone program of its own."""
    cp = pytest.importorskip("cvxpy")
    for stream in (Stream(51, f"{radius}/{k}") for k in range(10)):
        psi, estimate = stream.child("psi").normals((8, 3)), stream.child("theta").normals(3)
        reference = np.eye(8)[0]
        found = pessimistic_policy(psi, reference, Ellipsoid(estimate, np.eye(3), radius))
        policy = cp.Variable(8, nonneg=True)
        v = psi.T @ (policy - reference)
        problem = cp.Problem(cp.Maximize(estimate @ v - np.sqrt(radius) * cp.norm(v)), [cp.sum(policy) == 1])
        problem.solve(solver="CLARABEL")
        assert found.value == pytest.approx(problem.value, abs=1e-6)
        assert problem.value - 1e-6 <= found.value + found.gap
        assert found.gap < 1e-5


def test_nothing_known_means_the_reference():
    psi, reference, ellipsoid = drawn_ellipsoid(2)
    blind = Ellipsoid(ellipsoid.estimate, ellipsoid.covariance, 1e6)
    found = pessimistic_policy(psi, reference, blind)
    assert found.value == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_cutting_planes_agree_with_the_closed_inner_minimum(seed):
    psi, reference, ellipsoid = drawn_ellipsoid(seed)
    direct = pessimistic_policy(psi, reference, ellipsoid)
    inverse = np.linalg.inv(ellipsoid.covariance)

    def worst(w):
        v = w @ psi
        norm = np.sqrt(v @ inverse @ v)
        shift = np.sqrt(ellipsoid.radius) * inverse @ v / norm if norm > 1e-14 else 0.0
        return psi @ (ellipsoid.estimate - shift)

    found = maximin_policy(worst, reference, tolerance=1e-7)
    assert found.value == pytest.approx(direct.value, abs=1e-5)
    assert found.ceiling >= direct.value - 1e-7
    assert found.gap <= 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_aggregated_pessimism_at_zero_is_a_cone_program(seed):
    """alpha = 0: <v, mean estimate> - (1/N) sum_i r_i |v|_i."""
    cp = pytest.importorskip("cvxpy")
    psi, reference, _ = drawn_ellipsoid(seed)
    sets = [drawn_ellipsoid(100 * seed + i)[2] for i in range(3)]
    found = pessimistic_aggregate_policy(psi, reference, sets, 0.0, Stream(1), tolerance=1e-6)
    policy = cp.Variable(len(psi))
    v = psi.T @ (policy - reference)
    worth = sum(
        e.estimate @ v - np.sqrt(e.radius) * cp.norm(np.linalg.cholesky(np.linalg.inv(e.covariance)).T @ v)
        for e in sets
    )
    problem = cp.Problem(cp.Maximize(worth / 3), [policy >= 0, cp.sum(policy) == 1])
    problem.solve(solver="CLARABEL")
    assert found.value == pytest.approx(max(problem.value, 0.0), abs=1e-4)


@pytest.mark.parametrize("alpha", [-2.0, 1.0, -np.inf, np.inf])
def test_aggregated_pessimism_against_sampled_rewards(alpha):
    """No reward sampled from the sets makes the policy worse than its value; alone and sure, it is the best action."""
    psi, reference, _ = drawn_ellipsoid(3)
    sets = [drawn_ellipsoid(300 + i)[2] for i in range(2)]
    found = pessimistic_aggregate_policy(psi, reference, sets, alpha, Stream(1))
    rng = np.random.default_rng(0)
    worst = np.inf
    for _ in range(4000):
        theta = []
        for e in sets:
            u = rng.normal(size=3)
            u *= np.sqrt(e.radius) / np.linalg.norm(u)
            theta.append(e.estimate + np.linalg.inv(np.linalg.cholesky(e.covariance)).T @ u)
        worst = min(worst, float((found.policy - reference) @ aggregate(np.array(theta) @ psi.T, alpha)))
    assert found.value <= worst + 1e-3
    sure = [Ellipsoid(e.estimate, e.covariance, 1e-12) for e in sets]
    certain = aggregate(np.stack([e.estimate for e in sure]) @ psi.T, alpha)
    known = pessimistic_aggregate_policy(psi, reference, sure, alpha, Stream(1))
    assert known.value == pytest.approx(certain.max() - reference @ certain, abs=1e-3)


def test_likelihood_pessimism_shrinks_to_greed():
    psi, reference, _ = drawn_ellipsoid(5)
    values = [
        likelihood_pessimistic_policy(psi, reference, drawn_likelihood_set(drop)).value for drop in (4.0, 1.0, 1e-8)
    ]
    assert values[0] <= values[1] <= values[2]
    greedy = psi @ drawn_likelihood_set().estimate
    assert values[2] == pytest.approx(greedy.max() - reference @ greedy, abs=1e-3)
    near = likelihood_pessimistic_policy(psi, reference, drawn_likelihood_set(0.5))
    assert near.gap <= 1e-5
