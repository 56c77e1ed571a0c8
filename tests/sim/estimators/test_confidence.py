"""Ellipsoids and pessimistic policies against a cone program, sampling and a hand-computed case."""

import numpy as np
import pytest
from scipy.optimize import minimize

from sim.algorithms.aggregation import aggregate
from sim.algorithms.maximin_policy import maximin_policy
from sim.algorithms.pessimistic_aggregation import pessimistic_aggregate_policy
from sim.estimators.confidence import Ellipsoid, answer_covariance, pessimistic_policy
from sim.estimators.likelihood_set import LikelihoodSet, likelihood_pessimistic_policy
from sim.streams import Stream


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


@pytest.mark.parametrize("seed", range(6))
def test_cutting_planes_agree_with_the_closed_inner_minimum(seed):
    psi, reference, ellipsoid = _instance(seed)
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
    psi, reference, _ = _instance(seed)
    sets = [_instance(100 * seed + i)[2] for i in range(3)]
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
    psi, reference, _ = _instance(3)
    sets = [_instance(300 + i)[2] for i in range(2)]
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


def _likelihood_set(drop=2.0):
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, 3))
    signs = np.where(rng.random(60) < 1 / (1 + np.exp(-x @ [1.0, -0.5, 0.2])), 1, -1)
    return LikelihoodSet(x * signs[:, None], drop, ridge=0.1)


def test_likelihood_set_against_a_constrained_search():
    rewards = _likelihood_set()
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


def test_likelihood_pessimism_shrinks_to_greed():
    psi, reference, _ = _instance(5)
    values = [likelihood_pessimistic_policy(psi, reference, _likelihood_set(drop)).value for drop in (4.0, 1.0, 1e-8)]
    assert values[0] <= values[1] <= values[2]
    greedy = psi @ _likelihood_set().estimate
    assert values[2] == pytest.approx(greedy.max() - reference @ greedy, abs=1e-3)
    near = likelihood_pessimistic_policy(psi, reference, _likelihood_set(0.5))
    assert near.gap <= 1e-5
