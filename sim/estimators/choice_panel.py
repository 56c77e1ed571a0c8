"""Choices among several alternatives as arrays, and the conditional logit's likelihood of them.

A row is the features of the chosen alternative minus those of another one of its set; the chosen one itself has none.
A pair is a set of one row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.arguments import float_array, index_array, require_count, weight_array
from sim.preferences import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class ChoicePanel:
    """rows (m, d), those of choice e at starts[e]:starts[e + 1]; starts (E + 1,); annotator (E,) in
    0..n_annotators-1; weights (E,)."""

    rows: FloatArray
    starts: IntArray
    annotator: IntArray
    n_annotators: int
    weights: FloatArray

    @property
    def n_choices(self) -> int:
        return len(self.annotator)

    @property
    def answered(self) -> IntArray:
        """Annotators with a choice of positive weight: what clusters are counted by."""
        return np.unique(self.annotator[self.weights > 0])

    def by_annotator(self) -> tuple[ChoicePanel, IntArray]:
        """The same choices, an annotator's next to each other, and where each annotator's begin (n_annotators + 1,)."""
        order = np.argsort(self.annotator, kind="stable")
        sizes = np.diff(self.starts)[order]
        starts = np.concatenate(([0], np.cumsum(sizes)))
        places = np.arange(starts[-1]) + np.repeat(self.starts[:-1][order] - starts[:-1], sizes)
        people = np.concatenate(([0], np.cumsum(np.bincount(self.annotator, minlength=self.n_annotators))))
        rows, annotator = np.ascontiguousarray(self.rows[places]), self.annotator[order]
        return ChoicePanel(rows, starts, annotator, self.n_annotators, self.weights[order]), people


def choice_panel(
    *, rows: Any, starts: Any, annotator: Any, n_annotators: int | None = None, weights: Any = None
) -> ChoicePanel:
    """Checked arrays; n_annotators None: one more than the largest.  Errors: ValueError that names the argument."""
    own = float_array("rows", rows, ("m", "d"))
    if own.size == 0:
        raise ValueError(f"rows must not be empty (got {own.shape})")
    begins = index_array("starts", starts, len(own) + 1)
    if begins.ndim != 1 or len(begins) < 2 or begins[0] != 0 or begins[-1] != len(own) or np.diff(begins).min() < 1:
        raise ValueError(f"starts must rise from 0 to the {len(own)} rows, at least one row a choice (got {starts!r})")
    if n_annotators is not None:
        require_count("n_annotators", n_annotators)
    who = index_array("annotator", annotator, n_annotators)
    if who.shape != (len(begins) - 1,):
        raise ValueError(f"annotator must be ({len(begins) - 1},), one a choice (got {who.shape})")
    count = int(who.max()) + 1 if n_annotators is None else int(n_annotators)
    counted = weight_array("weights", weights, len(who))
    if not counted.any():
        raise ValueError("weights must not all be zero; nothing would be counted")
    return ChoicePanel(np.ascontiguousarray(own), begins, who, count, counted)


def pair_panel(
    *, differences: Any, annotator: Any, n_annotators: int | None = None, weights: Any = None
) -> ChoicePanel:
    """Pairs as sets of one row.  differences: (n, d), features of the chosen minus those of the rejected."""
    own = float_array("differences", differences, ("n", "d"))
    return choice_panel(
        rows=own, starts=np.arange(len(own) + 1), annotator=annotator, n_annotators=n_annotators, weights=weights
    )


def log_probabilities(theta: FloatArray, sets: ChoicePanel) -> tuple[FloatArray, FloatArray]:
    """(log P of each choice (E,), the chance of each row's alternative (m,)), theta (d,).

    log P_e = -log(1 + sum_j exp(-<theta, row_j>)); a row's alternative has chance exp(-<theta, row_j>) P_e.
    """
    others = -(sets.rows @ theta)
    firsts, sizes = sets.starts[:-1], np.diff(sets.starts)
    # The chosen one has utility 0: nothing overflows once the largest of the set is taken out.
    top = np.maximum(np.maximum.reduceat(others, firsts), 0.0)
    mass = np.exp(others - np.repeat(top, sizes))
    total = np.exp(-top) + np.add.reduceat(mass, firsts)
    return -(top + np.log(total)), mass / np.repeat(total, sizes)


def choice_scores(theta: FloatArray, sets: ChoicePanel) -> FloatArray:
    """(E, d) gradients of log P_e by theta, unweighted: sum_j p_j row_j."""
    _, chance = log_probabilities(theta, sets)
    return np.asarray(np.add.reduceat(chance[:, None] * sets.rows, sets.starts[:-1], axis=0))


def annotator_scores(theta: FloatArray, sets: ChoicePanel) -> FloatArray:
    """(n_annotators, d) weighted scores, summed over each annotator's choices."""
    own = np.zeros((sets.n_annotators, sets.rows.shape[1]))
    np.add.at(own, sets.annotator, sets.weights[:, None] * choice_scores(theta, sets))
    return own


def derivatives(theta: FloatArray, sets: ChoicePanel) -> tuple[float, FloatArray, FloatArray]:
    """(log-likelihood, gradient (d,), information (d, d) = minus the Hessian), weighted."""
    log_chosen, chance = log_probabilities(theta, sets)
    weighted = chance * np.repeat(sets.weights, np.diff(sets.starts))
    means = np.add.reduceat(chance[:, None] * sets.rows, sets.starts[:-1], axis=0)
    gradient = sets.weights @ means
    information = (weighted[:, None] * sets.rows).T @ sets.rows - (sets.weights[:, None] * means).T @ means
    return float(sets.weights @ log_chosen), gradient, information
