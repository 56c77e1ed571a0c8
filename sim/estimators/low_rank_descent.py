"""First-order methods on the factors of a low-rank reward, whose iterates the theory speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sim.arguments import float_array, require_choice, require_count, require_not_negative, require_positive
from sim.compiled import descent as descent_kernels
from sim.compiled.structs import BilinearAnswers, Factors, Limits
from sim.compiled.tiles import padded
from sim.estimators.bradley_terry import FitStatus
from sim.estimators.full_rank import fit_full_rank
from sim.estimators.low_rank_problem import (
    LowRankFit,
    Start,
    as_rows,
    checked,
    checked_offset,
    checked_weights,
    require_limits,
    require_rank,
    spectral_start,
)
from sim.preferences import FloatArray

Kind = Literal["gradient", "scaled"]


@dataclass(frozen=True, eq=False)
class Descent:
    """left (d_x, r), right (d_phi, r), Theta = left right'; losses (T + 1,), the mean loss at the start and after each
    round; largest: entry of the last gradient by the factors. status: STALLED where the iterates overflowed."""

    left: FloatArray
    right: FloatArray
    losses: FloatArray
    largest: float
    status: FitStatus

    @property
    def theta(self) -> FloatArray:
        return np.asarray(self.left @ self.right.T)

    @property
    def imbalance(self) -> float:
        """|left' left - right' right|_F."""
        return float(np.linalg.norm(self.left.T @ self.left - self.right.T @ self.right))


def balanced_factors(theta: FloatArray, rank: int) -> tuple[FloatArray, FloatArray]:
    """(U_r S_r^(1/2), V_r S_r^(1/2)), the balanced factors of the best approximation of that rank."""
    theta = float_array("theta", theta, ("d_x", "d_phi"))
    u, s, vt = np.linalg.svd(theta, full_matrices=False)
    require_count("rank", rank, 1, len(s))
    root = np.sqrt(s[:rank])
    return u[:, :rank] * root, vt[:rank].T * root


def descend(
    contexts: FloatArray,
    differences: FloatArray,
    left: FloatArray,
    right: FloatArray,
    *,
    kind: Kind = "gradient",
    balance: float = 0.5,
    step: float = 1.0,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 0.0,
    tolerance: float = 1e-8,
    max_rounds: int = 5000,
) -> Descent:
    """Alternating gradient steps on A, then B with the new A, for F(A, B) = L_n(A B') + (c / 4) |A'A - B'B|_F^2.

    [arXiv 2412.19436 names the factorisation; step, balance and start reconstructed]
    grad_A F = G B + c A (A'A - B'B), grad_B F = G'A - c B (A'A - B'B), G the gradient of L_n.
    gradient: A <- A - eta grad_A, eta = step / (2 M s_1), M = lmax(Sx) lmax(Sz) / 4, s_1 of the start; c = balance M.
    scaled: A <- A - (step / M) G B (B'B)^-1 and likewise B, without c.
    Stops when |Theta_{t+1} - Theta_t|_F <= tolerance |Theta_t|_F, or where an iterate overflows.
    """
    x, z = checked(contexts, differences)
    n, d_x, d_phi = *x.shape, z.shape[1]
    left = float_array("left", left, (d_x, "r"))
    right = float_array("right", right, (d_phi, left.shape[1]))
    require_choice("kind", kind, ("gradient", "scaled"))
    require_positive(step=step)
    require_not_negative(balance=balance)
    require_limits(ridge, tolerance, max_rounds=max_rounds)
    own, margin = checked_weights(weights, n), checked_offset(offset, n)
    mass = float(own.sum())
    smooth = 0.25 * float(np.linalg.norm((x.T * own) @ x / mass, 2) * np.linalg.norm((z.T * own) @ z / mass, 2))
    largest_value = float(np.linalg.norm(left @ right.T, 2))
    # From zero factors no length of step is too long: the gradient is exactly zero there.
    eta = step / smooth if kind == "scaled" else 0.5 * step / (smooth * max(largest_value, 1e-300))
    rows_left, rows_right = np.zeros((left.shape[1], padded(d_x))), np.zeros((left.shape[1], padded(d_phi)))
    rows_left[:, :d_x], rows_right[:, :d_phi] = left.T, right.T
    losses = np.empty(max_rounds + 1)
    # The weighted sum also for weights of one: the shorter one ends in other last digits.
    answers = BilinearAnswers(as_rows(x), as_rows(z), own, margin, n, mass, False, 0)
    rounds, largest, status = descent_kernels.descend(
        answers, Limits(float(ridge), float(tolerance), max_rounds), kind == "scaled", float(eta),
        float(balance * smooth) if kind == "gradient" else 0.0, Factors(rows_left, rows_right), losses,
    )  # fmt: skip
    return Descent(
        rows_left[:, :d_x].T.copy(), rows_right[:, :d_phi].T.copy(), losses[: rounds + 1].copy(), float(largest),
        FitStatus(status),
    )  # fmt: skip


def fit_by_descent(
    contexts: FloatArray, differences: FloatArray, rank: int, *, kind: Kind, weights: FloatArray, offset: FloatArray,
    ridge: float, start: Start | FloatArray, tolerance: float, max_rounds: int,
) -> LowRankFit:  # fmt: skip
    """`fit_low_rank` by `descend` with its default step and balance; `tolerance` is on the change of Theta here."""
    require_rank(rank, contexts.shape[1], differences.shape[1])
    if isinstance(start, str):
        first = (
            spectral_start(contexts, differences)
            if start == "spectral"
            else fit_full_rank(contexts, differences, weights=weights, offset=offset, ridge=max(ridge, 1e-6)).theta
        )
    else:
        first = start
    left, right = balanced_factors(first, rank)
    found = descend(
        contexts, differences, left, right, kind=kind, weights=weights, offset=offset, ridge=ridge,
        tolerance=tolerance, max_rounds=max_rounds,
    )  # fmt: skip
    margins = offset + ((contexts @ found.theta) * differences).sum(axis=1)
    loss = float(found.losses[-1] + 0.5 * ridge * (found.theta**2).sum())
    return LowRankFit(
        found.theta, rank, loss, found.largest, len(found.losses) - 1, found.status,
        bool((margins[weights > 0] > 0).all()),
    )  # fmt: skip
