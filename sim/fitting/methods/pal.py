"""PAL (Chen et al. 2024, arXiv 2406.08469): prototypes, and each annotator's weights of them; a baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.counted import counted
from sim.estimators.ideal_points import IdealPointFit
from sim.estimators.prototypes import DescentStatus, PrototypeFit, fit_prototype_weights, fit_prototypes
from sim.fitting.method import Diagnosis, Fits, Grid, Group, Problem, Say, Task
from sim.fitting.methods.rewards import RewardMethod, named_groups
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel
from sim.fitting.settings import FitSettings
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

_RIDGES = (3.0, 30.0, 300.0, 3000.0)


def with_strangers(weights: FloatArray, answers: Answers) -> tuple[FloatArray, FloatArray, IntArray]:
    """Weights (N, K), of those without answers the mean; that mean (K,); the prototypes by it, the largest first."""
    shares = weights[answers.answered].mean(axis=0)
    whole = np.tile(shares, (answers.n_annotators, 1))
    whole[answers.answered] = weights[answers.answered]
    return whole, shares, np.argsort(-shares, kind="stable")


def unsettled(found: PrototypeFit | IdealPointFit) -> str:
    """What to say of a descent that ended before its loss had settled, "" of others."""
    if found.status is DescentStatus.CONVERGED:
        return ""
    rounds = counted(found.rounds, "rounds")
    return (
        f"the prototypes had not settled after {rounds}: the last tenth of these lowered the loss from "
        f"{found.loss + found.late:.6g} to {found.loss:.6g} nats; a larger ridge or fewer prototypes settle sooner"
    )


class PAL(RewardMethod):
    """delta_i = sum_k w_ik p_k, w_i on the simplex: a convex mixture of K prototypes beside the common reward."""

    name = "pal"
    title = "PAL, prototypes"
    counts = "prototypes"
    takes_choices = False
    reads_restarts = True

    def grid(self, problem: Problem) -> Grid:
        most = problem.n_annotators
        sizes = tuple(size for size in (2, 4, 8) if size <= min(most, problem.largest)) or (1,)
        if problem.size is not None:
            sizes = (problem.size,) if problem.size <= most else (1,)
        return Grid(sizes, _RIDGES, untried=_RIDGES[1], largest=most)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> RewardModel:
        centre = task.centre
        assert centre is not None
        found = fit_prototypes(
            answers.differences, answers.annotator, answers.n_annotators, size, task.stream.child("pal"),
            weights=answers.weights, offset=answers.differences @ centre, ridge=ridge,
            restarts=min(task.restarts, 3),
        )  # fmt: skip
        weights, shares, order = with_strangers(found.weights, answers)
        return RewardModel(
            centre, centre + weights @ found.prototypes, size, ridge, departures=found.prototypes[order],
            shares=shares[order], unsettled=unsettled(found),
        )  # fmt: skip

    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        """With a warning where the descent ended before its loss had settled."""
        found = super().diagnostics(fits, prepared, settings, stream, say)
        said = fits.model.unsettled
        return Diagnosis(found.parts, (*found.warnings, said) if said else found.warnings)

    def adapt(self, model: RewardModel, answers: Answers) -> RewardModel:
        """Weights from these answers, the prototypes held; the mean weights without answers."""
        assert model.departures is not None
        assert model.shares is not None
        weights = np.tile(model.shares, (answers.n_annotators, 1))
        if len(answers):
            found = fit_prototype_weights(
                model.departures, answers.differences, answers.annotator, answers.n_annotators,
                weights=answers.weights, offset=model.common_margins(answers),
            )  # fmt: skip
            weights[answers.answered] = found[answers.answered]
        return replace(model, theta=model.centre + weights @ model.departures)

    def describe(self, model: RewardModel, prepared: Prepared, centre: FloatArray, stream: Stream) -> tuple[Group, ...]:
        assert model.departures is not None
        names = [f"prototype {k + 1}" for k in range(model.size)]
        return named_groups(names, list(self.shares(model)), model.departures, prepared.feature_names)

    def departures(self, model: RewardModel, centre: FloatArray) -> FloatArray | None:
        return model.departures

    def shares(self, model: RewardModel) -> FloatArray:
        """Mean weights of the prototypes."""
        assert model.shares is not None
        return model.shares

    def n_types(self, model: RewardModel, size: int, prepared: Prepared) -> int:
        return model.size
