"""DPO, Cluster-DPO and the choice of the number of types."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from sim.algorithms.cluster_dpo import cluster_dpo, mean_chosen_features
from sim.algorithms.dpo import dpo, dpo_loss
from sim.algorithms.k_means import k_means
from sim.algorithms.model_selection import (
    bic,
    choose_n_types_by_bic,
    choose_n_types_by_held_out,
    n_mixture_parameters,
    predictive_log_likelihood,
)
from sim.environments.linear import majority_bandit
from sim.policies.log_linear import ArmFeatures, LogLinear
from sim.populations.collect import collect_pairs
from sim.populations.latent_types import LatentTypes
from sim.preferences import PreferencePairs
from sim.streams import Stream

FEATURES = ArmFeatures(3, 3)


def _bandit(seed=0, n_annotators=120, per_annotator=10):
    population = LatentTypes(np.array([0.6, 0.3, 0.1]))
    return collect_pairs(majority_bandit(), population, n_annotators, per_annotator, Stream(seed, "algorithms"))


def test_dpo_lowers_its_loss_and_weights_drop_answers():
    pairs = _bandit()
    policy, part = LogLinear(FEATURES), LogLinear(FEATURES)
    fitted = dpo(policy, pairs)
    assert dpo_loss(fitted, np.ones(len(pairs))) < np.log(2)
    first = np.arange(len(pairs)) < 300
    dpo(part, pairs.select(first))
    dpo(policy, pairs, weights=first.astype(float))
    assert policy.theta == pytest.approx(part.theta, abs=1e-6)


def test_clusters_are_as_near_as_those_of_scikit_learn_and_policies_their_own_fits():
    pairs = _bandit()
    winners = np.eye(3)[pairs.chosen]
    result = cluster_dpo(pairs, winners, [LogLinear(FEATURES) for _ in range(3)], Stream(1))
    points = mean_chosen_features(winners, pairs.annotator, 120)
    assert points[7] == pytest.approx(winners[pairs.annotator == 7].mean(axis=0))
    expected = KMeans(3, n_init=10, random_state=1).fit(points).inertia_
    assert ((points - result.centres[result.cluster]) ** 2).sum() <= expected * (1 + 1e-12)
    alone = LogLinear(FEATURES)
    dpo(alone, pairs.select(result.cluster[pairs.annotator] == 1))
    assert result.policies[1].theta == pytest.approx(alone.theta, abs=1e-6)
    assert result.mixture.sum() == pytest.approx(1)


def test_clusters_of_identical_points_do_not_fail():
    labels, centres = k_means(np.zeros((5, 2)), 3, Stream(0))
    assert centres.shape == (3, 2)
    assert (labels == 0).all()
    with pytest.raises(ValueError, match="must not exceed the 2 annotators"):
        k_means(np.zeros((2, 2)), 3, Stream(0))


def test_number_of_types_is_found_both_ways():
    pairs = _bandit(3)
    rows = FEATURES.differences(pairs.contexts, pairs.chosen, pairs.rejected)
    by_bic = choose_n_types_by_bic(rows, pairs.annotator, 120, (1, 2, 3, 4), restarts=4, stream=Stream(2))
    held = choose_n_types_by_held_out(rows, pairs.annotator, 120, (1, 2, 3, 4), restarts=4, stream=Stream(2))
    assert by_bic.chosen == 3
    assert held.chosen == 3
    assert by_bic.criterion[2] == by_bic.criterion.min()


def test_bic_by_hand():
    assert bic(-10.0, 3, 100) == pytest.approx(20 + 3 * np.log(100))
    assert n_mixture_parameters(8, 3) == 26


def test_predictive_likelihood_by_hand():
    theta, gamma = np.array([[1.0], [-2.0]]), np.array([[0.25, 0.75]])
    value = predictive_log_likelihood(theta, gamma, np.array([[3.0]]), np.array([0]))
    assert value[0] == pytest.approx(np.log(0.25 / (1 + np.exp(-3)) + 0.75 / (1 + np.exp(6))))


def _opposed(repeated: bool) -> PreferencePairs:
    """Annotators 0 and 2 take arm 0 nine times out of ten, 1 and 3 arm 1; as weights, or as rows."""
    annotator, arm = np.repeat(np.arange(4), 2), np.tile([0, 1], 4)
    weights = np.where(arm == annotator % 2, 9, 1)
    if repeated:
        annotator, arm = np.repeat(annotator, weights), np.repeat(arm, weights)
    return PreferencePairs(
        np.ones((len(arm), 1)), arm, 1 - arm, annotator, 4, None if repeated else weights.astype(float)
    )


def test_an_answer_of_weight_w_is_w_answers():
    """Without weights in the clusters' features all four stand at (1/2, 1/2), and both policies at 0."""
    found = {}
    for repeated in (True, False):
        pairs = _opposed(repeated)
        policies = [LogLinear(ArmFeatures(2, 1), ridge=1e-3) for _ in range(2)]
        result = cluster_dpo(pairs, np.eye(2)[pairs.chosen], policies, Stream(1))
        found[repeated] = result.cluster, np.array([policy.theta for policy in policies])
    points = mean_chosen_features(np.eye(2)[[0, 1]], np.array([0, 0]), 1, np.array([9.0, 1.0]))
    assert points == pytest.approx(np.array([[0.9, 0.1]]))
    assert (found[False][0] == found[True][0]).all()
    assert found[True][0][0] != found[True][0][1]
    assert found[False][1] == pytest.approx(found[True][1], abs=1e-6)


def test_means_without_weights_are_to_the_bit_those_of_ones():
    features, annotator = Stream(4).normals((50, 3)), Stream(5).integers(6, 50)
    plain = mean_chosen_features(features, annotator, 8)
    assert (plain == mean_chosen_features(features, annotator, 8, np.ones(50))).all()
    # Somebody whose answers all have weight 0 is as if she had none.
    silent = np.where(annotator == 2, 0.0, 1.0)
    kept = annotator != 2
    assert (mean_chosen_features(features, annotator, 8, silent)
            == mean_chosen_features(features[kept], annotator[kept], 8)).all()  # fmt: skip
