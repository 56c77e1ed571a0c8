"""EM-DPO: unobserved types of annotators (arXiv 2405.15065, Algorithm 1)."""

from __future__ import annotations

from sim.fitting.method import Grid, Problem, Task
from sim.fitting.methods.types import TypeMethod
from sim.fitting.prepare import Answers
from sim.fitting.type_model import RIDGES, TypeModel, fit_types


class EMDPO(TypeMethod):
    """K log-linear types by EM, each shrunk to the pooled fit; K on held-out answers, one type among the candidates."""

    name = "em-dpo"
    title = "EM-DPO"
    least_size = 2
    rivals = ("dpo",)

    def grid(self, problem: Problem) -> Grid:
        ridges = RIDGES if problem.ridge is None else (problem.ridge,)
        if problem.size is not None:
            sizes: tuple[int, ...] = (problem.size,) if problem.size > 1 else ()
        else:
            sizes = tuple(range(2, min(problem.largest, problem.n_annotators) + 1))
        return Grid(sizes, ridges, ridges[len(ridges) // 2], patience=2)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> TypeModel:
        stream = task.stream.child("em" if task.final else f"select/{size}")
        return fit_types(answers, size, ridge, task.centre, task.restarts, stream)
