"""Adversaries on the simplex: group-robust DPO and MaxMin-RLHF's policy against cvxpy, and the certificate."""

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import linprog

from sim.algorithms.group_robust_dpo import group_robust_dpo
from sim.algorithms.max_min_rlhf import max_min_policy
from sim.algorithms.worst_case_weights import exponentiated_step, worst_case_weights
from sim.estimators.bradley_terry import fit_bradley_terry


def grouped(rng, sizes, d=4):
    """Signed differences of groups with rewards of their own."""
    theta = rng.normal(size=(len(sizes), d))
    group = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(size=(len(group), d))
    first = rng.random(len(group)) < 1 / (1 + np.exp(-(x * theta[group]).sum(axis=1)))
    return np.where(first[:, None], x, -x), group


@pytest.mark.parametrize(("sizes", "seed"), [((200, 60, 20), 0), ((50, 50), 1), ((80, 5, 40, 30), 2)])
def test_the_worst_group_is_served_as_cvxpy_has_it(sizes, seed):
    rng = np.random.default_rng(seed)
    x, group = grouped(rng, sizes)
    weights = rng.uniform(0.5, 2.0, len(x))
    found = group_robust_dpo(x, group, len(sizes), weights=weights, ridge=0.02, tolerance=1e-7, max_rounds=2000)
    theta = cp.Variable(4)
    losses = [
        (weights[group == g] @ cp.logistic(-x[group == g] @ theta)) / weights[group == g].sum()
        for g in range(len(sizes))
    ]
    program = cp.Problem(cp.Minimize(cp.maximum(*losses) + 0.01 * cp.sum_squares(theta)))
    program.solve()
    assert found.losses.max() + 0.01 * found.theta @ found.theta == pytest.approx(program.value, abs=1e-5)
    assert found.theta == pytest.approx(theta.value, abs=2e-3)
    assert found.gap <= 1e-7
    # Groups whose loss is below the largest have no weight.
    assert found.weights @ (found.losses.max() - found.losses) <= 1e-7
    pooled = fit_bradley_terry(x, weights / weights.sum(), ridge=0.02).theta
    own = [np.average(np.log1p(np.exp(-x[group == g] @ pooled)), weights=weights[group == g])
           for g in range(len(sizes))]  # fmt: skip
    assert found.losses.max() < max(own)


def test_a_group_without_answers_has_no_say():
    x, group = grouped(np.random.default_rng(3), (40, 30))
    found, shifted = group_robust_dpo(x, group, 2), group_robust_dpo(x, 2 * group, 4)
    assert np.array_equal(found.theta, shifted.theta)
    assert shifted.weights[[1, 3]].tolist() == [0.0, 0.0]
    assert np.isnan(shifted.losses[[1, 3]]).all()
    with pytest.raises(ValueError, match="weights must not all be zero"):
        group_robust_dpo(x, group, 2, weights=np.zeros(70))
    with pytest.raises(ValueError, match="group"):
        group_robust_dpo(x, group[:-1], 2)


@pytest.mark.parametrize(("sizes", "beta", "seed"), [((4, 5, 6), 0.3, 0), ((3,), 0.05, 1), ((2, 7), 2.0, 2)])
def test_the_worst_party_is_served_as_cvxpy_has_it(sizes, beta, seed):
    rng = np.random.default_rng(seed)
    rewards = [rng.normal(size=(3, size)) for size in sizes]
    shares = rng.dirichlet(np.ones(len(sizes)))
    reference = [rng.dirichlet(np.ones(size)) for size in sizes]
    found = max_min_policy(rewards, beta, shares=shares, reference=reference)
    policies = [cp.Variable(size, nonneg=True) for size in sizes]
    utilities = [sum(s * r[k] @ p for s, r, p in zip(shares, rewards, policies, strict=True)) for k in range(3)]
    divergence = sum(s * cp.sum(cp.kl_div(p, q)) for s, p, q in zip(shares, policies, reference, strict=True))
    program = cp.Problem(cp.Maximize(cp.minimum(*utilities) - beta * divergence), [cp.sum(p) == 1 for p in policies])
    program.solve()
    assert found.value == pytest.approx(program.value, abs=1e-5)
    assert found.gap <= 1e-6
    for policy, other in zip(found.policies, policies, strict=True):
        assert policy.sum() == pytest.approx(1.0)
        assert policy == pytest.approx(other.value, abs=5e-3)
    kl = sum(s * (p * np.log(p / q)).sum() for s, p, q in zip(shares, found.policies, reference, strict=True))
    assert found.kl == pytest.approx(kl)


