"""A reward an annotator: the one common to all plus what her own answers, or those of people like her, add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from sim.algorithms.choice_clusters import assign_by_choices
from sim.algorithms.em_choices import fit_choices
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.ideal_points import bend
from sim.estimators.shared_representation import fit_head
from sim.estimators.user_clusters import assign_users
from sim.fitting.prepare import Answers
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.running.threads import one_thread


@dataclass(frozen=True, eq=False)
class RewardModel:
    """theta (n_annotators, d), each annotator's reward: the pooled one plus what her own answers add.

    size: rank k, number of clusters K, or 0.  ridge: on what is added, in effective answers.  subspace (d, k) that
    departures lie in, None: all of it; departures (K, d) of clusters, their shares, and each annotator's label, -1
    without answers.  Annotators without answers have the pooled reward; with clusters, the clusters' mixture.
    represent: (n_items, d) features -> (n_items, k) of a learned representation that rewards are linear in beside them.
    unsettled: what a warning says of a descent that ended early, "" of others; of a fit at hand, not kept in folders.
    """

    centre: FloatArray
    theta: FloatArray
    size: int
    ridge: float
    subspace: FloatArray | None = None
    departures: FloatArray | None = None
    shares: FloatArray | None = None
    label: IntArray | None = None
    represent: Callable[[FloatArray], FloatArray] | None = None
    unsettled: str = ""

    def common_margins(self, answers: Answers) -> FloatArray:
        """By what is the same for everybody; (n,)."""
        return answers.margins(self.centre)

    def seen_by(self, answers: Answers) -> Answers:
        """The answers with all features that the rewards are linear in."""
        return answers if self.represent is None else answers.widened(self.represent(answers.features))

    def log_likelihood_of(self, answers: Answers) -> FloatArray:
        """log sigma(<theta_i, d_j>) of each answer; those without a cluster by the clusters' shares; (n,)."""
        if answers.events is not None:
            return self._of_events(answers)
        x, annotator = self.seen_by(answers).differences, answers.annotator
        scores = log_sigmoid((x * self.theta[annotator]).sum(axis=1))
        if self.departures is not None and self.shares is not None and self.label is not None:
            unknown = self.label[annotator] < 0
            if unknown.any():
                margins = x[unknown] @ (self.centre + self.departures).T
                scores[unknown] = _log_mixture(log_sigmoid(margins), self.shares)
        return np.asarray(scores)

    def _of_events(self, answers: Answers) -> FloatArray:
        """The same for answers that are not plain pairs."""
        events, annotator = answers.events, answers.annotator
        assert events is not None
        scores = events.folded((events.rows * self.theta[annotator[events.answer_of_row]]).sum(axis=1))
        if self.departures is not None and self.shares is not None and self.label is not None:
            unknown = self.label[annotator] < 0
            if unknown.any():
                own = events.of(unknown)
                margins = own.rows @ (self.centre + self.departures).T
                scores[unknown] = _log_mixture(own.folded(margins), self.shares)
        return scores

    # Threads of BLAS would spin between one annotator's few answers and the next one's.
    @one_thread()
    def with_heads(self, answers: Answers) -> RewardModel:
        """Departures in the subspace from each annotator's own answers, with the model's ridge; none without answers.

        [arXiv 2405.00254, Algorithm 2]
        """
        theta = np.tile(self.centre, (answers.n_annotators, 1))
        if not len(answers):
            return replace(self, theta=theta)
        basis, choices = self.subspace, answers.choices()
        if choices is not None:
            basis = np.eye(len(self.centre)) if basis is None else basis
            for i, own in choices.projected(basis, choices.rows @ self.centre).by_annotator():
                theta[i] += basis @ fit_choices(own, ridge=self.ridge, mass_scaled=False)
            return replace(self, theta=theta)
        seen = self.seen_by(answers)
        offset = seen.margins(self.centre)
        for i in answers.answered:
            rows = answers.of(i)
            head = fit_head(
                seen.differences[rows], basis, weights=answers.weights[rows], offset=offset[rows], ridge=self.ridge
            )
            theta[i] += head if basis is None else basis @ head
        return replace(self, theta=theta)

    def with_clusters(self, answers: Answers) -> RewardModel:
        """The cluster whose reward explains each annotator's answers best; [arXiv 2405.00254, Algorithm 3]."""
        assert self.departures is not None
        theta, label = np.tile(self.centre, (answers.n_annotators, 1)), np.full(answers.n_annotators, -1)
        if len(answers):
            found = self._best_clusters(answers)
            own = answers.answered
            label[own] = found[own]
            theta[own] += self.departures[found[own]]
        return replace(self, theta=theta, label=label)

    def _best_clusters(self, answers: Answers) -> IntArray:
        """The cluster that explains each annotator's answers best; (n_annotators,)."""
        assert self.departures is not None
        choices = answers.choices(centre=self.centre)
        if choices is not None:
            return assign_by_choices(self.departures, choices)
        return assign_users(
            self.departures, answers.differences, answers.annotator, answers.n_annotators,
            weights=answers.weights, offset=answers.margins(self.centre),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class IdealPointModel(RewardModel):
    """-|A phi - z_i|^2 + <centre, phi> up to a constant: <theta_i, phi> - |A phi|^2, theta_i = centre + 2 A' z_i, of
    plain pairs.  map: A, (m, d); departures: 2 A' p_k of the prototypes."""

    map: FloatArray = field(kw_only=True)

    def log_likelihood_of(self, answers: Answers) -> FloatArray:
        linear = (answers.differences * self.theta[answers.annotator]).sum(axis=1)
        with np.errstate(invalid="ignore"):  # nan, of two items that are both too far outside to be squared
            return np.asarray(log_sigmoid(linear + self._bent(answers)))

    def common_margins(self, answers: Answers) -> FloatArray:
        return super().common_margins(answers) + self._bent(answers)

    def _bent(self, answers: Answers) -> FloatArray:
        common = bend(self.map, answers.features)
        with np.errstate(invalid="ignore"):
            return np.asarray(common[answers.chosen] - common[answers.rejected])


def _log_mixture(log_chance: FloatArray, shares: FloatArray) -> FloatArray:
    """log sum_c shares_c e^log_chance_c of each row; (n, K), (K,) -> (n,)."""
    chance = np.exp(log_chance) @ shares
    tiny = chance < 1e-290
    if not tiny.any():
        return np.asarray(np.log(chance))
    # The sum has underflowed, or is about to: margins reach hundreds where features are far outside the fit's.
    with np.errstate(divide="ignore"):
        far = np.logaddexp.reduce(log_chance + np.log(shares), axis=1)
        return np.where(tiny, far, np.log(chance))


def pooled_reward(answers: Answers, ridge: float) -> FloatArray:
    """One reward for everybody; (d,)."""
    choices = answers.choices()
    if choices is not None:
        return fit_choices(choices, ridge=ridge)
    return fit_bradley_terry(answers.differences, answers.weights, ridge=ridge, mass_scaled=True).theta
