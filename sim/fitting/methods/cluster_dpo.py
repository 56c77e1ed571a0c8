"""Cluster-DPO: k-means on each annotator's mean chosen features, then one weighted fit a cluster."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from sim.algorithms.cluster_dpo import mean_chosen_features
from sim.algorithms.em_log_linear import EXACT
from sim.algorithms.k_means import k_means
from sim.fitting.method import Grid, Problem, Task
from sim.fitting.methods.types import TypeMethod
from sim.fitting.prepare import Answers
from sim.fitting.type_model import RIDGES, TypeModel, constant_of, em_of
from sim.preferences import IntArray
from sim.streams import Stream

# Clusters do not depend on the ridge: they are found once for the answers that a search fits at every one.
_LABELS: WeakKeyDictionary[Answers, dict[tuple[int, Stream], IntArray]] = WeakKeyDictionary()


def _labels(answers: Answers, size: int, stream: Stream) -> IntArray:
    """The cluster of each annotator with answers."""
    found = _LABELS.setdefault(answers, {})
    if (size, stream) not in found:
        spoken_for = answers.features[answers.chosen] if answers.events is None else answers.events.pulls()
        # Effective weights are the file's own times a number an annotator, which her mean does not depend on.
        points = mean_chosen_features(spoken_for, answers.number, len(answers.answered), answers.given_weights)
        found[size, stream], _ = k_means(points, size, stream)
    return found[size, stream]


class ClusterDPO(TypeMethod):
    """As many clusters as EM-DPO finds types, with the same weights, shrinkage and grid."""

    name = "cluster-dpo"
    title = "k-means clusters"
    least_size = 2
    size_from = "em-dpo"
    reads_restarts = False

    def grid(self, problem: Problem) -> Grid:
        ridges = RIDGES if problem.ridge is None else (problem.ridge,)
        return Grid((problem.size or 2,), ridges, ridges[len(ridges) // 2])

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> TypeModel:
        one_hot = np.eye(size)[_labels(answers, size, task.stream.child("k-means"))]
        # No EM round: the M-step of the given assignment alone, with the same ridge and centre as EM's.
        fitted = em_of(
            answers, size, ridge=ridge, start=one_hot[None], max_rounds=0, newton_steps=EXACT, centre=task.centre
        )
        mixture = one_hot.mean(axis=0)
        responsibilities = np.tile(mixture, (answers.n_annotators, 1))
        responsibilities[answers.answered] = one_hot
        order = np.argsort(-mixture, kind="stable")
        return TypeModel(
            theta=fitted.theta[order],
            mixture=mixture[order],
            responsibilities=responsibilities[:, order],
            log_likelihood=fitted.log_likelihood + constant_of(answers, answers.weights),
            ridge=ridge,
            largest_margin=fitted.largest_margin,
            restart_penalised=fitted.restart_penalised,
        )
