"""Rewards that share a subspace: r_i(tau) = <U' phi(tau), v_i>, all users' heads and the subspace fitted together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sim.compiled import heads as heads_kernels
from sim.compiled import shared as shared_kernels
from sim.compiled.structs import Answers, Limits
from sim.compiled.tiles import padded, row_length
from sim.estimators.bradley_terry import FitStatus
from sim.preferences import FloatArray, IntArray


class SharedRewards(Protocol):
    """Rewards over a representation all users share: linear here, a network in `llm.shared_network`."""

    @property
    def heads(self) -> FloatArray: ...

    @property
    def represent(self) -> Callable[[FloatArray], FloatArray]:
        """features (M, d) -> psi (M, k)."""
        ...

    def rewards(self, features: FloatArray) -> FloatArray:
        """(N, M)."""
        ...


@dataclass(frozen=True, eq=False)
class SharedFit:
    """subspace (d, k) with orthonormal columns, heads (N, k); rounds, penalised loss (nats), status.

    decrement: about what another round could still gain, nats.
    """

    subspace: FloatArray
    heads: FloatArray
    rounds: int
    loss: float
    decrement: float
    status: FitStatus

    @property
    def theta(self) -> FloatArray:
        """Each user's reward in the features' coordinates, U v_i; (N, d)."""
        return self.heads @ self.subspace.T

    def represent(self, features: FloatArray) -> FloatArray:
        """psi(phi) = U' phi of each row; (M, k)."""
        return np.asarray(features @ self.subspace)

    def rewards(self, features: FloatArray) -> FloatArray:
        """r_i(tau) = <psi(phi(tau)), v_i>; (N, M)."""
        return np.asarray(self.heads @ self.represent(features).T)


@dataclass(frozen=True, eq=False)
class SharedBatch:
    """The same for B replicates: subspace (B, d, k), heads (B, N, k), and (B,) each."""

    subspace: FloatArray
    heads: FloatArray
    rounds: IntArray
    loss: FloatArray
    decrement: FloatArray
    status: IntArray

    @property
    def theta(self) -> FloatArray:
        return np.asarray(self.heads @ self.subspace.transpose(0, 2, 1))


def fit_shared(
    differences: FloatArray,
    user: IntArray,
    n_users: int,
    rank: int,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1e-3,
    tolerance: float = 1e-9,
    max_rounds: int = 200,
    start: FloatArray | None = None,
) -> SharedFit:
    """Maximise sum_ij w_ij log sigma(o_ij + <U' x_ij, v_i>) - 0.5 ridge sum_i |v_i|^2 over U'U = I and V.

    [arXiv 2405.00254, Algorithm 1, step 1]  The ridge stands for the paper's ball |v_i| <= B, which it is the
    Lagrangian of. differences: (n, d), features of the chosen minus those of the rejected.  user: (n,).  offset: (n,)
    margins given from elsewhere (a pooled fit), reward units.  start: (d, k); default the leading directions of the
    users' scores at zero, whitened.  Users without answers keep a head of zero.

    Newton on the profiled loss min_V over the Grassmann manifold, with halving and, where the Hessian is not positive,
    damping: a local optimum, as any method for this problem.  Stops when a round would gain less than tolerance nats a
    unit of weight.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if differences.ndim != 2 or 0 in differences.shape:
        raise ValueError(f"differences must be (answers, features), none empty (got {differences.shape})")
    n, d = differences.shape
    user = np.asarray(user)
    if user.shape != (n,) or (n and (user.min() < 0 or user.max() >= n_users)):
        raise ValueError(f"user must hold {n} numbers from 0 to {n_users - 1}")
    _require(rank, d, n_users, ridge)
    order = np.argsort(user, kind="stable")
    starts = np.searchsorted(user[order], np.arange(n_users + 1))
    features = np.zeros((padded(d), row_length(n)))
    features[:d, :n] = differences[order].T
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)[order]
    margin = np.zeros(n) if offset is None else np.asarray(offset, dtype=np.float64)[order]
    subspace, heads = np.zeros((rank, padded(d))), np.zeros((n_users, rank))
    if start is not None:
        if start.shape != (d, rank):
            raise ValueError(f"start must be ({d}, {rank}) (got {start.shape})")
        subspace[:, :d] = start.T
    limits = Limits(float(ridge), float(tolerance), max_rounds)
    rounds, loss, decrement, status = shared_kernels.fit_shared(
        Answers(features, weight, margin), starts, limits, start is not None, subspace, heads
    )
    return SharedFit(subspace[:, :d].T.copy(), heads, int(rounds), float(loss), float(decrement), FitStatus(status))


def fit_shared_batch(
    differences: FloatArray, rank: int, *, ridge: float = 1e-3, tolerance: float = 1e-9, max_rounds: int = 200
) -> SharedBatch:
    """`fit_shared` on B replicates at once, parallel over replicates; differences (B, N, Np, d), unweighted."""
    differences = np.require(differences, np.float64, ["C", "W"])
    if differences.ndim != 4 or 0 in differences.shape[1:]:
        raise ValueError(f"differences must be (B, users, answers, features), none empty (got {differences.shape})")
    B, N, per_user, d = differences.shape
    _require(rank, d, N, ridge)
    subspace, heads = np.zeros((B, rank, padded(d))), np.zeros((B, N, rank))
    rounds, status = np.empty(B, np.int64), np.empty(B, np.int64)
    loss, decrement = np.empty(B), np.empty(B)
    limits = Limits(float(ridge), float(tolerance), max_rounds)
    shared_kernels.fit_shared_batch(
        differences, row_length(N * per_user), limits, subspace, heads, rounds, loss, decrement, status
    )
    return SharedBatch(subspace[:, :, :d].transpose(0, 2, 1).copy(), heads, rounds, loss, decrement, status)


def _require(rank: int, d: int, n_users: int, ridge: float) -> None:
    if not 1 <= rank <= min(d, n_users):
        raise ValueError(f"rank must lie in 1..{min(d, n_users)}, the smaller of features and users (got {rank})")
    if not ridge > 0:
        raise ValueError(f"ridge must be positive (got {ridge}); it keeps heads finite on separable answers")


def fit_head(
    differences: FloatArray,
    subspace: FloatArray,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1e-3,
) -> FloatArray:
    """A new user's head over a frozen subspace; (k,).                         [arXiv 2405.00254, Algorithm 2]

    differences: (n, d) of her answers.  The same objective as `fit_shared` with U held.
    """
    projected = np.asarray(differences, dtype=np.float64) @ subspace
    k = subspace.shape[1]
    rows = np.zeros((padded(k), row_length(len(projected))))
    rows[:k, : len(projected)] = projected.T
    head = heads_kernels.head_of(
        rows[:k].copy(), len(projected),
        np.ones(len(projected)) if weights is None else np.asarray(weights, dtype=np.float64),
        np.zeros(len(projected)) if offset is None else np.asarray(offset, dtype=np.float64), float(ridge),
    )  # fmt: skip
    return np.asarray(head)


def representation_error(subspace: FloatArray, estimate: FloatArray) -> FloatArray:
    """min over orthogonal P of |U - U_hat P|_F^2 = 2k - 2 sum of singular values of U' U_hat; (...,).

    [arXiv 2405.00254, Corollary 3.1, its left side for linear representations]
    """
    k = subspace.shape[-1]
    singular = np.linalg.svd(np.swapaxes(subspace, -1, -2) @ estimate, compute_uv=False)
    return np.asarray(np.maximum(2.0 * k - 2.0 * singular.sum(axis=-1), 0.0))
