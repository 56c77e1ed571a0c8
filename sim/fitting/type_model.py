"""Mixtures of log-linear rewards: what the methods of unobserved types fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.algorithms.em_choices import choice_responsibilities, em_choice_sets
from sim.algorithms.em_log_linear import LogLinearEM, em_log_linear, responsibilities_of
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
        """log sum_k gamma_ik sigma(<theta_k, d_j>) of each answer, or of what else it is made of; (n,), nats."""
        if answers.events is not None:
            with np.errstate(divide="ignore"):
                joint = np.log(self.responsibilities[answers.annotator])
            return np.asarray(
                np.logaddexp.reduce(joint + answers.events.folded(answers.events.rows @ self.theta.T), axis=1)
            )
        return predictive_log_likelihood(self.theta, self.responsibilities, answers.differences, answers.annotator)

    def observed(self, answers: Answers) -> float:
        """sum_i log sum_k eta_k exp(S_ik), S_ik the weighted log-likelihood of annotator i's answers by type k."""
        assert answers.events is not None
        own = answers.events.folded(answers.events.rows @ self.theta.T) * answers.weights[:, None]
        totals = np.stack([np.bincount(answers.annotator, column, answers.n_annotators) for column in own.T], axis=1)
        with np.errstate(divide="ignore"):
            return float(np.logaddexp.reduce(totals + np.log(self.mixture), axis=1).sum())

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
    fitted = em_of(
        replace(answers, weights=own), n_types, ridge=ridge, restarts=restarts, max_rounds=200, tolerance=1e-6,
        centre=centre, stream=stream,
    )  # fmt: skip
    order = np.argsort(-fitted.mixture, kind="stable")
    theta, mixture = fitted.theta[order], fitted.mixture[order]
    return TypeModel(
        theta=theta,
        mixture=mixture,
        responsibilities=_posterior(theta, mixture, answers, own),
        log_likelihood=fitted.log_likelihood + constant_of(answers, own),
        ridge=ridge,
        largest_margin=fitted.largest_margin,
        restart_penalised=np.sort(fitted.restart_penalised)[::-1],
    )


def em_of(answers: Answers, n_types: int, **settings: Any) -> LogLinearEM:
    """`em_log_linear` of plain pairs, `em_choice_sets` of all other answers."""
    choices = answers.choices(numbered=True)
    if choices is not None:
        return em_choice_sets(choices, n_types, **settings)
    return em_log_linear(
        answers.differences, answers.number, len(answers.answered), n_types, weights=answers.weights, **settings
    )  # fmt: skip


def constant_of(answers: Answers, weights: FloatArray) -> float:
    """What the likelihood has beside the choices, nats."""
    return 0.0 if answers.events is None else float(weights @ answers.events.constant)


def _posterior(theta: FloatArray, mixture: FloatArray, answers: Answers, weights: FloatArray) -> FloatArray:
    choices = replace(answers, weights=weights).choices()
    if choices is not None:
        return choice_responsibilities(theta, mixture, choices)
    return responsibilities_of(theta, mixture, answers.differences, answers.annotator, answers.n_annotators, weights)
