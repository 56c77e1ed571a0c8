"""A shared subspace of many features: the loss of `fit_shared`, by limited-memory BFGS on the subspace.

The Hessian of k d unknowns is never made. With heads at their optimum the loss is a function of the span of B (d, k)
alone, B = Q R; its gradient costs two products with the answers. Unknowns are B in coordinates in which the Hessian is
about the identity,

    B = E diag((c values + N ridge) / mass)^(-1/2) C,    mean_i v_i v_i' = I at the start,

E, values the eigenvectors and values of the answers' second moments and c their mean curvature: annotators answer alike
questions, so that the second moments of each are about an N-th of all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from sim.compiled import wide_answers
from sim.compiled.structs import HeadScratch
from sim.compiled.tiles import TILE
from sim.estimators.answer_spectrum import AnswerSpectrum
from sim.estimators.bradley_terry import FitStatus
from sim.preferences import FloatArray, IntArray
from sim.running.threads import one_thread

# Steps kept by L-BFGS; more cost little beside the products.
_KEPT = 20
# Curvature is not the identity everywhere: where subspaces are hardly told apart it is a fraction of it.
_SURE = 0.01


class WideAnswers(NamedTuple):
    """Sorted by annotator: rows (n, d), starts (N + 1,), weight (n,), offset (n,)."""

    rows: FloatArray
    starts: IntArray
    weight: FloatArray
    offset: FloatArray


def in_threes(count: int) -> int:
    """The number of vectors for `count`, as `sim.compiled.wide_answers` wants them: the next multiple of three."""
    return -(-count // 3) * 3


class WideFit(NamedTuple):
    """subspace (d, k) orthonormal, heads (N, k), rounds, penalised loss (nats), what is about left to gain, status."""

    subspace: FloatArray
    heads: FloatArray
    rounds: int
    loss: float
    decrement: float
    status: FitStatus


class _Profile:
    """min over heads of the penalised loss, over orthonormal Q (d, k); heads begin where they ended."""

    def __init__(self, answers: WideAnswers, rank: int, ridge: float) -> None:
        self.answers, self.ridge = answers, float(ridge)
        sizes = np.diff(answers.starts)
        self.mass = float(answers.weight.sum())
        self.curved = 0.0
        self._tolerance = 1e-9 * max(self.mass / len(sizes), 1.0)
        self._basis = np.zeros((in_threes(rank), answers.rows.shape[1]))
        self._by_basis = np.empty_like(self._basis)
        longest = max(TILE, int(sizes.max()))
        self._work = HeadScratch(np.empty(rank), np.empty((rank, rank)), np.empty((4, longest + rank)))

    def at(self, subspace: FloatArray, heads: FloatArray) -> tuple[float, FloatArray]:
        """The loss and its gradient by Q, (d, k), orthogonal to the span of Q; leaves the best heads in `heads`."""
        rank = subspace.shape[1]
        self._basis[:rank] = subspace.T
        loss, self.curved = wide_answers.heads_over(
            self.answers, self.ridge, self._tolerance, self._basis, heads, self._by_basis, self._work
        )
        found = self._by_basis[:rank].T + self.ridge * subspace @ (heads.T @ heads)
        return float(loss), np.asarray(found - subspace @ (subspace.T @ found))


@one_thread()
def fit_wide_subspace(
    answers: WideAnswers, rank: int, spectrum: AnswerSpectrum, *, ridge: float, tolerance: float, max_rounds: int,
    start: FloatArray | None = None,
) -> WideFit:  # fmt: skip
    """`fit_shared` from the same start.  Stops where |gradient|^2 by C, the order of what is left to gain, is below a
    hundredth of tolerance nats a unit of weight, or a step gains less than a thousandth of it."""
    profile, n_annotators = _Profile(answers, rank, ridge), len(answers.starts) - 1
    subspace = np.linalg.qr(spectrum.directions[:, :rank] if start is None else start)[0]
    heads = np.zeros((n_annotators, rank))
    loss, _ = profile.at(subspace, heads)
    if rank == len(subspace) or max_rounds == 0:
        status = FitStatus.CONVERGED if rank == len(subspace) else FitStatus.MAX_STEPS
        return WideFit(subspace, heads, 0, loss, 0.0, status)
    mass = profile.mass
    curved = profile.curved / mass
    scale = np.sqrt((curved * spectrum.values + n_annotators * ridge) / mass)
    # B = Q R has heads V R^-T, whose mean outer product is to be the identity.
    spread = heads.T @ heads / n_annotators
    spread += (1e-9 * np.trace(spread) + 1e-300) * np.eye(rank)
    first = (spectrum.vectors.T @ (subspace @ np.linalg.cholesky(spread))) * scale[:, None]
    kept = np.linalg.solve(np.linalg.cholesky(spread), heads.T).T
    decrement = np.inf

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        nonlocal kept, decrement
        basis = spectrum.vectors @ (flat.reshape(first.shape) / scale[:, None])
        orthonormal, upper = np.linalg.qr(basis)
        own = kept @ upper.T
        value, slopes = profile.at(orthonormal, own)
        kept = np.linalg.solve(upper, own.T).T
        by_basis = np.linalg.solve(upper, slopes.T).T
        gradient = (spectrum.vectors.T @ by_basis) / scale[:, None] / mass
        decrement = float((gradient**2).sum())
        return value / mass, gradient.ravel()

    def enough(intermediate_result: object) -> None:
        if decrement <= _SURE * tolerance:
            raise StopIteration

    options = {
        "maxiter": max_rounds, "maxfun": 4 * max_rounds, "maxcor": _KEPT, "ftol": 1e-3 * tolerance, "gtol": 0.0,
    }  # fmt: skip
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", callback=enough, options=options)
    basis = spectrum.vectors @ (found.x.reshape(first.shape) / scale[:, None])
    subspace, upper = np.linalg.qr(basis)
    heads = kept @ upper.T
    loss, _ = profile.at(subspace, heads)
    # 1: the limit of rounds or evaluations; 2: a line search that found nothing lower.
    ended = {1: FitStatus.MAX_STEPS, 2: FitStatus.STALLED}
    status = FitStatus.CONVERGED if decrement <= _SURE * tolerance else ended.get(found.status, FitStatus.CONVERGED)
    return WideFit(subspace, heads, int(found.nit), loss, decrement * mass, status)
