"""Pessimistic policies in the reduced subspace against cone programs, enumeration and hand-computed cases."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from sim.algorithms.reduced_pessimism import (
    KINDS,
    distributional_policy,
    greedy_policy,
    lower_bounds,
    mean_value,
    pointwise_policy,
    reduced_policy,
    regularised_policy,
    relative_features,
    suboptimality,
)
from sim.estimators.confidence import Ellipsoid


def _instance(seed, m=5, A=4, k=3, radius=None):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, k))
    f = 10.0 ** rng.uniform(-1.5, 0.5) if radius is None else radius
    return rng.normal(size=(m, A, k)), Ellipsoid(rng.normal(size=k), x.T @ x / 30 + 0.01 * np.eye(k), f**2)


def _cone_program(psi, ellipsoid):
    cp = pytest.importorskip("cvxpy")
    m, A, _ = psi.shape
    q = cp.Variable((m, A), nonneg=True)
    w = sum(psi[j].T @ q[j] for j in range(m)) / m
    root = np.linalg.cholesky(np.linalg.inv(ellipsoid.covariance)).T
    value = ellipsoid.estimate @ w - np.sqrt(ellipsoid.radius) * cp.norm(root @ w)
    problem = cp.Problem(cp.Maximize(value), [cp.sum(q, axis=1) == 1])
    problem.solve(solver="CLARABEL")
    return problem.value


def _worst_mean_reward(policy, psi, ellipsoid):
    """min over the set of the policy's mean reward, at the minimiser on the boundary."""
    w = np.einsum("ja,jak->k", policy, psi) / len(psi)
    return w @ ellipsoid.worst(w)


@pytest.mark.parametrize("start", ["pointwise", "greedy"])
@pytest.mark.parametrize("seed", [seed for seed in range(13) if seed != 8])
def test_distributional_against_a_cone_program(seed, start):
    psi, ellipsoid = _instance(seed)
    found = distributional_policy(psi, ellipsoid, tolerance=1e-5, max_sweeps=20_000, start=start)
    best = _cone_program(psi, ellipsoid)
    assert found.policy.sum(axis=1) == pytest.approx(np.ones(5))
    assert found.policy.min() >= 0.0
    assert found.value == pytest.approx(_worst_mean_reward(found.policy, psi, ellipsoid), abs=1e-9)
    assert found.value <= best + 1e-6
    assert best <= found.value + found.gap + 1e-6, "the certificate bounds what any policy can reach"
    assert best == pytest.approx(found.value, abs=1e-4)


@pytest.mark.parametrize(("seed", "reference"), [(8, "zero"), (6, "action0"), (177, "action0")])
def test_kink_at_zero(seed, reference):
    psi, ellipsoid = _instance(seed)
    psi = relative_features(psi, reference)
    found = distributional_policy(psi, ellipsoid, tolerance=1e-4, max_sweeps=20_000)
    assert found.gap <= 1e-4
    assert found.value == pytest.approx(_cone_program(psi, ellipsoid), abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("max_sweeps", [0, 1, 3])
def test_certificate_holds_wherever_the_solver_stops(seed, max_sweeps):
    psi, ellipsoid = _instance(seed)
    best = _cone_program(psi, ellipsoid)
    found = distributional_policy(psi, ellipsoid, tolerance=1e-9, max_sweeps=max_sweeps)
    assert best <= found.value + found.gap + 1e-6
    pinned = relative_features(psi, "action0")
    stopped = distributional_policy(pinned, ellipsoid, tolerance=1e-9, max_sweeps=max_sweeps)
    assert _cone_program(pinned, ellipsoid) <= stopped.value + stopped.gap + 1e-6


def test_sweeps_only_improve():
    psi, ellipsoid = _instance(3, m=20, A=6, k=8)
    values = [distributional_policy(psi, ellipsoid, tolerance=0.0, max_sweeps=n).value for n in (0, 1, 2, 5, 20)]
    assert (np.diff(values) >= -1e-12).all()
    assert values[-1] > values[0]
    assert values[0] == pytest.approx(pointwise_policy(psi, ellipsoid).value)


@pytest.mark.parametrize("seed", range(10))
def test_two_actions_are_a_line_search(seed):
    """One context, two actions: the best mixture is a one-dimensional maximum, found by bounded Brent."""
    psi, ellipsoid = _instance(seed, m=1, A=2)

    def loss(t):
        return -_worst_mean_reward(np.array([[1.0 - t, t]]), psi, ellipsoid)

    brent = minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-9})
    best = max(-brent.fun, -loss(0.0), -loss(1.0))
    found = distributional_policy(psi, ellipsoid, tolerance=1e-10)
    assert found.value == pytest.approx(best, abs=1e-7)


