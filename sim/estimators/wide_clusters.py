"""Clusters of annotators by rewards of many features: the objective of `cluster_users`, without a Hessian.

    F(theta) = sum_i min_c L_i(theta_c) + 0.5 ridge sum_c |theta_c|^2

Annotators go to their best cluster after every step of conjugate gradients on the clusters' rewards, not only when
these are at their optimum: each of both lowers F, and the end is the same kind of point, where nobody moves and every
reward is the optimum of its annotators. A step costs two passes over all answers, whatever the number of clusters.
"""

from __future__ import annotations

import numpy as np

from sim.compiled import wide_answers
from sim.estimators.answer_spectrum import AnswerSpectrum
from sim.estimators.wide_subspace import WideAnswers, in_threes
from sim.preferences import FloatArray, IntArray

_MOST_STEPS = 500


class WideClusters:
    """One start: theta (K, d), label (N,), trace of -F; `run` goes on until a step would gain less than asked for."""

    def __init__(self, answers: WideAnswers, spectrum: AnswerSpectrum, ridge: float, theta: FloatArray) -> None:
        self.answers, self.spectrum, self.ridge, self.theta = answers, spectrum, ridge, theta
        sizes = np.diff(answers.starts)
        self._answered = np.flatnonzero(sizes)
        self._person = np.repeat(np.arange(len(self._answered)), sizes[self._answered])
        self._edges = np.append(answers.starts[:-1][self._answered], len(answers.weight))
        self._rows = np.arange(len(answers.weight))
        self.mass = float(answers.weight.sum())
        self.label: IntArray = np.zeros(len(sizes), dtype=np.int64)
        self.trace: list[float] = []

    @property
    def objective(self) -> float:
        return self.trace[-1]

    def run(self, tolerance: float) -> WideClusters:
        """tolerance: on g' P^-1 g, about twice what is left to gain, nats a unit of weight; P the clusters' shares of
        all answers' second moments, with their ridge."""
        K = len(self.theta)
        margins = self._along(self.theta) + self.answers.offset
        direction, before, labels = np.zeros_like(self.theta), np.zeros(K), np.full(len(self._answered), -1)
        kept = np.zeros_like(self.theta)
        for _ in range(_MOST_STEPS):
            losses = self.answers.weight * np.logaddexp(0.0, -margins)
            own_losses = np.add.reduceat(losses, self._edges[:-1], axis=1)
            found = own_losses.argmin(axis=0)
            moved = np.unique(np.concatenate([labels[found != labels], found[found != labels]]))
            labels, cluster = found, found[self._person]
            loss = own_losses[found, np.arange(len(found))].sum() + 0.5 * self.ridge * (self.theta**2).sum()
            self.trace.append(-float(loss))
            z = margins[cluster, self._rows]
            gradient, turned = self._gradient(z, labels)
            now = (gradient * turned).sum(axis=1)
            if not len(moved) and now.sum() <= tolerance * self.mass:
                break
            # Polak and Ribiere; afresh where annotators came or went.
            keep = np.maximum(0.0, (turned * (gradient - kept)).sum(axis=1)) / np.maximum(before, 1e-300)
            keep[moved[moved >= 0]] = 0.0
            keep[before == 0.0] = 0.0
            direction = keep[:, None] * direction - turned
            kept, before = gradient, now
            along = self._along(direction)
            length = self._length(z, along[cluster, self._rows], cluster, direction)
            self.theta = self.theta + length[:, None] * direction
            margins += along * length[:, None]
        self.label[self._answered] = labels
        return self

    def _along(self, vectors: FloatArray) -> FloatArray:
        """<vectors_c, x_j>, (K, n)."""
        K, d = vectors.shape
        padded, out = np.zeros((in_threes(K), d)), np.empty((in_threes(K), len(self._rows)))
        padded[:K] = vectors
        wide_answers.margins_along(self.answers.rows, padded, out)
        return out[:K]

    def _gradient(self, z: FloatArray, labels: IntArray) -> tuple[FloatArray, FloatArray]:
        """(g, P^-1 g), (K, d) both; a cluster without annotators keeps its reward."""
        K, weight, cluster = len(self.theta), self.answers.weight, labels[self._person]
        right = 1.0 / (1.0 + np.exp(-z))
        gradient = np.empty_like(self.theta)
        wide_answers.gradient_by_group(self.answers.rows, self._edges, labels, -weight * (1.0 - right), gradient)
        gradient += self.ridge * self.theta
        filled = np.bincount(cluster, weights=weight, minlength=K) > 0
        gradient[~filled] = 0.0
        curved = np.bincount(cluster, weights=weight * right * (1.0 - right), minlength=K) / self.mass
        scale = curved[:, None] * self.spectrum.values + self.ridge
        return gradient, ((gradient @ self.spectrum.vectors) / scale) @ self.spectrum.vectors.T

    def _length(self, z: FloatArray, along: FloatArray, cluster: IntArray, direction: FloatArray) -> FloatArray:
        """(K,) how far each cluster goes along its direction: Newton on a convex function of one number, halved until
        the loss is lower."""
        K, weight, ridge = len(self.theta), self.answers.weight, self.ridge
        cross, square = (self.theta * direction).sum(axis=1), (direction**2).sum(axis=1)

        def of(values: FloatArray) -> FloatArray:
            return np.asarray(np.bincount(cluster, weights=values, minlength=K), dtype=np.float64)

        def losses(length: FloatArray) -> FloatArray:
            own = of(weight * np.logaddexp(0.0, -(z + length[cluster] * along)))
            return np.asarray(own + ridge * (length * cross + 0.5 * length**2 * square))

        length, first = np.zeros(K), losses(np.zeros(K))
        for _ in range(3):
            right = 1.0 / (1.0 + np.exp(-(z + length[cluster] * along)))
            slope = of(-weight * (1.0 - right) * along) + ridge * (cross + length * square)
            curved = of(weight * right * (1.0 - right) * along**2) + ridge * square
            length = length - slope / np.maximum(curved, 1e-300)
        for _ in range(60):
            worse = losses(length) > first
            if not worse.any():
                return length
            length = np.where(worse, 0.5 * length, length)
        return np.where(losses(length) > first, 0.0, length)
