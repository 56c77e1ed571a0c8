"""Clusters of annotators over choices: `sim.estimators.user_clusters` where an answer is a choice out of a set."""

from __future__ import annotations

import numpy as np

from sim.algorithms.em_choices import fit_choices
from sim.arguments import float_array, require_count, require_positive
from sim.choice_sets import ChoiceSets, choice_log_likelihood
from sim.estimators.user_clusters import UserClusters
from sim.preferences import FloatArray, IntArray
from sim.restarts import first_best
from sim.streams import Stream

_MOST_ROUNDS = 100


def cluster_choices(
    choices: ChoiceSets, n_clusters: int, stream: Stream, *, ridge: float = 1e-3, restarts: int = 5
) -> UserClusters:
    """max over theta_(1..K) of sum_i max_c LL_i(theta_c) - 0.5 ridge sum_c |theta_c|^2, by alternation.

    [arXiv 2405.00254, Algorithm 3]  Each restart begins with the rewards of K random annotators; a cluster that nobody
    is left in keeps the reward it has; the objective never falls; the best restart is kept.
    """
    require_positive(ridge=ridge)
    require_count("restarts", restarts)
    answered = np.unique(choices.annotator)
    if not 1 <= n_clusters <= len(answered):
        raise ValueError(f"n_clusters must lie in 1..{len(answered)}, the annotators with answers (got {n_clusters})")
    order = np.argsort(stream.child("seeds").uniforms((restarts, len(answered))), axis=-1)[:, :n_clusters]
    runs = [_alternate(choices, answered[seeds], ridge) for seeds in order]
    reached = np.array([run.trace[-1] for run in runs])
    best = runs[int(first_best(reached))]
    return UserClusters(best.theta, best.label, np.sort(reached)[::-1], best.trace)


def _alternate(choices: ChoiceSets, seeds: IntArray, ridge: float) -> UserClusters:
    label = np.full(choices.n_annotators, -1)
    theta = np.stack([_fit(choices, choices.annotator == seed, ridge) for seed in seeds])
    trace: list[float] = []
    for _ in range(_MOST_ROUNDS):
        scores = annotator_scores(theta, choices)
        found = scores.argmax(axis=1)
        if (found == label).all():
            break
        label = found
        for c in range(len(theta)):
            own = label[choices.annotator] == c
            if own.any():
                theta[c] = _fit(choices, own, ridge)
        scores = annotator_scores(theta, choices)
        trace.append(float(scores[np.arange(len(label)), label].sum() - 0.5 * ridge * (theta**2).sum()))
    return UserClusters(theta, label, np.array(trace[-1:]), np.array(trace))


def _fit(choices: ChoiceSets, own: FloatArray | IntArray, ridge: float) -> FloatArray:
    mask = np.asarray(own, dtype=np.bool_)
    nobody = np.zeros(len(choices), dtype=np.int64)
    return fit_choices(choices.only(mask, nobody, 1), ridge=ridge, mass_scaled=False)


def annotator_scores(theta: FloatArray, choices: ChoiceSets) -> FloatArray:
    """Log-likelihood of each annotator's choices under each reward; theta (K, d), (n_annotators, K)."""
    theta = float_array("theta", theta, ("K", choices.rows.shape[1]))
    margins = choices.offset[:, None] + choices.rows @ theta.T
    found = choice_log_likelihood(margins, choices.starts) * choices.weights[:, None]
    return np.stack([np.bincount(choices.annotator, own, choices.n_annotators) for own in found.T], axis=1)


def assign_by_choices(theta: FloatArray, choices: ChoiceSets) -> IntArray:
    """argmax_c LL_i(theta_c) of each annotator; cluster 0 without answers; (n_annotators,)."""
    return np.asarray(annotator_scores(theta, choices).argmax(axis=1), dtype=np.int64)
