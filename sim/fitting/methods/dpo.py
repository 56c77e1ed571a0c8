"""Pooled DPO: one policy for everybody, with effective weights and, as it is usually run, without."""

from __future__ import annotations

from sim.fitting.method import Grid, Problem, Task
from sim.fitting.methods.types import TypeMethod
from sim.fitting.prepare import Answers
from sim.fitting.type_model import RIDGES, TypeModel, fit_types
from sim.preferences import FloatArray


class DPO(TypeMethod):
    """One type, shrunk to zero."""

    name = "dpo"
    title = "pooled DPO"
    reads_restarts = False

    def grid(self, problem: Problem) -> Grid:
        ridges = RIDGES if problem.ridge is None else (problem.ridge,)
        return Grid((1,), ridges, ridges[len(ridges) // 2], fixed=True)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> TypeModel:
        return fit_types(answers, 1, ridge, None, 1, task.stream.child("pooled"))


class DPOEqualWeights(DPO):
    """Every answer counts the same.

    Effective weights cost a single policy for everybody a little; a comparison should meet its stronger form too.
    """

    name = "dpo-equal-weights"
    title = "pooled DPO, equal weights"

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> TypeModel:
        return fit_types(answers, 1, ridge, None, 1, task.stream.child("pooled"), self.weights(answers))

    def weights(self, answers: Answers) -> FloatArray:
        return answers.given_weights