@pytest.mark.parametrize(("contexts", "parties"), [(1, 12), (6, 12), (6, 2)])
@pytest.mark.parametrize("beta", [0.01, 0.001, 1e-5])
def test_the_worst_party_is_served_where_beta_is_small(contexts, parties, beta):
    """As beta goes to 0 the policy is the linear program's; its KL costs at most beta log 8.  First-order steps alone
    left .43 of twelve parties at beta .001 after 5,000 rounds."""
    rng = np.random.default_rng(1)
    rewards = [5 * rng.normal(size=(parties, 8)) for _ in range(contexts)]
    found = max_min_policy(rewards, beta, max_rounds=200)
    # Variables: the least reward, then the policy.
    flat = np.concatenate(rewards, axis=1) / contexts
    linear = linprog(
        np.append(-1.0, np.zeros(8 * contexts)), A_ub=np.hstack([np.ones((parties, 1)), -flat]), b_ub=np.zeros(parties),
        A_eq=np.hstack([np.zeros((contexts, 1)), np.kron(np.eye(contexts), np.ones(8))]), b_eq=np.ones(contexts),
        bounds=[(None, None)] + [(0, 1)] * 8 * contexts,
    )  # fmt: skip
    assert found.gap <= 1e-4
    assert -linear.fun - beta * np.log(8) - found.gap <= found.value <= -linear.fun + 1e-9
    assert found.weights.sum() == pytest.approx(1.0)
    own = np.array([sum(r[k] @ p for r, p in zip(rewards, found.policies, strict=True)) for k in range(parties)])
    assert found.utilities == pytest.approx(own / contexts)


def test_two_opposed_parties_share_and_one_alone_has_her_own():
    """By hand: rewards (1, 0) and (0, 1) ask for a coin; a single party's policy is softmax(r / beta)."""
    coin = max_min_policy([np.eye(2)], 0.5)
    assert coin.policies[0] == pytest.approx([0.5, 0.5])
    assert (coin.value, coin.kl) == pytest.approx((0.5, 0.0), abs=1e-6)
    alone = max_min_policy([np.array([[1.0, 0.0]])], 0.5)
    assert alone.policies[0] == pytest.approx([np.e**2 / (1 + np.e**2), 1 / (1 + np.e**2)])


def test_what_is_not_finished_says_so():
    found = worst_case_weights(lambda p: (float(p @ [1.0, 2.0]), np.array([1.0, 2.0]), None), 2, max_rounds=1)
    assert found.gap > 1e-3
    assert worst_case_weights(lambda p: (float(p @ [1.0, 2.0]), np.array([1.0, 2.0]), None), 2).gap <= 1e-6
    with pytest.raises(ValueError, match="rewards must hold a context"):
        max_min_policy([], 1.0)


def test_a_step_of_the_weights_by_hand():
    """1/4 e^0.2 to 3/4 e^0.1; a loss common to all moves nothing, and no weight is lost beyond what floats hold."""
    moved = np.exp(exponentiated_step(np.log([0.25, 0.75]), np.array([2.0, 1.0]), 0.1))
    below = 0.25 * np.exp(0.2) + 0.75 * np.exp(0.1)
    assert moved == pytest.approx([0.25 * np.exp(0.2) / below, 0.75 * np.exp(0.1) / below], rel=1e-12)
    assert np.exp(exponentiated_step(np.log([0.25, 0.75]), np.array([7.0, 7.0]), 3.0)) == pytest.approx([0.25, 0.75])
    away = exponentiated_step(np.log([0.5, 0.5]), np.array([2000.0, 0.0]), 1.0)
    back = exponentiated_step(away, np.array([0.0, 2000.0]), 1.0)
    assert np.exp(away) == pytest.approx([1.0, 0.0])
    assert np.exp(back) == pytest.approx([0.5, 0.5])
