"""Rewards bilinear in an annotator's context and an alternative's features, of any rank, from choices out of sets.

With contexts that are one-hot annotators it is a shared subspace.  One problem, by SciPy's limited-memory BFGS: sets
are many-valued, and the closed forms that make the kernels for pairs fast are those of two alternatives.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from sim.arguments import float_array, require_count, require_positive
from sim.choice_sets import ChoiceSets
from sim.preferences import FloatArray

_OPTIONS = {"maxiter": 2000, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-8}


def _loss_and_slopes(choices: ChoiceSets, rewards: FloatArray) -> tuple[float, FloatArray]:
    """-sum_e w_e log P_e and its derivative by each annotator's reward; rewards, slopes (n_annotators, d)."""
    who = choices.annotator[choices.choice_of_row]
    z = choices.offset + (choices.rows * rewards[who]).sum(axis=1)
    first, sizes = choices.starts[:-1], np.diff(choices.starts)
    low = np.minimum(np.minimum.reduceat(z, first), 0.0)
    with np.errstate(under="ignore"):
        chance = np.exp(np.repeat(low, sizes) - z)
        total = np.exp(low) + np.add.reduceat(chance, first)
    chance *= np.repeat(choices.weights / total, sizes)
    pulled = choices.rows * chance[:, None]
    slopes = [np.bincount(who, column, choices.n_annotators).astype(np.float64) for column in pulled.T]
    return float(choices.weights @ (np.log(total) - low)), -np.stack(slopes, axis=1)


def fit_full_choices(choices: ChoiceSets, contexts: FloatArray | None, *, ridge: float) -> FloatArray:
    """argmin -sum_e w_e log P_e + 0.5 ridge |Theta|_F^2 with rewards contexts @ Theta; (d_x, d).

    contexts: (n_annotators, d_x), None for one-hot annotators (Theta then holds a reward each).
    """
    require_positive(ridge=ridge)
    d = choices.rows.shape[1]
    x = None if contexts is None else float_array("contexts", contexts, (choices.n_annotators, "d_x"))
    d_x = choices.n_annotators if x is None else x.shape[1]

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        theta = flat.reshape(d_x, d)
        loss, slopes = _loss_and_slopes(choices, theta if x is None else x @ theta)
        gradient = (slopes if x is None else x.T @ slopes) + ridge * theta
        return loss + 0.5 * ridge * float(flat @ flat), gradient.ravel()

    found = minimize(objective, np.zeros(d_x * d), jac=True, method="L-BFGS-B", options=_OPTIONS)
    return np.asarray(found.x.reshape(d_x, d))


def fit_low_rank_choices(
    choices: ChoiceSets, contexts: FloatArray | None, rank: int, *, ridge: float, start: FloatArray | None = None
) -> FloatArray:
    """The same with Theta of rank at most `rank`, from the leading directions of `start` (default: the full fit).

    Theta = A B', penalised as a whole: 0.5 ridge |A B'|_F^2, which for orthonormal B is 0.5 ridge |A|_F^2.
    """
    d = choices.rows.shape[1]
    x = None if contexts is None else float_array("contexts", contexts, (choices.n_annotators, "d_x"))
    d_x = choices.n_annotators if x is None else x.shape[1]
    require_count("rank", rank, 1, min(d_x, d))
    first = fit_full_choices(choices, contexts, ridge=ridge) if start is None else start
    left, values, right = np.linalg.svd(first, full_matrices=False)
    root = np.sqrt(np.maximum(values[:rank], 1e-8))
    begin = np.concatenate([(left[:, :rank] * root).ravel(), (right[:rank].T * root).ravel()])

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        a, b = flat[: d_x * rank].reshape(d_x, rank), flat[d_x * rank :].reshape(d, rank)
        theta = a @ b.T
        loss, slopes = _loss_and_slopes(choices, theta if x is None else x @ theta)
        gradient = (slopes if x is None else x.T @ slopes) + ridge * theta
        own = np.concatenate([(gradient @ b).ravel(), (gradient.T @ a).ravel()])
        return loss + 0.5 * ridge * float((theta**2).sum()), own

    found = minimize(objective, begin, jac=True, method="L-BFGS-B", options=_OPTIONS).x
    return np.asarray(found[: d_x * rank].reshape(d_x, rank) @ found[d_x * rank :].reshape(d, rank).T)
