"""HypCluster against brute force over all assignments; monotone; the same in batches; a rule for new users."""

from itertools import product

import numpy as np
import pytest

from sim.algorithms.stochastic_cluster_dpo import stochastic_cluster_dpo
from sim.environments.trajectory_pool import sign_answers
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.user_clusters import assign_users, cluster_users, cluster_users_batch
from sim.likelihoods import log_sigmoid
from sim.policies.log_linear import ItemFeatures, LogLinear
from sim.populations.shared_representation import clustered_heads
from sim.preferences import PreferencePairs
from sim.streams import Stream


def _answers(n=6, clusters=2, per_user=12, seed=0, spread=0.5):
    stream = Stream(seed, "clusters")
    theta = clustered_heads(n, clusters, stream, spread=spread)
    x = stream.child("x").normals((n, per_user, 2))
    return theta, sign_answers(x, theta, stream)


def _flat(x):
    return x.reshape(-1, x.shape[2]), np.repeat(np.arange(len(x)), x.shape[1])


@pytest.mark.parametrize("seed", range(4))
def test_against_every_assignment(seed):
    _, x = _answers(seed=seed)
    ridge = 0.1
    best = -np.inf
    for labels in product((0, 1), repeat=6):
        total = 0.0
        for c in (0, 1):
            own = x[np.array(labels) == c].reshape(-1, 2)
            if len(own):
                fitted = fit_bradley_terry(own, ridge=ridge).theta
                total += float(log_sigmoid(own @ fitted).sum() - 0.5 * ridge * fitted @ fitted)
        best = max(best, total)
    rows, user = _flat(x)
    found = cluster_users(rows, user, 6, 2, Stream(1), ridge=ridge, restarts=20)
    assert found.objective == pytest.approx(best, abs=1e-6)


def test_rises_and_stops_at_a_fixed_point():
    _, x = _answers(n=20, clusters=3, per_user=20)
    rows, user = _flat(x)
    found = cluster_users(rows, user, 20, 3, Stream(1))
    assert (np.diff(found.trace) >= -1e-9).all()
    assert found.objectives[0] == found.objectives.max()
    assert assign_users(found.theta, rows, user, 20).tolist() == found.label.tolist()
    for c in range(3):
        own = x[found.label == c].reshape(-1, 2)
        assert found.theta[c] == pytest.approx(fit_bradley_terry(own, ridge=1e-3).theta, abs=1e-5)


def test_batch_is_one_by_one():
    data = np.stack([_answers(n=9, clusters=3, seed=s)[1] for s in range(3)])
    batch = cluster_users_batch(data, 3, Stream(4), restarts=4)
    assert batch.theta.shape == (3, 3, 2)
    for b in range(3):
        rows, user = _flat(data[b])
        scores = log_sigmoid(rows @ batch.theta[b].T)
        attained = scores[np.arange(len(rows)), batch.label[b][user]].sum() - 0.5e-3 * (batch.theta[b] ** 2).sum()
        assert batch.objective[b] == pytest.approx(attained, abs=1e-6)


def test_weights_and_offset():
    _, x = _answers(n=8, per_user=20)
    rows, user = _flat(x)
    weights = np.where(np.arange(len(rows)) % 2, 1.0, 0.0)
    half = cluster_users(rows, user, 8, 2, Stream(2), weights=weights)
    kept = cluster_users(rows[weights > 0], user[weights > 0], 8, 2, Stream(2))
    assert half.objective == pytest.approx(kept.objective, abs=1e-6)
    # An offset that is already the truth leaves nothing to cluster by but noise; zero ridge weight keeps it honest.
    shifted = cluster_users(rows, user, 8, 2, Stream(2), offset=rows @ np.array([1.0, 0.0]), ridge=0.5)
    direct = cluster_users(rows, user, 8, 2, Stream(2), ridge=0.5)
    assert not np.allclose(shifted.theta, direct.theta)


def test_users_without_answers_and_new_ones():
    theta, x = _answers(n=8, per_user=30, spread=0.0)
    rows, user = _flat(x)
    keep = user != 2
    found = cluster_users(rows[keep], user[keep], 8, 2, Stream(2))
    new = assign_users(found.theta, rows[~keep], user[~keep], 8)
    nearest = int(((found.theta - theta[2]) ** 2).sum(axis=1).argmin())
    assert new[2] == nearest
    with pytest.raises(ValueError, match="annotators with answers"):
        cluster_users(rows[keep], user[keep], 8, 8, Stream(2))


