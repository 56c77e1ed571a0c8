"""Several parties' rewards from their comparisons: with a shared subspace, apart, pooled, or the subspace known."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from sim.arguments import float_array, require_choice, require_count, require_finite, require_positive
from sim.estimators.bradley_terry import fit_bradley_terry_batch
from sim.estimators.shared_representation import fit_shared_batch
from sim.preferences import FloatArray

PartyMethod = Literal["shared", "separate", "pooled", "oracle"]
PARTY_METHODS: tuple[PartyMethod, ...] = get_args(PartyMethod)


def estimate_party_rewards(
    differences: FloatArray,
    method: PartyMethod = "shared",
    *,
    rank: int | None = None,
    subspace: FloatArray | None = None,
    ridge: float = 1e-3,
    longest: float | None = None,
    leave_one_out: bool = False,
) -> FloatArray:
    """theta of each party by penalised maximum likelihood; (B, M, d), each replicate apart.

    [arXiv 2403.05006, eq. (3)]  minimise -(1 / (M n)) sum_mi log sigma(<theta_m, x_mi>), x features of the chosen minus
    those of the rejected. (The paper's sum prints log Phi(z) for both answers; for y = 0 it must be log Phi(-z), which
    signed differences do.) The ridge, on sums over a party's answers, stands for the ball |theta_m| <= B; what is still
    longer than `longest` is shortened to it.

    differences: (B, M, n, d).  shared: theta_m = U alpha_m of the given rank, all fitted together; separate: each party
    alone; pooled: one theta for all; oracle: heads over the given `subspace`, (B, d, r) or (d, r).
    leave_one_out: party m's head over a subspace fitted without party m, so that the two are independent (the step in
    Theorem 1's proof that needs it uses the party's own answers for both).
    """
    x = np.require(differences, np.float64, ["C", "W"])
    if x.ndim != 4 or 0 in x.shape:
        raise ValueError(f"differences must be (B, parties, answers, features), none empty (got {x.shape})")
    require_choice("method", method, PARTY_METHODS)
    require_finite(differences=x)
    require_positive(ridge=ridge)
    if longest is not None:
        require_positive(longest=longest)
    B, M, n, d = x.shape
    if method == "shared":
        if rank is None:
            raise ValueError("rank must be given: a shared subspace needs it")
        theta = _leave_one_out(x, rank, ridge) if leave_one_out else fit_shared_batch(x, rank, ridge=ridge).theta
    elif method == "separate":
        theta = fit_bradley_terry_batch(x.reshape(B * M, n, d), ridge=ridge).theta.reshape(B, M, d)
    elif method == "pooled":
        own = fit_bradley_terry_batch(x.reshape(B, M * n, d), ridge=ridge).theta
        theta = np.repeat(own[:, None], M, axis=1)
    else:
        if subspace is None:
            raise ValueError("subspace must be given: the oracle needs it")
        float_array("subspace", subspace, (B, d, "r") if subspace.ndim == 3 else (d, "r"))
        theta = _heads(x, np.broadcast_to(subspace, (B, d, subspace.shape[-1])), ridge)
    if longest is not None:
        length = np.linalg.norm(theta, axis=-1, keepdims=True)
        theta = theta * np.minimum(1.0, longest / np.maximum(length, 1e-300))
    return np.ascontiguousarray(theta)


def _heads(x: FloatArray, subspace: FloatArray, ridge: float) -> FloatArray:
    """The best heads over a given subspace a replicate; (B, M, n, d), (B, d, r) -> (B, M, d)."""
    B, M, n, _ = x.shape
    projected = x @ subspace[:, None]
    heads = fit_bradley_terry_batch(projected.reshape(B * M, n, -1), ridge=ridge).theta.reshape(B, M, -1)
    return np.asarray(heads @ subspace.transpose(0, 2, 1))


def _leave_one_out(x: FloatArray, rank: int, ridge: float) -> FloatArray:
    B, M, _, d = x.shape
    if M < 2 or rank > M - 1:
        raise ValueError(f"leaving a party out leaves {M - 1}, fewer than the rank {rank}")
    theta = np.empty((B, M, d))
    for m in range(M):
        others = fit_shared_batch(np.ascontiguousarray(np.delete(x, m, axis=1)), rank, ridge=ridge).subspace
        theta[:, m] = _heads(np.ascontiguousarray(x[:, m : m + 1]), others, ridge)[:, 0]
    return theta


def estimation_rate(n: int, parties: int, d: int, rank: int, delta: float = 0.1) -> float:
    """sqrt(r^2 / n + (d r^2 log d + r log(M / delta)) / (M n)).  [arXiv 2403.05006, Theorem 1]

    Only the second group is divided by M. Its constant is not stated: calibrate it.
    """
    for name, value in (("n", n), ("parties", parties), ("d", d), ("rank", rank)):
        require_count(name, value)
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta must lie between 0 and 1 (got {delta})")
    own = rank**2 / n
    common = (d * rank**2 * np.log(d) + rank * np.log(parties / delta)) / (parties * n)
    return float(np.sqrt(own + common))
