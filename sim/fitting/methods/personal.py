"""A reward for each annotator, from her own answers."""

from __future__ import annotations

import numpy as np

from sim.fitting.method import Grid, Problem, Task
from sim.fitting.methods.rewards import LOWER, RIDGES, RewardMethod
from sim.fitting.prepare import Answers
from sim.fitting.reward_model import RewardModel


class Personal(RewardMethod):
    """max LL_i(centre + delta_i) - 0.5 ridge |delta_i|^2, annotator by annotator."""

    name = "personal"
    title = "one reward each"
    knows_errors = True

    def grid(self, problem: Problem) -> Grid:
        return Grid((0,), RIDGES, untried=RIDGES[2], fixed=True, lower=LOWER)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> RewardModel:
        assert task.centre is not None
        start = RewardModel(task.centre, np.tile(task.centre, (answers.n_annotators, 1)), 0, ridge)
        return start.with_heads(answers)
