"""Unobserved types in a world of any kind: pooled DPO, EM-DPO, clusters and the true types beside each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from sim.algorithms.cluster_dpo import mean_chosen_features
from sim.algorithms.em_log_linear import em_log_linear
from sim.algorithms.k_means import k_means
from sim.algorithms.model_selection import predictive_log_likelihood
from sim.environments.registry import ENVIRONMENTS, find_environment
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.fitting.scores import hits
from sim.partitions import adjusted_rand_index
from sim.populations.simulated import simulate_pairs
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Measurement
from sim.studies.experiments.types.figures import FIGURES
from sim.studies.experiments.types.setting import TypesSetting


def run_types(setting: TypesSetting, stream: Stream, backends: Backends) -> list[Measurement]:
    """log_likelihood: mean over annotators' test answers, nats an answer; worst_type: the least of it over true types.
    accuracy: share of test answers ordered rightly, half of those at even odds, as of an item beside itself.
    adjusted_rand: of the types found against the true ones (1 alike, 0 as by chance).

    pooled: one reward for all (DPO).  em_dpo, clusters, true_types: rewards by type, types by EM, by k-means on mean
    chosen features, or given.
    """
    world = find_environment(setting.environment)
    m, N = setting.answers, setting.annotators
    pairs, features = simulate_pairs(world, N, m + setting.test_answers, stream.child("answers"), setting.mixture)
    assert pairs.group is not None
    differences = features[:, 0] - features[:, 1]
    learned = np.arange(len(pairs)) % (m + setting.test_answers) < m
    answers = _Answers(differences[learned], features[learned, 0], pairs.annotator[learned], N)
    rows = []
    for method, fitted in _methods(setting, setting.types or world.n_types, answers, pairs.group, stream):
        began = time.perf_counter()
        theta, responsibilities = fitted()
        wall = time.perf_counter() - began
        log_p = predictive_log_likelihood(theta, responsibilities, differences[~learned], pairs.annotator[~learned])
        by_type = np.array([log_p[pairs.group[pairs.annotator[~learned]] == z].mean() for z in np.unique(pairs.group)])
        found = {
            "log_likelihood": float(log_p.mean()),
            "worst_type": float(by_type.min()),
            "accuracy": float(hits(log_p).mean()),
        }
        if len(theta) > 1 and method != "true_types":
            found["adjusted_rand"] = adjusted_rand_index(pairs.group, responsibilities.argmax(axis=1))
        rows += [Measurement(method, metric, value, wall) for metric, value in found.items()]
    return rows


class _Answers:
    def __init__(self, differences: FloatArray, chosen: FloatArray, annotator: IntArray, n_annotators: int) -> None:
        self.differences, self.chosen, self.annotator, self.n_annotators = differences, chosen, annotator, n_annotators


def _methods(
    setting: TypesSetting, K: int, answers: _Answers, truth: IntArray, stream: Stream
) -> Iterator[tuple[str, Callable[[], tuple[FloatArray, FloatArray]]]]:
    """(name, fit: theta (K, d) and responsibilities (n_annotators, K))."""

    def by_label(label: IntArray, n: int) -> tuple[FloatArray, FloatArray]:
        own = np.eye(n)[label]
        return np.stack([_reward(setting, answers, own[answers.annotator, k]) for k in range(n)]), own

    def em() -> tuple[FloatArray, FloatArray]:
        fitted = em_log_linear(
            answers.differences, answers.annotator, answers.n_annotators, K, ridge=setting.ridge,
            restarts=setting.restarts, stream=stream.child("em"),
        )  # fmt: skip
        return fitted.theta, fitted.responsibilities

    def clusters() -> tuple[FloatArray, FloatArray]:
        points = mean_chosen_features(answers.chosen, answers.annotator, answers.n_annotators)
        return by_label(k_means(points, K, stream.child("clusters"))[0], K)

    yield "pooled", lambda: by_label(np.zeros(answers.n_annotators, dtype=np.int64), 1)
    yield "em_dpo", em
    yield "clusters", clusters
    yield "true_types", lambda: by_label(truth, int(truth.max()) + 1)


def _reward(setting: TypesSetting, answers: _Answers, weights: FloatArray) -> FloatArray:
    return fit_bradley_terry(answers.differences, weights, ridge=setting.ridge, mass_scaled=True).theta


TYPES = Experiment(TypesSetting, run_types, FIGURES, doors={"environment": ENVIRONMENTS}, memory=TypesSetting.memory)
