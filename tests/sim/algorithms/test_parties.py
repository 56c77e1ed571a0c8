"""Several parties' rewards, their confidence sets and pessimistic welfare, against second solvers and brute force."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize

from sim.algorithms.maximin_policy import maximin_policy
from sim.algorithms.pessimistic_welfare import (
    joint_policy,
    joint_value,
    log_welfare_bounds,
    pessimistic_lottery,
    statewise_policy,
    utilitarian_policy,
    welfare_value,
)
from sim.algorithms.welfare import LEXIMIN, NASH, UTILITARIAN, WelfareRule
from sim.estimators.confidence import Ellipsoid
from sim.estimators.party_confidence import PartyConfidence, gains, party_confidence
from sim.estimators.party_rewards import PARTY_METHODS, estimate_party_rewards, estimation_rate
from sim.estimators.shared_representation import fit_shared_batch
from sim.populations.shared_representation import shared_population
from sim.streams import Stream


def answers(M=8, n=120, d=6, r=2, B=2, seed=0):
    people = [shared_population(M, d, r, Stream(seed, "parties", b)) for b in range(B)]
    x = np.stack([own.answers(n, Stream(seed, "parties", b)) for b, own in enumerate(people)])
    return x, np.stack([own.theta for own in people]), np.stack([own.subspace for own in people])


def instance(M=3, S=2, A=4, d=4, radius=0.2, seed=0):
    stream = Stream(seed, "instance")
    features = stream.child("features").normals((S, A, d))
    theta = stream.child("theta").normals((M, d))
    root = stream.child("roots").normals((M, d, d))
    covariance = root @ root.transpose(0, 2, 1) / d + 0.3 * np.eye(d)
    return features, PartyConfidence(theta, covariance, np.full(M, radius))


def factor_descent(x, r):
    """The same objective on the factors of one replicate, by SciPy's L-BFGS."""
    M, _, d = x.shape

    def loss(values):
        u, a = values[: d * r].reshape(d, r), values[d * r :].reshape(M, r)
        z = np.einsum("mnd,dr,mr->mn", x, u, a)
        p = 1 / (1 + np.exp(z))
        back = -np.einsum("mnd,mn->md", x, p)
        return (
            np.logaddexp(0, -z).sum() + 0.5e-3 * (a @ u.T * (a @ u.T)).sum(),
            np.concatenate([
                (np.einsum("md,mr->dr", back, a) + 1e-3 * u @ a.T @ a).ravel(),
                (back @ u + 1e-3 * a @ u.T @ u).ravel(),
            ]),
        )  # fmt: skip

    start = np.linalg.svd(x.mean(axis=1).T, full_matrices=False)
    first = np.concatenate([start[0][:, :r].ravel(), (x.mean(axis=1) @ start[0][:, :r]).ravel()])
    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9})
    u, a = found.x[: d * r].reshape(d, r), found.x[d * r :].reshape(M, r)
    return a @ u.T, found.fun


def test_shared_fit_is_the_likelihoods_maximum():
    x, _, _ = answers()
    theta = estimate_party_rewards(x, rank=2)
    for b in range(2):
        oracle, loss = factor_descent(x[b], 2)
        own = np.logaddexp(0, -np.einsum("mnd,md->mn", x[b], theta[b])).sum() + 0.5e-3 * (theta[b] ** 2).sum()
        assert own <= loss + 1e-5
        assert theta[b] == pytest.approx(oracle, abs=2e-3)


def test_methods_by_their_definitions():
    x, truth, subspace = answers()
    found = {name: estimate_party_rewards(x, name, rank=2, subspace=subspace) for name in PARTY_METHODS}
    assert all(theta.shape == truth.shape for theta in found.values())
    assert (found["pooled"] == found["pooled"][:, :1]).all()
    assert np.linalg.matrix_rank(found["shared"][0], tol=1e-8) == 2
    assert found["oracle"][0] @ subspace[0] @ subspace[0].T == pytest.approx(found["oracle"][0])
    errors = {name: float(((theta - truth) ** 2).sum(-1).mean()) for name, theta in found.items()}
    assert errors["oracle"] < errors["shared"] < errors["separate"] < errors["pooled"]


