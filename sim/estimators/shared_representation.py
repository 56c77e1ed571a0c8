"""Rewards that share a subspace: r_i(tau) = <U' phi(tau), v_i>, annotators' heads and the subspace fitted together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from sim.arguments import (
    float_array,
    index_array,
    require_count,
    require_finite,
    require_not_negative,
    require_positive,
    require_shape,
    weight_array,
)
from sim.compiled import heads as heads_kernels
from sim.compiled import shared as shared_kernels
from sim.compiled.structs import Answers, Limits
from sim.compiled.tiles import padded, row_length
from sim.estimators.answer_spectrum import AnswerSpectrum, answer_spectrum
from sim.estimators.bradley_terry import FitStatus, unit_scale, unit_scales
from sim.estimators.wide_subspace import WideAnswers, fit_wide_subspace
from sim.preferences import FloatArray, IntArray

# Unknowns of a subspace from which products with the answers cost less than a Hessian.
WIDE_FROM = 256


class SharedRewards(Protocol):
    """Rewards over a representation all annotators share: linear here, a network in `llm.networks.shared_network`."""

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
        """Each annotator's reward in the features' coordinates, U v_i; (N, d)."""
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
    annotator: IntArray,
    n_annotators: int,
    rank: int,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1e-3,
    tolerance: float = 1e-9,
    max_rounds: int = 200,
    start: FloatArray | None = None,
    spectrum: AnswerSpectrum | None = None,
) -> SharedFit:
    """Maximise sum_ij w_ij log sigma(o_ij + <U' x_ij, v_i>) - 0.5 ridge sum_i |v_i|^2 over U'U = I and V.

    [arXiv 2405.00254, Algorithm 1, step 1]  The ridge stands for the paper's ball |v_i| <= B, which it is the
    Lagrangian of. differences: (n, d), features of the chosen minus those of the rejected.  annotator: (n,).
    offset: (n,) margins given from elsewhere (a pooled fit), reward units.  start: (d, k); default the
    leading directions of the annotators' scores at zero, whitened.  Annotators without answers keep a head of zero.

    Newton on the profiled loss min_V over the Grassmann manifold, with halving and, where the Hessian is not positive,
    damping: a local optimum, as any method for this problem.  Stops when a round would gain less than tolerance nats a
    unit of weight.

    From `WIDE_FROM` unknowns d rank on, whose Hessian is most of the work, limited-memory BFGS takes the place of
    Newton (`sim.estimators.wide_subspace`), in up to ten times as many rounds.  spectrum: of these answers, where
    several fits share it.
    """
    differences = _checked(differences, ("n", "d"))
    n, d = differences.shape
    require_count("n_annotators", n_annotators)
    annotator = index_array("annotator", annotator, n_annotators)
    require_shape("annotator", annotator, (n,))
    _require(rank, d, n_annotators, ridge, tolerance, max_rounds)
    order = np.argsort(annotator, kind="stable")
    starts = np.searchsorted(annotator[order], np.arange(n_annotators + 1))
    first = None if start is None else float_array("start", start, (d, rank))
    # <v, x> = <v / s, s x>: the same loss in the units that the heads' tolerance is meant in.
    scale = unit_scale(differences)
    ridge = ridge * scale**2
    if d * rank >= WIDE_FROM:
        if spectrum is None:
            spectrum = answer_spectrum(differences, annotator, n_annotators, weights)
        weight, margin = weight_array("weights", weights, n), _offset(offset, n)
        own = WideAnswers(scale * differences[order], starts, weight[order], margin[order])
        wide = fit_wide_subspace(
            own, rank, replace(spectrum, values=scale**2 * spectrum.values), ridge=ridge, tolerance=tolerance,
            max_rounds=10 * max_rounds, start=first,
        )  # fmt: skip
        return SharedFit(*wide._replace(heads=scale * wide.heads))
    features = np.zeros((padded(d), row_length(n)))
    features[:d, :n] = scale * differences[order].T
    weight = weight_array("weights", weights, n)[order]
    margin = _offset(offset, n)[order]
    subspace, heads = np.zeros((rank, padded(d))), np.zeros((n_annotators, rank))
    if first is not None:
        subspace[:, :d] = first.T
    limits = Limits(float(ridge), float(tolerance), max_rounds)
    rounds, loss, decrement, status = shared_kernels.fit_shared(
        Answers(features, weight, margin), starts, limits, start is not None, subspace, heads
    )
    return SharedFit(
        subspace[:, :d].T.copy(), scale * heads, int(rounds), float(loss), float(decrement), FitStatus(status)
    )


def fit_shared_batch(
    differences: FloatArray, rank: int, *, ridge: float = 1e-3, tolerance: float = 1e-9, max_rounds: int = 200
) -> SharedBatch:
    """`fit_shared` on B replicates at once, parallel over replicates; differences (B, N, Np, d), unweighted."""
    differences = _checked(differences, ("B", "annotators", "answers", "d"))
    B, N, per_user, d = differences.shape
    _require(rank, d, N, ridge, tolerance, max_rounds)
    subspace, heads = np.zeros((B, rank, padded(d))), np.zeros((B, N, rank))
    rounds, status = np.empty(B, np.int64), np.empty(B, np.int64)
    loss, decrement = np.empty(B), np.empty(B)
    scales = unit_scales(differences.reshape(B, N * per_user, d))
    for scale in np.unique(scales):
        limits, some = Limits(float(ridge * scale**2), float(tolerance), max_rounds), scales == scale
        # As they are where all are of one size, which is that of most: nothing is copied.
        every = scale == 1.0 and some.all()
        found = (subspace, heads, rounds, loss, decrement, status)
        own = found if every else tuple(part[some] for part in found)
        rows = differences if every else scale * differences[some]
        shared_kernels.fit_shared_batch(rows, row_length(N * per_user), limits, *own)
        if not every:
            subspace[some], heads[some], rounds[some] = own[0], scale * own[1], own[2]
            loss[some], decrement[some], status[some] = own[3:]
    return SharedBatch(subspace[:, :, :d].transpose(0, 2, 1).copy(), heads, rounds, loss, decrement, status)


def _checked(differences: FloatArray, shape: tuple[str, ...]) -> FloatArray:
    own = np.require(float_array("differences", differences, shape), requirements=["C", "W"])
    if 0 in own.shape[1:] or (own.ndim == 2 and not len(own)):
        raise ValueError(f"differences must not be empty (got {own.shape})")
    return own


def _offset(offset: FloatArray | None, n: int) -> FloatArray:
    return np.zeros(n) if offset is None else float_array("offset", offset, (n,))


def _require(rank: int, d: int, n_annotators: int, ridge: float, tolerance: float, max_rounds: int) -> None:
    # The ridge keeps heads finite on separable answers.
    require_positive(ridge=ridge)
    require_not_negative(tolerance=tolerance)
    require_count("max_rounds", max_rounds, 0)
    if isinstance(rank, bool) or not isinstance(rank, int | np.integer) or not 1 <= rank <= min(d, n_annotators):
        most = min(d, n_annotators)
        raise ValueError(f"rank must lie in 1..{most}, the smaller of features and annotators (got {rank})")


def fit_head(
    differences: FloatArray,
    subspace: FloatArray | None,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1e-3,
) -> FloatArray:
    """A new annotator's head over a frozen subspace; (k,).                         [arXiv 2405.00254, Algorithm 2]

    differences: (n, d) of her answers.  subspace: (d, k), None for all of it.  The same objective as `fit_shared` with
    U held.  With fewer answers than dimensions the optimum lies in the span of her answers, P' = Q R, and is found
    there: Q a, with a the head of the rows R'.
    """
    require_positive(ridge=ridge)
    if subspace is None:
        projected = float_array("differences", differences, ("n", "k"))
    else:
        subspace = float_array("subspace", subspace, ("d", "k"))
        projected = float_array("differences", differences, ("n", len(subspace))) @ subspace
    (n, k), span = projected.shape, None
    if n < k:
        span, upper = np.linalg.qr(projected.T)
        projected, k = upper.T, n
    scale = unit_scale(projected)
    ridge = ridge * scale**2
    rows = np.zeros((padded(k), row_length(n)))
    rows[:k, :n] = scale * projected.T
    # Copies where they must be: a read-only or a strided array would be one more signature.
    own, margin = (
        np.require(v, requirements=["C", "W"]) for v in (weight_array("weights", weights, n), _offset(offset, n))
    )
    head = scale * np.asarray(heads_kernels.head_of(rows[:k].copy(), n, own, margin, float(ridge)))
    return head if span is None else np.asarray(span @ head)


def representation_error(subspace: FloatArray, estimate: FloatArray) -> FloatArray:
    """min over orthogonal P of |U - U_hat P|_F^2 = 2k - 2 sum of singular values of U' U_hat; (...,).

    [arXiv 2405.00254, Corollary 3.1, its left side for linear representations]
    """
    if subspace.ndim < 2:
        raise ValueError(f"subspace must be (..., d, k) (got {subspace.shape})")
    if subspace.shape[-2:] != estimate.shape[-2:]:
        raise ValueError(f"estimate must be (..., d, k) as subspace is (got {estimate.shape} and {subspace.shape})")
    require_finite(subspace=subspace, estimate=estimate)
    k = subspace.shape[-1]
    singular = np.linalg.svd(np.swapaxes(subspace, -1, -2) @ estimate, compute_uv=False)
    return np.asarray(np.maximum(2.0 * k - 2.0 * singular.sum(axis=-1), 0.0))