def test_mixture_by_hand():
    """Unit set of radius .3 around (.5, .4), actions along the axes: .5 w + .4 (1 - w) - .3 |(w, 1 - w)|."""
    psi, ellipsoid = np.eye(2)[None], Ellipsoid(np.array([0.5, 0.4]), np.eye(2), 0.09)
    w = np.linspace(0.0, 1.0, 100_001)
    by_hand = 0.5 * w + 0.4 * (1.0 - w) - 0.3 * np.hypot(w, 1.0 - w)
    found = distributional_policy(psi, ellipsoid, tolerance=1e-9)
    assert found.policy[0, 0] == pytest.approx(w[by_hand.argmax()], abs=1e-4)
    assert 0.0 < found.policy[0, 1] < 0.5, "pessimism hedges"
    assert pointwise_policy(psi, ellipsoid).policy[0] == pytest.approx([1.0, 0.0])


def test_pointwise_by_brute_force():
    psi, ellipsoid = _instance(1, m=6, A=5, radius=0.8)
    inverse = np.linalg.inv(ellipsoid.covariance)
    bounds = np.array([
        [row @ ellipsoid.estimate - 0.8 * np.sqrt(row @ inverse @ row) for row in actions] for actions in psi
    ])  # fmt: skip
    assert lower_bounds(psi, ellipsoid) == pytest.approx(bounds)
    found = pointwise_policy(psi, ellipsoid)
    assert (found.policy.argmax(axis=1) == bounds.argmax(axis=1)).all()
    assert found.value == pytest.approx(_worst_mean_reward(found.policy, psi, ellipsoid))
    # It is not greed in disguise.
    assert (found.policy != greedy_policy(psi, ellipsoid).policy).any()


def test_distributional_beats_every_deterministic_policy():
    psi, ellipsoid = _instance(5, m=3, A=3)
    found = distributional_policy(psi, ellipsoid, tolerance=1e-8, max_sweeps=20_000)
    singles = [
        _worst_mean_reward(np.eye(3)[list(chosen)], psi, ellipsoid) for chosen in itertools.product(range(3), repeat=3)
    ]
    assert found.value >= max(singles) - 1e-8


def test_no_radius_means_greed():
    psi, ellipsoid = _instance(2, radius=0.0)
    greedy = greedy_policy(psi, ellipsoid)
    assert (greedy.policy.argmax(axis=1) == (psi @ ellipsoid.estimate).argmax(axis=1)).all()
    for kind in KINDS:
        found = reduced_policy(psi, ellipsoid, kind)
        assert found.policy == pytest.approx(greedy.policy), kind
        assert found.gap < 1e-3


def test_mean_value_is_the_least_over_the_set():
    psi, ellipsoid = _instance(4, radius=0.5)
    rng = np.random.default_rng(0)
    policy = rng.dirichlet(np.ones(4), size=5)
    directions = rng.normal(size=(200_000, 3))
    boundary = directions @ np.linalg.inv(np.linalg.cholesky(ellipsoid.covariance))
    boundary *= 0.5 / np.sqrt(np.einsum("ni,ij,nj->n", boundary, ellipsoid.covariance, boundary))[:, None]
    sampled = ((ellipsoid.estimate + boundary) @ (np.einsum("ja,jak->k", policy, psi) / 5)).min()
    value = mean_value(policy, psi, ellipsoid)
    assert value <= sampled
    assert value == pytest.approx(sampled, abs=1e-3)


