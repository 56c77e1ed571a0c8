"""A reward for each annotator over a common subspace (arXiv 2405.00254, section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.estimators.bilinear_choices import fit_low_rank_choices
from sim.estimators.shared_representation import WIDE_FROM, fit_shared
from sim.fitting.method import Diagnosis, Fits, Grid, Group, Problem, Say, Task
from sim.fitting.methods.rewards import LOWER, RIDGES, RewardMethod, named_groups
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel
from sim.fitting.settings import FitSettings
from sim.preferences import FloatArray
from sim.streams import Stream


def _effort(answers: Answers, size: int, task: Task) -> dict[str, Any]:
    """Of many features what fits share is made once, and candidates are compared by less than a thousandth of a nat."""
    if answers.differences.shape[1] * size < WIDE_FROM:
        return {"tolerance": 1e-7}
    return {"tolerance": 1e-7 if task.final else 1e-5, "spectrum": answers.spectrum}


class Shared(RewardMethod):
    """delta_i = U v_i, U (d, k) common to all; ridge on v_i."""

    name = "shared"
    title = "shared subspace"
    knows_errors = True
    counts = "dimensions"

    def grid(self, problem: Problem) -> Grid:
        most = min(problem.n_annotators, problem.n_features)
        sizes = tuple(size for size in (1, 2, 3, 4, 6, 8) if size <= min(most, problem.largest))
        if problem.size is not None:
            sizes = (problem.size,) if problem.size <= most else (1,)
        return Grid(sizes, RIDGES, untried=RIDGES[2], largest=most, lower=LOWER)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> RewardModel:
        centre = task.centre
        assert centre is not None
        choices = answers.choices(centre=centre)
        if choices is not None:
            departures = fit_low_rank_choices(choices, None, size, ridge=ridge)
            subspace = np.linalg.svd(departures, full_matrices=False)[2][:size].T
            return RewardModel(centre, centre + departures, size, ridge, subspace=subspace)
        fitted = fit_shared(
            answers.differences, answers.annotator, answers.n_annotators, size, weights=answers.weights,
            offset=answers.differences @ centre, ridge=ridge, **_effort(answers, size, task),
        )  # fmt: skip
        theta = np.tile(centre, (answers.n_annotators, 1)) + fitted.theta
        return RewardModel(centre, theta, size, ridge, subspace=fitted.subspace)

    def describe(self, model: RewardModel, prepared: Prepared, centre: FloatArray, stream: Stream) -> tuple[Group, ...]:
        names = [f"direction {c + 1}" for c in range(model.size)]
        return named_groups(names, [None] * model.size, self.departures(model, centre), prepared.feature_names)

    def departures(self, model: RewardModel, centre: FloatArray) -> FloatArray:
        """Principal axes of the heads: the subspace's own axes are arbitrary."""
        assert model.subspace is not None
        heads = (model.theta - model.centre) @ model.subspace
        turned = np.linalg.svd(heads - heads.mean(axis=0), full_matrices=False)[2]
        return np.asarray(turned @ model.subspace.T)

    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        found = super().diagnostics(fits, prepared, settings, stream, say)
        return Diagnosis({**found.parts, "rank": fits.size}, found.warnings)
