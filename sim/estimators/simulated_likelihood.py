"""The simulated likelihood of choices by people whose coefficients are their own, and the units to search it in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.choice_sets import ChoiceSets
from sim.compiled.structs import PanelChoices
from sim.preferences import FloatArray, IntArray

# Part of the conditional logit's information below which scores that happen to cancel are no measure of it.
_CANCELLED = 1e-4


def free_entries(q: int, correlated: bool) -> tuple[IntArray, IntArray]:
    """Rows and columns of the factor's entries that are parameters, row by row."""
    if correlated:
        rows, columns = np.tril_indices(q)
        return np.asarray(rows), np.asarray(columns)
    return np.arange(q), np.arange(q)


@dataclass(frozen=True, eq=False)
class SimulatedLikelihood:
    """sum_i log (1/R) sum_r prod_{e of i} P_e(mean + L eps_ir)^w_e, as a function of parameters (p,).

    sets: choices as given, each person's together.  draws (N, q, R).  information (p,): of each parameter's
    coefficient, the conditional logit's, against which scores are held; None: against nothing.
    """

    sets: ChoiceSets
    people: IntArray
    random: IntArray
    correlated: bool
    draws: FloatArray
    information: FloatArray | None = None

    def split(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(mean (d,), factor (q, q))."""
        d, q = self.sets.rows.shape[1], len(self.random)
        factor = np.zeros((q, q))
        factor[free_entries(q, self.correlated)] = parameters[d:]
        return parameters[:d], factor

    def by_person(self, parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """(log-likelihood (N,), scores (N, p), conditional means (N, d))."""
        from sim.compiled.simulated_logit import simulate

        mean, factor = self.split(parameters)
        (N, q, _), d = self.draws.shape, len(mean)
        loadings = np.zeros((d, q))
        loadings[self.random] = factor
        values, scores, centres = np.empty(N), np.empty((N, d + d * q)), np.empty((N, q))
        choices = PanelChoices(self.sets.rows, self.sets.starts, self.people, self.sets.weights)
        simulate(choices, np.ascontiguousarray(mean), loadings, self.draws, values, scores, centres)
        rows, columns = free_entries(q, self.correlated)
        kept = np.concatenate([np.arange(d), d + self.random[rows] * q + columns])
        return values, scores[:, kept], mean + centres @ loadings.T

    def value(self, parameters: FloatArray) -> tuple[float, FloatArray]:
        """(log-likelihood, gradient (p,))."""
        values, scores, _ = self.by_person(parameters)
        return float(values.sum()), scores.sum(axis=0)


def whitening(scores: FloatArray, information: FloatArray | None) -> FloatArray:
    """C with C C' the inverse of scores' scores, directions without any variation left as long as the shortest.

    Of a coefficient that one person's choices alone decide, and of a deviation near 0, scores are about 0 whatever is
    known of it: they count as a part of the conditional logit's information (p,) at least.
    """
    own = (scores**2).sum(axis=0)
    least = np.zeros(len(own)) if information is None else _CANCELLED * information
    scale = np.maximum(np.sqrt(np.maximum(own, least)), 1e-300)
    outer = (scores / scale).T @ (scores / scale)
    values, vectors = np.linalg.eigh(outer + np.diag(np.maximum(least - own, 0.0) / scale**2))
    return np.asarray(vectors / np.sqrt(np.maximum(values, 1e-8 * values[-1])) / scale[:, None])
