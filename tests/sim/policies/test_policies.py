"""Policies against brute force, finite differences and each other."""

import numpy as np
import pytest
from scipy.optimize import minimize

from sim.policies.log_linear import ArmFeatures, ItemFeatures, LogLinear
from sim.policies.mixture import FiniteMixture, Mixture
from sim.policies.protocol import FinitePolicy, Penalised, PreferencePolicy, Restorable, choice_log_likelihood
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import PreferencePairs, Rankings
from sim.streams import Stream


def _table(seed=0, beta=0.7, **options):
    stream = Stream(seed, "table")
    reference = stream.child("reference").uniforms((3, 4)) + 0.1
    reference /= reference.sum(axis=1, keepdims=True)
    return SoftmaxTable(reference, beta=beta, rewards=stream.child("rewards").normals((3, 4)), **options)


def _pairs(n=200, seed=1):
    stream = Stream(seed, "pairs")
    arms = np.argsort(stream.child("arms").uniforms((n, 4)), axis=1)
    return PreferencePairs(stream.child("contexts").integers(3, n), arms[:, 0], arms[:, 1], np.zeros(n, np.int64), 1)


def test_backends_keep_the_protocols():
    for policy in (_table(), LogLinear(ArmFeatures(3, 2)), LogLinear(ItemFeatures(np.eye(3)))):
        for protocol in (PreferencePolicy, FinitePolicy, Restorable, Penalised):
            assert isinstance(policy, protocol)


def test_probabilities_by_hand():
    """Two arms, reference (1/4, 3/4), rewards (1, 0), beta 1/2: pi(0) = e^2 / (e^2 + 3)."""
    policy = SoftmaxTable(np.array([[0.25, 0.75]]), beta=0.5, rewards=np.array([[1.0, 0.0]]))
    expected = np.exp(2) / (np.exp(2) + 3)
    zero = np.zeros(1, np.int64)
    assert np.exp(policy.log_probabilities(zero))[0, 0] == pytest.approx(expected)
    assert policy.log_ratio(zero, zero)[0] == pytest.approx(np.log(expected / 0.25))


def test_implicit_reward_is_beta_log_ratio_up_to_the_context():
    policy, contexts = _table(), np.array([0, 0, 1, 2, 2])
    arms = np.array([0, 1, 3, 2, 0])
    shift = policy.implicit_reward(contexts, arms) - policy.beta * policy.log_ratio(contexts, arms)
    assert shift[0] == pytest.approx(shift[1])
    assert shift[3] == pytest.approx(shift[4])


@pytest.mark.parametrize("mass_scaled", [True, False])
def test_table_fit_against_scipy(mass_scaled):
    pairs, weights = _pairs(), Stream(2).uniforms(200)
    policy = _table(ridge=0.01, mass_scaled=mass_scaled)
    policy.fit(pairs, weights)

    def objective(flat):
        other = SoftmaxTable(np.full((3, 4), 0.25), rewards=flat.reshape(3, 4), ridge=0.01, mass_scaled=mass_scaled)
        return -weights @ choice_log_likelihood(other, pairs) + other.penalty(weights.sum())

    found = minimize(objective, np.zeros(12), method="BFGS", options={"gtol": 1e-7})
    assert policy.table.ravel() == pytest.approx(found.x, abs=1e-4)
    assert objective(policy.table.ravel()) <= found.fun + 1e-9


def test_log_linear_on_one_hot_features_is_the_table():
    items = PreferencePairs(
        np.zeros(300, np.int64), *np.argsort(Stream(3).uniforms((300, 5)), axis=1)[:, :2].T, np.zeros(300, np.int64), 1
    )
    weights = Stream(4).uniforms(300)
    table = SoftmaxTable(np.full((1, 5), 0.2), ridge=0.02)
    linear = LogLinear(ItemFeatures(np.eye(5)), ridge=0.02)
    table.fit(items, weights)
    linear.fit(items, weights)
    assert linear.theta == pytest.approx(table.table[0], abs=1e-6)


@pytest.mark.parametrize("features", [ArmFeatures(4, 2), ItemFeatures(Stream(9).normals((4, 3)))])
def test_feature_maps_agree_with_themselves(features):
    contexts, chosen, rejected = Stream(1).normals((6, 2)), np.arange(6) % 4, (np.arange(6) + 1) % 4
    theta = Stream(2).normals(features.n_features)
    rows = features.rows(contexts, chosen)
    assert features.differences(contexts, chosen, rejected) == pytest.approx(rows - features.rows(contexts, rejected))
    assert features.rewards(contexts, theta)[np.arange(6), chosen] == pytest.approx(rows @ theta)


