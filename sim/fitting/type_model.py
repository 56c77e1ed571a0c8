"""Mixtures of log-linear rewards: what the methods of unobserved types fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.em_log_linear import em_log_linear, responsibilities_of
from sim.algorithms.model_selection import predictive_log_likelihood
from sim.fitting.prepare import Answers
from sim.preferences import FloatArray
from sim.streams import Stream

RIDGES = (0.003, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, eq=False)
class TypeModel:
    """theta (K, d), mixture (K,), responsibilities (n_annotators, K) (the mixture for annotators without answers).

    log_likelihood: observed, effective answers, nats.  restarts: final objective of each, best first.
    """

    theta: FloatArray
    mixture: FloatArray
    responsibilities: FloatArray
    log_likelihood: float
    ridge: float
    largest_margin: float
    restart_penalised: FloatArray

    @property
    def n_types(self) -> int:
        return len(self.mixture)

    def log_likelihood_of(self, answers: Answers) -> FloatArray:
        """log sum_k gamma_ik sigma(<theta_k, d_j>) of each answer; (n,), nats."""
        return predictive_log_likelihood(self.theta, self.responsibilities, answers.differences, answers.annotator)

    def given(self, answers: Answers) -> TypeModel:
        """With the posterior over types given these answers alone; the mixture where there is none."""
        if len(answers):
            gamma = _posterior(self.theta, self.mixture, answers, answers.weights)
        else:
            gamma = np.tile(self.mixture, (answers.n_annotators, 1))
        return replace(self, responsibilities=gamma)


def fit_types(
    answers: Answers,
    n_types: int,
    ridge: float,
    centre: FloatArray | None,
    restarts: int,
    stream: Stream,
    weights: FloatArray | None = None,
) -> TypeModel:
    """EM-DPO (K = 1: pooled DPO); types shrink to `centre`, pooled to zero; the largest type first.

    weights: (n,), the answers' effective weights if None.
    """
    own = answers.weights if weights is None else weights
    fitted = em_log_linear(
        answers.differences,
        answers.number,
        len(answers.answered),
        n_types,
        weights=own,
        ridge=ridge,
        restarts=restarts,
        max_rounds=200,
        tolerance=1e-6,
        centre=centre,
        stream=stream,
    )
    order = np.argsort(-fitted.mixture, kind="stable")
    theta, mixture = fitted.theta[order], fitted.mixture[order]
    return TypeModel(
        theta=theta,
        mixture=mixture,
        responsibilities=_posterior(theta, mixture, answers, own),
        log_likelihood=fitted.log_likelihood,
        ridge=ridge,
        largest_margin=fitted.largest_margin,
        restart_penalised=np.sort(fitted.restart_penalised)[::-1],
    )


def _posterior(theta: FloatArray, mixture: FloatArray, answers: Answers, weights: FloatArray) -> FloatArray:
    return responsibilities_of(theta, mixture, answers.differences, answers.annotator, answers.n_annotators, weights)