def test_separate_fit_against_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    x, _, _ = answers(M=2, B=1)
    sign = np.where(np.arange(120) % 2, 1.0, -1.0)
    model = LogisticRegression(C=1e3, fit_intercept=False, tol=1e-10)
    for m in range(2):
        model.fit(sign[:, None] * x[0, m], sign)
        assert estimate_party_rewards(x, "separate")[0, m] == pytest.approx(model.coef_[0], abs=1e-3)


def test_leave_one_out_does_not_see_the_party_itself():
    x, truth, _ = answers(M=10, n=150)
    base, plain = estimate_party_rewards(x, rank=2, leave_one_out=True), estimate_party_rewards(x, rank=2)
    others = fit_shared_batch(np.ascontiguousarray(np.delete(x, 3, axis=1)), 2).subspace
    inside = np.einsum("bij,bkj,bk->bi", others, others, base[:, 3])
    assert inside == pytest.approx(base[:, 3], abs=1e-9)
    off = plain[:, 3] - np.einsum("bij,bkj,bk->bi", others, others, plain[:, 3])
    assert np.linalg.norm(off, axis=1).min() > 1e-3
    assert np.abs(base - plain).max() < np.abs(plain - truth).max()


def test_longest_and_bad_input():
    x, _, _ = answers()
    assert np.linalg.norm(estimate_party_rewards(x, rank=2, longest=0.5), axis=-1).max() <= 0.5 + 1e-12
    with pytest.raises(ValueError, match="rank"):
        estimate_party_rewards(x)
    with pytest.raises(ValueError, match="subspace"):
        estimate_party_rewards(x, "oracle")
    with pytest.raises(ValueError, match="one of"):
        estimate_party_rewards(x, "other")
    with pytest.raises(ValueError, match="none empty"):
        estimate_party_rewards(x[0], rank=2)
    with pytest.raises(ValueError, match="fewer than the rank"):
        estimate_party_rewards(x[:, :2], rank=2, leave_one_out=True)


def test_rate_by_hand():
    # r^2/n = 4/100; (d r^2 log d + r log(M/delta)) / (M n) = (10*4*log 10 + 2*log(50)) / 500
    assert estimation_rate(100, 5, 10, 2) == pytest.approx(np.sqrt(0.04 + (40 * np.log(10) + 2 * np.log(50)) / 500))


def test_gain_bounds_by_brute_force_and_exactly():
    features, sets = instance()
    bounds = sets.gain_bounds(features)
    for m, s, a in product(range(3), range(2), range(4)):
        ellipsoid = Ellipsoid(sets.theta[m], sets.covariance[m], sets.radius[m] ** 2)
        best = ellipsoid.lower_bound(features[s, a] - features[s]).max()
        assert bounds[m, s, a] == pytest.approx(max(best, 0.0), abs=1e-10)
        exact = sets.exact_gain_bound(features[s], m, a)
        assert bounds[m, s, a] <= exact + 1e-6
    assert (bounds <= gains(sets.theta, features) + 1e-12).all()


def test_a_common_offset_nobody_compares_does_not_swamp_the_widths():
    x = Stream(9).normals((1, 500, 3)) * 0.01
    differences = np.concatenate([np.zeros((1, 500, 1)), x], axis=2)
    features = np.concatenate([np.ones((1, 6, 1)), 0.01 * Stream(10).normals((1, 6, 3))], axis=2)
    for regularisation in (1e-9, 1e-12):
        sets = party_confidence(differences, Stream(11).normals((1, 4)), 0.3, regularisation)
        direct = np.array([
            max(float((sets.reward_bounds(features[0, a] - features[0]))[0].max()), 0.0) for a in range(6)
        ])  # fmt: skip
        assert sets.gain_bounds(features)[0, 0] == pytest.approx(direct, abs=1e-10)


