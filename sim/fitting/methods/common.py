"""What is the same for everybody, beside rewards from contexts: one reward on features, and how often an item wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from sim.fitting.common_rewards import POOLED_RIDGES, STRENGTH_RIDGES, strengths_of
from sim.fitting.method import Grid, Group, Method, Problem, Task
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import pooled_reward
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray
from sim.running.threads import one_thread
from sim.streams import Stream

# One vector is the model: theta (d,), or a strength an item.
Vector: TypeAlias = FloatArray


class _Common(Method[Vector]):
    """A vector that serves everybody alike."""

    def adapt(self, model: Vector, answers: Answers) -> Vector:
        return model

    def describe(self, model: Vector, prepared: Prepared, centre: FloatArray, stream: Stream) -> tuple[Group, ...]:
        return ()

    def parameters(self, model: Vector) -> Mapping[str, FloatArray | None]:
        return {"vector": model}

    def restore(self, parameters: Mapping[str, FloatArray | None]) -> Vector:
        found = parameters["vector"]
        assert found is not None
        return found


class CommonReward(_Common):
    """<theta, phi(a)>, one theta for all, its ridge chosen on whole annotators."""

    name = "pooled"
    title = "one reward for all"
    takes_choices = True

    def grid(self, problem: Problem) -> Grid:
        return Grid((0,), POOLED_RIDGES, untried=0.03, fixed=True)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> Vector:
        return pooled_reward(answers, ridge)

    @one_thread()
    def log_likelihood(self, model: Vector, answers: Answers) -> FloatArray:
        if answers.events is not None:
            return answers.events.folded(answers.events.rows @ model)
        return np.asarray(log_sigmoid(answers.differences @ model))


class Popularity(_Common):
    """A strength an item (n_items,), whatever its features."""

    name = "popularity"
    title = "popularity of the item"
    pairs_only = True

    def grid(self, problem: Problem) -> Grid:
        return Grid((0,), STRENGTH_RIDGES, untried=3.0, fixed=True)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> Vector:
        return strengths_of(answers.chosen, answers.rejected, answers.weights, len(answers.features), ridge)

    def log_likelihood(self, model: Vector, answers: Answers) -> FloatArray:
        return np.asarray(log_sigmoid(model[answers.chosen] - model[answers.rejected]))
