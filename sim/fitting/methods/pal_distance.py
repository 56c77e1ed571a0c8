"""PAL's form with distances to ideal points (Chen et al. 2024, arXiv 2406.08469, model A); a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np

from sim.estimators.ideal_points import fit_ideal_points
from sim.fitting.method import Diagnosis, Fits, Grid, Problem, Say, Task
from sim.fitting.methods.pal import PAL, unsettled, with_strangers
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import IdealPointModel, RewardModel
from sim.fitting.settings import FitSettings
from sim.preferences import FloatArray
from sim.streams import Stream

_RIDGES = (3.0, 10.0, 30.0, 100.0)
# Of the map, where features are more: the ridge leaves out what is not needed, and this bounds the work.
_DIMENSIONS = 8


class PALDistance(PAL):
    """-|A phi - z_i|^2, z_i = sum_k w_ik p_k, w_i on the simplex: a convex mixture of K ideal points beside the common
    reward, which is `pal` with the quadratic -|A phi|^2 in what is common to all."""

    name = "pal-distance"
    title = "PAL, ideal points"

    def grid(self, problem: Problem) -> Grid:
        return replace(super().grid(problem), ridges=_RIDGES, untried=_RIDGES[1])

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> IdealPointModel:
        centre = task.centre
        assert centre is not None
        found = fit_ideal_points(
            answers.features, answers.chosen, answers.rejected, answers.annotator, answers.n_annotators, size,
            min(answers.features.shape[1], max(size, _DIMENSIONS)), task.stream.child("pal-distance"),
            weights=answers.weights, offset=answers.differences @ centre, ridge=ridge,
            restarts=min(task.restarts, 3),
        )  # fmt: skip
        weights, shares, order = with_strangers(found.weights, answers)
        return IdealPointModel(
            centre, centre + weights @ found.prototypes, size, ridge, departures=found.prototypes[order],
            shares=shares[order], unsettled=unsettled(found), map=found.map,
        )  # fmt: skip

    def parameters(self, model: RewardModel) -> Mapping[str, FloatArray | None]:
        assert isinstance(model, IdealPointModel)
        return {**super().parameters(model), "map": model.map}

    def restore(self, parameters: Mapping[str, FloatArray | None]) -> IdealPointModel:
        linear, map_ = super().restore(parameters), parameters["map"]
        assert map_ is not None
        return IdealPointModel(**{field.name: getattr(linear, field.name) for field in fields(linear)}, map=map_)

    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        """How much the reward bends along the principal axes of the map: the eigenvalues of A'A, nats at a standard
        deviation from the ideal point."""
        found = super().diagnostics(fits, prepared, settings, stream, say)
        values = np.linalg.svd(fits.model.map, compute_uv=False) ** 2
        return Diagnosis({**found.parts, "curvature": values.tolist()}, found.warnings)