def test_utilitarian_lottery_has_a_certificate_where_somebody_gets_nothing():
    features = np.array([[1.0, 0.0], [0.0, 1.0], [0.2, 0.2]])
    sets = PartyConfidence(np.array([[1.0, 0.0], [0.0, 0.2]]), np.stack([np.eye(2)] * 2), np.full(2, 0.05))
    found = pessimistic_lottery(features, sets, UTILITARIAN)
    assert found.guaranteed.min() == pytest.approx(0.0, abs=1e-6)
    assert found.optimality_gap < 1e-3


def test_no_theta_of_the_set_gains_less_than_the_bound():
    features, sets = instance(radius=0.4)
    rng = np.random.default_rng(1)
    bounds = sets.gain_bounds(features)
    for _ in range(200):
        theta = np.empty_like(sets.theta)
        for m in range(3):
            direction = rng.normal(size=4)
            root = np.linalg.cholesky(sets.covariance[m])
            theta[m] = sets.theta[m] + 0.4 * np.linalg.solve(root.T, direction / np.linalg.norm(direction))
        assert sets.errors(theta) == pytest.approx(np.full(3, 0.4))
        assert (gains(theta, features) >= bounds - 1e-9).all()


def test_widths_by_hand():
    sets = PartyConfidence(np.zeros((1, 2)), np.diag([4.0, 1.0])[None], np.array([0.5]))
    assert sets.norms(np.array([2.0, 0.0])) == pytest.approx([1.0])
    assert sets.reward_bounds(np.array([2.0, 0.0])) == pytest.approx([-0.5])
    assert party_confidence(np.ones((1, 5, 1)), np.zeros((1, 1)), 0.1).covariance == pytest.approx(np.ones((1, 1, 1)))


@pytest.mark.parametrize("rule", [NASH, UTILITARIAN, LEXIMIN])
def test_statewise_policy_is_the_best_of_all(rule):
    features, sets = instance(radius=0.05)
    law, bounds = np.array([0.3, 0.7]), sets.gain_bounds(features)
    policy = statewise_policy(bounds, rule)
    value = welfare_value(bounds, law, policy, rule)
    for other in product(range(4), repeat=2):
        assert welfare_value(bounds, law, np.array(other), rule) <= value + 1e-12


def test_joint_value_lies_above_the_statewise_bound():
    features, sets = instance(M=2, A=3, radius=0.2, seed=3)
    law = np.array([0.4, 0.6])
    bounds = sets.gain_bounds(features)
    for policy in product(range(3), repeat=2):
        joint = joint_value(features, law, np.array(policy), sets)
        assert joint >= welfare_value(bounds, law, np.array(policy), NASH) - 1e-6
        assert joint <= welfare_value(gains(sets.theta, features), law, np.array(policy), NASH) + 1e-6
    best, value = joint_policy(features, law, sets)
    assert value == pytest.approx(joint_value(features, law, best, sets), abs=1e-6)


def test_joint_value_in_one_state_is_the_product_of_exact_bounds():
    features, sets = instance(M=2, S=1, A=3, radius=0.15, seed=5)
    a = int(gains(sets.theta, features).prod(axis=0)[0].argmax())
    exact = np.prod([sets.exact_gain_bound(features[0], m, a) for m in range(2)])
    assert joint_value(features, np.ones(1), np.array([a]), sets) == pytest.approx(exact, rel=1e-4)


