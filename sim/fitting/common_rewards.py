"""What is the same for everybody: one reward on features, and how often an item wins; chosen on whole people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from sim.files.pair_table import PairTable
from sim.fitting.low_rank_choice import FOLDS
from sim.fitting.method import Candidate
from sim.fitting.prepare import Prepared
from sim.fitting.reward_model import pooled_reward
from sim.fitting.splits import effective_weights
from sim.likelihoods import log_sigmoid
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.weighted_means import joined, mean_of

STRENGTH_RIDGES = (0.3, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
POOLED_RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def strengths_of(chosen: IntArray, rejected: IntArray, weight: FloatArray, n: int, ridge: float) -> FloatArray:
    """Bradley-Terry strength of each of n items, one for everybody, shrunk to zero; (n,).

    argmin sum_j w_j log(1 + e^(s_rejected - s_chosen)) + 0.5 ridge |s|^2.
    """

    def objective(strength: FloatArray) -> tuple[float, FloatArray]:
        u = strength[chosen] - strength[rejected]
        slope = -weight * np.exp(log_sigmoid(-u))
        gradient = np.bincount(chosen, slope, n) - np.bincount(rejected, slope, n) + ridge * strength
        return float(-(weight * log_sigmoid(u)).sum() + 0.5 * ridge * strength @ strength), gradient

    return np.asarray(minimize(objective, np.zeros(n), jac=True, method="L-BFGS-B").x)


def item_strengths(table: PairTable, rows: BoolArray, ridge: float) -> FloatArray:
    """`strengths_of` the masked answers with their effective weights; (n_items,)."""
    weight = effective_weights(table, rows)[rows]
    return strengths_of(table.chosen[rows], table.rejected[rows], weight, len(table.items), ridge)


def choose_strengths(prepared: Prepared, fold: IntArray) -> Candidate:
    """The ridge of `item_strengths` that serves held-out training people best."""

    def margins(ridge: float, kept: BoolArray) -> FloatArray:
        return advantages(prepared.table, item_strengths(prepared.table, kept, ridge))

    return _choose("popularity", STRENGTH_RIDGES, margins, prepared, fold)


def choose_pooled(prepared: Prepared, fold: IntArray) -> Candidate:
    """The ridge of one reward on features for all that serves held-out training people best."""

    def margins(ridge: float, kept: BoolArray) -> FloatArray:
        return np.asarray(prepared.differences @ pooled_reward(prepared.answers(kept), ridge))

    return _choose("pooled", POOLED_RIDGES, margins, prepared, fold)


def _choose(
    method: Literal["popularity", "pooled"],
    ridges: tuple[float, ...],
    margins: Callable[[float, BoolArray], FloatArray],
    prepared: Prepared,
    fold: IntArray,
) -> Candidate:
    """The ridge, and its mean log-likelihood; margins: (ridge, answers to fit) -> (n,) margins of all answers."""
    own = np.where(prepared.train, fold[prepared.annotator], -1)
    if len(np.unique(own[own >= 0])) < FOLDS:
        return Candidate(method, 0, ridges[len(ridges) // 2 - 1], float("nan"))
    means, rows = {}, [own == number for number in range(FOLDS)]
    weights = joined([prepared.given_weights(part) for part in rows])
    for ridge in ridges:
        scores = [log_sigmoid(margins(ridge, (own >= 0) & ~part)[part]) for part in rows]
        means[ridge] = mean_of(np.concatenate(scores), weights)
    best = max(means, key=lambda ridge: means[ridge])
    return Candidate(method, 0, best, means[best])


def advantages(table: PairTable, strength: FloatArray) -> FloatArray:
    """Strength of the chosen item minus that of the rejected; (n,)."""
    return np.asarray(strength[table.chosen] - strength[table.rejected])


def crossed_advantages(prepared: Prepared, ridge: float, fold: IntArray) -> FloatArray:
    """`advantages` of training answers by the answers of other folds' people, of all others by all training answers.

    An item's strength from the very answer it is to explain is too good: what is fitted on top would learn to trust
    it more than it may where the item is new.
    """
    table = prepared.table
    found = advantages(table, item_strengths(table, prepared.train, ridge))
    own = np.where(prepared.train, fold[prepared.annotator], -1)
    if len(np.unique(own[own >= 0])) < FOLDS:
        return found
    for number in range(FOLDS):
        others = advantages(table, item_strengths(table, (own >= 0) & (own != number), ridge))
        found[own == number] = others[own == number]
    return found
