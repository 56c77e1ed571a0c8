"""One reward for everybody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.fitting.method import Grid, Problem, Task
from sim.fitting.methods.rewards import RewardMethod
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel, pooled_reward


class Pooled(RewardMethod):
    """max sum_j w_j log sigma(<theta, d_j>) - 0.5 ridge sum_j w_j |theta|^2."""

    name = "pooled"
    title = "one reward for all"
    knows_errors = True

    def grid(self, problem: Problem) -> Grid:
        return Grid((0,), (0.003, 0.03, 0.1, 0.3), untried=0.03, fixed=True)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> RewardModel:
        centre = pooled_reward(answers, ridge)
        return RewardModel(centre, np.tile(centre, (answers.n_annotators, 1)), 0, ridge)

    def adapt(self, model: RewardModel, answers: Answers) -> RewardModel:
        """The same for everybody, whatever she answers."""
        return replace(model, theta=np.tile(model.centre, (answers.n_annotators, 1)))

    def n_types(self, model: RewardModel, size: int, prepared: Prepared) -> int:
        return 1