def test_stochastic_alternation_finds_opposed_groups():
    theta, x = _answers(n=10, per_user=25, spread=0.0)
    rows, user = _flat(x)
    features = ItemFeatures(np.stack([rows, np.zeros_like(rows)], axis=1).reshape(-1, 2))
    item = 2 * np.arange(len(rows))
    pairs = PreferencePairs(np.zeros_like(item), item, item + 1, user, 10)
    policies = [LogLinear(features), LogLinear(features)]
    labels = stochastic_cluster_dpo(policies, pairs, 60, Stream(3))
    truth = theta[:, 0] > 0
    agree = ((labels == 1) == truth).mean()
    assert max(agree, 1 - agree) == 1.0
    with pytest.raises(ValueError, match="between 1 and 10"):
        stochastic_cluster_dpo([LogLinear(features)] * 11, pairs, 1, Stream(3))


def test_ascent_raises_the_likelihood_towards_the_fit():
    _, x = _answers(n=1, per_user=80)
    rows, _ = _flat(x)
    features = ItemFeatures(np.stack([rows, np.zeros_like(rows)], axis=1).reshape(-1, 2))
    item = 2 * np.arange(len(rows))
    pairs = PreferencePairs(np.zeros_like(item), item, item + 1, np.zeros_like(item), 1)
    climbing, solved = LogLinear(features, ridge=1e-2), LogLinear(features, ridge=1e-2)
    values = []
    for _ in range(200):
        climbing.ascend(pairs, np.ones(len(pairs)), 1)
        values.append(log_sigmoid(rows @ climbing.theta).mean() - 0.5e-2 * climbing.theta @ climbing.theta)
    assert (np.diff(values) >= -1e-12).all()
    solved.fit(pairs, np.ones(len(pairs)))
    assert climbing.theta == pytest.approx(solved.theta, abs=1e-3)


@pytest.mark.parametrize("unit", [0.3, 1e-8, 1e-50, 1e8])
def test_a_unit_of_the_features_does_not_matter(unit):
    """With the ridge in units of their squares: the gradient at zero must not pass as none."""
    replicates = np.stack([_answers(n=12, per_user=20, seed=seed)[1] for seed in range(3)])
    rows, user = _flat(replicates[0])
    plain = cluster_users(rows, user, 12, 2, Stream(1), ridge=0.5)
    found = cluster_users(rows * unit, user, 12, 2, Stream(1), ridge=0.5 * unit**2)
    assert found.label.tolist() == plain.label.tolist()
    assert found.theta * unit == pytest.approx(plain.theta, abs=1e-6)
    assert found.objective == pytest.approx(plain.objective, rel=1e-9)
    plain = cluster_users_batch(replicates, 2, Stream(1), ridge=0.5)
    found = cluster_users_batch(replicates * unit, 2, Stream(1), ridge=0.5 * unit**2)
    assert np.array_equal(found.label, plain.label)
    assert found.theta * unit == pytest.approx(plain.theta, abs=1e-6)


def test_many_features_have_no_unit_either():
    stream = Stream(4)
    x, who = stream.normals((600, 60)), np.arange(600) % 12
    x *= np.where((x * stream.child("theta").normals((2, 60))[who % 2]).sum(axis=1) > 0, 1.0, -1.0)[:, None]
    plain = cluster_users(x, who, 12, 2, Stream(1), ridge=0.5)
    for unit in (1e-8, 1e8):
        found = cluster_users(x * unit, who, 12, 2, Stream(1), ridge=0.5 * unit**2)
        assert found.label.tolist() == plain.label.tolist()
        assert found.theta * unit == pytest.approx(plain.theta, abs=1e-4)


def test_replicates_in_units_of_their_own():
    replicates = np.stack([_answers(n=8, seed=seed)[1] for seed in range(3)])
    plain = cluster_users_batch(replicates, 2, Stream(1), ridge=0.5)
    units = np.array([1.0, 1e-8, 1.0])[:, None, None, None]
    mixed = cluster_users_batch(replicates * units, 2, Stream(1), ridge=0.5)
    assert np.array_equal(mixed.theta[[0, 2]], plain.theta[[0, 2]])
    assert np.array_equal(mixed.trace[[0, 2]], plain.trace[[0, 2]], equal_nan=True)
