"""Choices among several alternatives as arrays, and the conditional logit's likelihood of them.

A row is the features of the chosen alternative minus those of another one of its set; the chosen one itself has none.
A pair is a set of one row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.arguments import float_array, index_array, require_count, weight_array
from sim.choice_sets import ChoiceSets
from sim.preferences import FloatArray


def choice_panel(
    *, rows: Any, starts: Any, annotator: Any, n_annotators: int | None = None, weights: Any = None
) -> ChoiceSets:
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
    return ChoiceSets(np.ascontiguousarray(own), begins, who, count, counted, np.zeros(len(own)))


def pair_panel(*, differences: Any, annotator: Any, n_annotators: int | None = None, weights: Any = None) -> ChoiceSets:
    """Pairs as sets of one row.  differences: (n, d), features of the chosen minus those of the rejected."""
    own = float_array("differences", differences, ("n", "d"))
    return choice_panel(
        rows=own, starts=np.arange(len(own) + 1), annotator=annotator, n_annotators=n_annotators, weights=weights
    )


def log_probabilities(theta: FloatArray, sets: ChoiceSets) -> tuple[FloatArray, FloatArray]:
    """(log P of each choice (E,), the chance of each row's alternative (m,)), theta (d,).

    log P_e = -log(1 + sum_j exp(-o_j - <theta, row_j>)), o margins given from elsewhere; a row's alternative has chance
    exp(-o_j - <theta, row_j>) P_e.
    """
    others = -(sets.offset + sets.rows @ theta)
    firsts, sizes = sets.starts[:-1], np.diff(sets.starts)
    # The chosen one has utility 0: nothing overflows once the largest of the set is taken out.
    top = np.maximum(np.maximum.reduceat(others, firsts), 0.0)
    mass = np.exp(others - np.repeat(top, sizes))
    total = np.exp(-top) + np.add.reduceat(mass, firsts)
    return -(top + np.log(total)), mass / np.repeat(total, sizes)


def choice_scores(theta: FloatArray, sets: ChoiceSets) -> FloatArray:
    """(E, d) gradients of log P_e by theta, unweighted: sum_j p_j row_j."""
    _, chance = log_probabilities(theta, sets)
    return np.asarray(np.add.reduceat(chance[:, None] * sets.rows, sets.starts[:-1], axis=0))


def annotator_scores(theta: FloatArray, sets: ChoiceSets) -> FloatArray:
    """(n_annotators, d) weighted scores, summed over each annotator's choices."""
    own = np.zeros((sets.n_annotators, sets.rows.shape[1]))
    np.add.at(own, sets.annotator, sets.weights[:, None] * choice_scores(theta, sets))
    return own


def derivatives(theta: FloatArray, sets: ChoiceSets) -> tuple[float, FloatArray, FloatArray]:
    """(log-likelihood, gradient (d,), information (d, d) = minus the Hessian), weighted."""
    log_chosen, chance = log_probabilities(theta, sets)
    weighted = chance * np.repeat(sets.weights, np.diff(sets.starts))
    means = np.add.reduceat(chance[:, None] * sets.rows, sets.starts[:-1], axis=0)
    gradient = sets.weights @ means
    information = (weighted[:, None] * sets.rows).T @ sets.rows - (sets.weights[:, None] * means).T @ means
    return float(sets.weights @ log_chosen), gradient, information