def test_utilitarian_program_against_cutting_planes():
    features, sets = instance(radius=0.6)
    law, reference = np.array([0.3, 0.7]), np.ones(4) * 0.2
    found = utilitarian_policy(features, law, sets, reference)
    assert found.optimality_gap < 1e-5
    assert found.policy.sum(axis=1) == pytest.approx([1.0, 1.0])

    flat = features.reshape(8, 4)

    def worst(direction):
        total = np.zeros(8)
        # direction sums to 0 in each state; `direction @ flat` is phibar minus the uniform policy's
        vector = direction @ flat + base - reference
        for m in range(3):
            total += flat @ Ellipsoid(sets.theta[m], sets.covariance[m], sets.radius[m] ** 2).worst(vector)
        return total

    uniform = np.repeat(law / 4, 4)
    base = uniform @ flat

    def value(p):
        return float(sets.reward_bounds(p @ flat - reference).sum())

    other = maximin_policy(worst, uniform, context=np.repeat([0, 1], 4), tolerance=1e-7)
    assert found.value >= value(other.policy) - 1e-6
    occupancy = (law[:, None] * found.policy).ravel()
    assert found.value == pytest.approx(value(occupancy), abs=1e-9)
    rng = np.random.default_rng(0)
    for _ in range(300):
        p = (law[:, None] * rng.dirichlet(np.ones(4) * 0.3, size=2)).ravel()
        assert value(p) <= found.value + found.optimality_gap + 1e-9


@pytest.mark.parametrize("rule", [NASH, UTILITARIAN, WelfareRule(-1.0), LEXIMIN])
def test_pessimistic_lottery_keeps_its_promise(rule):
    features, sets = instance(M=3, S=1, A=5, radius=0.05, seed=7)
    found = pessimistic_lottery(features[0], sets, rule)
    assert found.lottery.sum() == pytest.approx(1.0)
    assert found.optimality_gap < 1e-3
    rng = np.random.default_rng(2)
    for _ in range(300):
        theta = np.empty_like(sets.theta)
        for m in range(3):
            direction = rng.normal(size=4)
            root = np.linalg.cholesky(sets.covariance[m])
            theta[m] = sets.theta[m] + 0.05 * np.linalg.solve(root.T, direction / np.linalg.norm(direction))
        gained = gains(theta, features)[:, 0] @ found.lottery
        assert (gained >= found.guaranteed - 1e-5).all()
    # no single action guarantees more welfare than the lottery
    bounds = sets.gain_bounds(features)[:, 0]
    assert rule.equivalent(found.guaranteed[:, None])[0] >= rule.equivalent(bounds).max() - 1e-5


@pytest.mark.parametrize("rule", [LEXIMIN, NASH, WelfareRule(-1.0)])
@pytest.mark.parametrize("scale", [1e-6, 1e8])
def test_pessimistic_lottery_does_not_see_the_unit_of_the_rewards(rule, scale):
    """Later levels of leximin among them, which slacks in reward units moved by half of themselves."""
    features, sets = instance(M=3, S=1, A=6, radius=0.05, seed=4)
    louder = PartyConfidence(scale * sets.theta, sets.covariance, scale * sets.radius)
    plain, other = pessimistic_lottery(features[0], sets, rule), pessimistic_lottery(features[0], louder, rule)
    assert np.sort(other.guaranteed) / scale == pytest.approx(np.sort(plain.guaranteed), rel=1e-4, abs=1e-6)
    assert other.optimality_gap < 1e-3


def test_pessimistic_lottery_without_doubt_is_the_known_one():
    from sim.algorithms.lotteries import best_lotteries

    features, sets = instance(M=3, S=1, A=5, radius=0.0, seed=8)
    table = gains(sets.theta, features)[:, 0]
    for rule in (NASH, LEXIMIN):
        known = best_lotteries(table[None], rule).utilities[0]
        assert pessimistic_lottery(features[0], sets, rule).guaranteed == pytest.approx(known, abs=2e-4)


def test_log_welfare_bound_by_hand():
    bound = log_welfare_bounds(np.array([[2.0], [4.0]]), np.array([[1.0], [2.0]]), 0.5)
    assert bound == pytest.approx([np.log(8) - 0.5 * np.sqrt(0.25 + 0.25)])
    assert log_welfare_bounds(np.array([[0.0], [1.0]]), np.ones((2, 1)), 1.0) == pytest.approx([-np.inf])
