"""Clusters of annotators, each by whose reward explains her answers best (arXiv 2405.00254, Algorithm 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sim.algorithms.choice_clusters import cluster_choices
from sim.estimators.user_clusters import WIDE_FROM, cluster_users
from sim.fitting.method import Grid, Group, Problem, Task
from sim.fitting.methods.rewards import RewardMethod, named_groups
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel
from sim.preferences import AnyArray, FloatArray
from sim.streams import Stream

# On a cluster's departure, whose answers are those of many.
_RIDGES = (100.0, 1000.0, 3000.0, 10_000.0, 30_000.0)
_LOWER = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1)


def _effort(answers: Answers, task: Task) -> dict[str, Any]:
    """Of many features what fits share is made once, and candidates are compared by less than a thousandth of a nat."""
    if answers.differences.shape[1] < WIDE_FROM:
        return {}
    return {"tolerance": 1e-12 if task.final else 1e-6, "spectrum": answers.spectrum}


class Cluster(RewardMethod):
    """delta_i one of K departures."""

    name = "cluster"
    title = "clusters"
    knows_errors = True
    counts = "clusters"
    reads_restarts = True

    def grid(self, problem: Problem) -> Grid:
        most = problem.n_annotators
        sizes = tuple(size for size in (2, 4, 6, 8) if size <= min(most, problem.largest)) or (1,)
        if problem.size is not None:
            sizes = (problem.size,) if problem.size <= most else (1,)
        return Grid(sizes, _RIDGES, untried=_RIDGES[2], largest=most, lower=_LOWER)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> RewardModel:
        centre, annotator, n = task.centre, answers.annotator, answers.n_annotators
        assert centre is not None
        stream, choices = task.stream.child("clusters"), answers.choices(centre=centre)
        if choices is not None:
            found = cluster_choices(choices, size, stream, ridge=ridge, restarts=task.restarts)
        else:
            found = cluster_users(
                answers.differences, annotator, n, size, stream, weights=answers.weights,
                offset=answers.differences @ centre, ridge=ridge, restarts=task.restarts, **_effort(answers, task),
            )  # fmt: skip
        answered = np.bincount(annotator, minlength=n) > 0
        label = np.where(answered, found.label, -1)
        shares = np.bincount(found.label[answered], minlength=size) / answered.sum()
        order = np.argsort(-shares, kind="stable")
        place = np.argsort(order)
        theta = np.tile(centre, (n, 1))
        theta[answered] += found.theta[found.label[answered]]
        return RewardModel(
            centre, theta, size, ridge, departures=found.theta[order], shares=shares[order],
            label=np.where(label >= 0, place[label], -1),
        )  # fmt: skip

    def adapt(self, model: RewardModel, answers: Answers) -> RewardModel:
        return model.with_clusters(answers)

    def describe(self, model: RewardModel, prepared: Prepared, centre: FloatArray, stream: Stream) -> tuple[Group, ...]:
        assert model.departures is not None
        assert model.shares is not None
        names = [f"cluster {c + 1}" for c in range(model.size)]
        return named_groups(names, list(model.shares), model.departures, prepared.feature_names)

    def departures(self, model: RewardModel, centre: FloatArray) -> FloatArray | None:
        return model.departures

    def by_group(self, model: RewardModel) -> RewardModel | None:
        assert model.departures is not None
        return replace(model, theta=model.centre + model.departures, label=np.arange(model.size))

    def table(self, model: RewardModel) -> Mapping[str, AnyArray]:
        assert model.label is not None
        return {"theta": model.theta, "cluster": model.label + 1}

    def shares(self, model: RewardModel) -> FloatArray:
        assert model.shares is not None
        return model.shares

    def n_types(self, model: RewardModel, size: int, prepared: Prepared) -> int:
        return model.size
