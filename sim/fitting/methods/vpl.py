"""Variational preference learning (Poddar et al. 2024, arXiv 2408.10075), with a linear decoder; a baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.estimators.variational_latent import fit_latent_rewards, latent_posterior
from sim.fitting.method import Grid, Group, Problem, Task
from sim.fitting.methods.rewards import RewardMethod, named_groups
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel
from sim.preferences import FloatArray
from sim.streams import Stream

_RIDGES = (1.0, 10.0, 100.0, 1000.0)


class VPL(RewardMethod):
    """theta_i = theta_0 + B m_i, m_i the mean of q_i over a Gaussian latent z_i; strangers at the prior's mean, 0."""

    name = "vpl"
    title = "VPL, a Gaussian latent"
    counts = "dimensions"
    takes_choices = False

    def grid(self, problem: Problem) -> Grid:
        most = min(problem.n_annotators, problem.n_features)
        sizes = tuple(size for size in (1, 2, 4, 8) if size <= min(most, problem.largest))
        if problem.size is not None:
            sizes = (problem.size,) if problem.size <= most else (1,)
        return Grid(sizes, _RIDGES, untried=_RIDGES[1], largest=most)

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> RewardModel:
        assert task.centre is not None
        found = fit_latent_rewards(
            answers.differences, answers.annotator, answers.n_annotators, size, weights=answers.weights,
            offset=answers.differences @ task.centre, ridge=ridge,
        )  # fmt: skip
        return RewardModel(task.centre + found.common, task.centre + found.theta, size, ridge, subspace=found.map)

    def adapt(self, model: RewardModel, answers: Answers) -> RewardModel:
        """The posterior of z given these answers, the decoder held."""
        assert model.subspace is not None
        mean, _ = latent_posterior(
            np.zeros(len(model.centre)), model.subspace, answers.differences, answers.annotator, answers.n_annotators,
            weights=answers.weights, offset=answers.margins(model.centre),
        )  # fmt: skip
        return replace(model, theta=model.centre + mean @ model.subspace.T)

    def describe(self, model: RewardModel, prepared: Prepared, centre: FloatArray, stream: Stream) -> tuple[Group, ...]:
        names = [f"direction {k + 1}" for k in range(model.size)]
        return named_groups(names, [None] * model.size, self.departures(model, centre), prepared.feature_names)

    def departures(self, model: RewardModel, centre: FloatArray) -> FloatArray:
        """What a standard deviation of the prior adds, along the decoder's principal directions."""
        assert model.subspace is not None
        left, values, _ = np.linalg.svd(model.subspace, full_matrices=False)
        return np.asarray((left * values).T)
