"""MaxMin-RLHF (Chakraborty et al. 2024, arXiv 2402.08925): a baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.fitting.diagnostics.max_min import max_min_policies
from sim.fitting.method import Diagnosis, Fits, Grid, Group, Problem, Say, Task
from sim.fitting.methods.cluster import Cluster
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel
from sim.fitting.settings import FitSettings
from sim.preferences import FloatArray
from sim.streams import Stream

# On a cluster's whole reward: nothing is common to all here.
_RIDGES = (1.0, 10.0, 100.0, 1000.0)


class MaxMinRLHF(Cluster):
    """K rewards by EM with hard assignment of annotators, which is `cluster_users` without a common reward; then the
    policy that is best for whichever of the K is worst off, solved exactly."""

    name = "maxmin-rlhf"
    title = "MaxMin-RLHF, hard EM"
    takes_choices = False
    knows_errors = False
    reads_beta = True

    def grid(self, problem: Problem) -> Grid:
        return replace(super().grid(problem), ridges=_RIDGES, untried=_RIDGES[1], lower=())

    def fit(self, answers: Answers, size: int, ridge: float, task: Task) -> RewardModel:
        nothing = np.zeros(answers.differences.shape[1])
        return super().fit(answers, size, ridge, replace(task, centre=nothing))

    def describe(self, model: RewardModel, prepared: Prepared, centre: FloatArray, stream: Stream) -> tuple[Group, ...]:
        """By what sets a cluster apart from the common reward; its own is a whole one."""
        return super().describe(replace(model, departures=self.departures(model, centre)), prepared, centre, stream)

    def departures(self, model: RewardModel, centre: FloatArray) -> FloatArray:
        assert model.departures is not None
        return np.asarray(model.departures - centre)

    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        """What each cluster gets under the max-min policy on the training prompts' items, and under others."""
        found = super().diagnostics(fits, prepared, settings, stream, say)
        served = max_min_policies(fits.model, prepared, settings.beta)
        return Diagnosis({**found.parts, "max_min": served}, found.warnings)