def test_references_by_hand():
    phi = np.arange(12.0).reshape(2, 3, 2)
    assert relative_features(phi) is phi
    assert relative_features(phi, "action0")[1].tolist() == [[0.0, 0.0], [2.0, 2.0], [4.0, 4.0]]
    assert relative_features(phi, "behaviour_mean", np.array([1.0, 2.0]))[0, 0].tolist() == [-1.0, -1.0]
    by_target = relative_features(phi, "behaviour_mean", np.array([[0.0, 1.0], [6.0, 8.0]]))
    assert by_target[1].tolist() == [[0.0, -1.0], [2.0, 1.0], [4.0, 3.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3)),), "targets, actions"),
        ((np.ones((2, 3, 4)), "first"), "reference must be one of"),
        ((np.ones((2, 3, 4)), "behaviour_mean"), "behaviour must be given"),
        ((np.ones((2, 3, 4)), "behaviour_mean", np.ones(3)), r"behaviour must be \(4,\)"),
    ],
)
def test_bad_references(arguments, message):
    with pytest.raises(ValueError, match=message):
        relative_features(*arguments)


def test_unknown_kind():
    with pytest.raises(ValueError, match="kind must be one of greedy, pointwise, distributional"):
        reduced_policy(*_instance(0), "optimistic")


def test_regularised_limits():
    psi, ellipsoid = _instance(6)
    reference = np.random.default_rng(1).dirichlet(np.ones(4), size=5)
    cold = regularised_policy(psi, ellipsoid, 1e-6, reference)
    assert cold.policy == pytest.approx(pointwise_policy(psi, ellipsoid).policy, abs=1e-9)
    warm = regularised_policy(psi, ellipsoid, 1e9, reference)
    assert warm.policy == pytest.approx(reference, abs=1e-6)
    assert regularised_policy(psi, ellipsoid, 1e9).policy == pytest.approx(np.full((5, 4), 0.25), abs=1e-6)
    with pytest.raises(ValueError, match="beta must be positive"):
        regularised_policy(psi, ellipsoid, 0.0)


def test_regularised_is_the_best_of_its_objective():
    """E_pi lcb - beta KL(pi, reference), context by context, against random policies; by hand for two actions."""
    psi, ellipsoid = _instance(7)
    rng = np.random.default_rng(2)
    reference, beta, bounds = rng.dirichlet(np.ones(4), size=5), 0.7, lower_bounds(psi, ellipsoid)

    def objective(policy):
        return (policy * (bounds - beta * np.log(policy / reference))).sum(axis=1)

    best = objective(regularised_policy(psi, ellipsoid, beta, reference).policy)
    for _ in range(200):
        assert (objective(rng.dirichlet(np.ones(4), size=5)) <= best + 1e-12).all()
    two = regularised_policy(psi[:, :2], ellipsoid, beta, np.full((5, 2), 0.5)).policy
    by_hand = 1.0 / (1.0 + np.exp(-(bounds[:, 0] - bounds[:, 1]) / beta))
    assert two[:, 0] == pytest.approx(by_hand)


def test_actions_the_reference_never_plays_stay_out():
    psi, ellipsoid = _instance(8)
    reference = np.tile([0.0, 0.5, 0.5, 0.0], (5, 1))
    assert regularised_policy(psi, ellipsoid, 0.5, reference).policy[:, [0, 3]].max() == 0.0


def test_suboptimality_by_hand():
    rewards = np.array([[1.0, 0.0, 0.5], [-1.0, -2.0, -4.0]])
    policy = np.array([[0.0, 1.0, 0.0], [0.5, 0.25, 0.25]])
    # Best 1 and -1; received 0 and -.5 - .5 - 1 = -2.
    assert suboptimality(policy, rewards) == pytest.approx((1.0 + 1.0) / 2)
    assert suboptimality(np.eye(3)[[0, 0]], rewards) == 0.0
