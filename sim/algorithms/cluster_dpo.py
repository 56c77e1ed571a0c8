"""Cluster-DPO: group annotators by what they chose, then one DPO fit a group (the paper's baseline)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.algorithms.k_means import k_means
from sim.arguments import float_array, index_array, require_count, require_same_rows, weight_array
from sim.policies.protocol import PreferencePolicy
from sim.preferences import FloatArray, IntArray, PreferencePairs
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class ClusterResult:
    """cluster (n_annotators,), centres (K, d), responsibilities (n_annotators, K) one-hot, mixture (K,)."""

    policies: tuple[PreferencePolicy, ...]
    cluster: IntArray
    centres: FloatArray
    responsibilities: FloatArray
    mixture: FloatArray


def mean_chosen_features(
    features: FloatArray, annotator: IntArray, n_annotators: int, weights: FloatArray | None = None
) -> FloatArray:
    """Mean feature vector of each annotator's chosen responses; (n, d) -> (n_annotators, d).

    sum_j w_j phi(chosen_j) / sum_j w_j over her answers: an answer of weight 2 is two answers (ones without weights).
    An annotator without answers, or none that counts, gets the mean of the others.
    """
    float_array("features", features, ("n", "d"))
    require_count("n_annotators", n_annotators)
    index_array("annotator", annotator, n_annotators)
    require_same_rows(features=features, annotator=annotator)
    own = weight_array("weights", weights, len(annotator))
    mass = np.bincount(annotator, weights=own, minlength=n_annotators)
    sums = np.stack([np.bincount(annotator, own * column, n_annotators) for column in features.T], axis=1)
    silent = mass == 0
    means = sums / np.where(silent, 1.0, mass)[:, None]
    if silent.any():
        means[silent] = means[~silent].mean(axis=0)
    return means


def cluster_dpo(
    pairs: PreferencePairs,
    chosen_features: FloatArray,
    policies: Sequence[PreferencePolicy],
    stream: Stream,
) -> ClusterResult:
    """k-means on each annotator's mean chosen features, then one weighted DPO fit a cluster, in place.

    chosen_features: (n_pairs, d), an embedding of each chosen response (arXiv 2405.15065, section 5: mean
    embedding of preferred responses; in the bandit the winner's one-hot vector).
    """
    if not policies:
        raise ValueError("policies must hold at least one policy, one a cluster (got none)")
    require_same_rows(pairs=pairs.annotator, chosen_features=chosen_features)
    float_array("chosen_features", chosen_features, ("n_pairs", "d"))
    points = mean_chosen_features(chosen_features, pairs.annotator, pairs.n_annotators, pairs.weights)
    cluster, centres = k_means(points, len(policies), stream)
    responsibilities = np.eye(len(policies))[cluster]
    for k, policy in enumerate(policies):
        policy.fit(pairs, pairs.pair_weights() * responsibilities[pairs.annotator, k])
    return ClusterResult(tuple(policies), cluster, centres, responsibilities, responsibilities.mean(axis=0))