@pytest.mark.parametrize("n_ranked", [1, 2])
def test_rankings_of_three_against_scipy(n_ranked):
    n, stream = 150, Stream(5)
    answers = Rankings(
        np.zeros(n, np.int64), np.argsort(stream.uniforms((n, 3)), axis=1), np.zeros(n, np.int64), 1, n_ranked
    )
    features, weights = ItemFeatures(stream.child("f").normals((3, 2))), stream.child("w").uniforms(n)
    policy = LogLinear(features, ridge=0.05, mass_scaled=False)
    policy.fit(answers, weights)

    def objective(theta):
        other = LogLinear(features, theta=theta, ridge=0.05, mass_scaled=False)
        return -weights @ choice_log_likelihood(other, answers) + other.penalty(1.0)

    assert policy.theta == pytest.approx(minimize(objective, np.zeros(2), options={"gtol": 1e-7}).x, abs=1e-4)


def test_plackett_luce_likelihood_sums_to_one_over_orders():
    from itertools import permutations

    policy = SoftmaxTable(np.full((1, 4), 0.25), rewards=Stream(6).normals((1, 4)))
    orders = np.array(list(permutations(range(4))))
    answers = Rankings(np.zeros(24, np.int64), orders, np.zeros(24, np.int64), 1, n_ranked=4)
    assert np.exp(choice_log_likelihood(policy, answers)).sum() == pytest.approx(1.0)


def test_samples_follow_the_probabilities():
    policy, contexts = _table(), np.repeat(np.arange(3), 40_000)
    drawn = policy.sample(contexts, Stream(7))
    for s in range(3):
        share = np.bincount(drawn[contexts == s], minlength=4) / 40_000
        assert np.abs(share - np.exp(policy.log_probabilities(np.array([s])))[0]).max() < 4 * 0.5 / 200


def test_mixture_is_arithmetic_and_draws_a_member_once():
    members, weights = [_table(seed) for seed in (1, 1, 2)], np.array([0.2, 0.3, 0.5])
    members[2] = SoftmaxTable(np.exp(members[0]._log_reference), rewards=Stream(8).normals((3, 4)))
    mixture, contexts = FiniteMixture(members, weights), np.repeat(np.arange(3), 30_000)
    exact = sum(w * np.exp(m.log_probabilities(np.arange(3))) for w, m in zip(weights, members, strict=True))
    assert np.exp(mixture.log_probabilities(np.arange(3))) == pytest.approx(exact)
    arms = np.tile(np.arange(4), 3)
    places = np.repeat(np.arange(3), 4)
    log_reference = members[0].reference_log_probabilities(np.arange(3))
    assert mixture.log_ratio(places, arms) == pytest.approx(np.log(exact[places, arms]) - log_reference[places, arms])
    drawn = mixture.sample(contexts, Stream(9))
    share = np.bincount(drawn[contexts == 1], minlength=4) / 30_000
    assert np.abs(share - exact[1]).max() < 0.012
    assert np.bincount(mixture.draw_members(50_000, Stream(1))) / 50_000 == pytest.approx(weights, abs=0.01)


def test_snapshots_restore():
    policy = _table()
    before = policy.snapshot()
    policy.fit(_pairs(), np.ones(200))
    policy.restore(before)
    assert (policy.table == before).all()


def test_bad_arguments_say_what_to_do():
    with pytest.raises(ValueError, match="weights must be probabilities that sum to 1"):
        Mixture([_table(), _table()], np.array([0.5, 0.4]))
    with pytest.raises(ValueError, match="positive rows that sum to 1"):
        SoftmaxTable(np.array([[0.0, 1.0]]))
    with pytest.raises(ValueError, match="beta must be positive"):
        LogLinear(ArmFeatures(2, 1), beta=0.0)
    with pytest.raises(ValueError, match="weights must be finite"):
        _table().fit(_pairs(3), np.array([1.0, np.nan, 1.0]))
    with pytest.raises(ValueError, match="at least one policy"):
        Mixture([], np.array([]))
