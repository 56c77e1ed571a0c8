"""Rewards that are convex mixtures of K prototypes, each annotator's weights on the simplex (PAL, Chen et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from sim.arguments import float_array, index_array, require_count, require_positive, require_shape, weight_array
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.restarts import first_best
from sim.streams import Stream

# On the logits of annotators' weights: few answers would drive them to infinity.
LOGIT_RIDGE = 0.01


class DescentStatus(IntEnum):
    """How a descent ended."""

    CONVERGED = 0
    MAX_ROUNDS = 1
    STALLED = 2

    @property
    def message(self) -> str:
        """What happened and what to do."""
        return {
            DescentStatus.CONVERGED: "the loss or its gradient has settled",
            DescentStatus.MAX_ROUNDS: "the round limit was reached first; raise max_rounds or the ridge",
            DescentStatus.STALLED: "no step improved the loss; scale the features or raise the ridge",
        }[self]


class Descent(NamedTuple):
    """Where L-BFGS ended; late: nats that the last tenth of its rounds gained."""

    loss: float
    x: FloatArray
    rounds: int
    late: float
    status: DescentStatus


def descend(
    objective: Callable[[FloatArray], tuple[float, FloatArray]], start: FloatArray, max_rounds: int
) -> Descent:  # fmt: skip
    """min of an objective that tells its gradient, by L-BFGS."""
    losses: list[float] = []

    def told(intermediate_result: OptimizeResult) -> None:
        losses.append(float(intermediate_result.fun))

    limits = {"maxiter": max_rounds}
    solved = minimize(objective, start, jac=True, method="L-BFGS-B", options=limits, callback=told)
    late = losses[-1 - len(losses) // 10] - losses[-1] if losses else 0.0
    # SciPy's 1 is the limit of rounds or of evaluations, 2 a search along a line that found nothing.
    return Descent(float(solved.fun), solved.x, int(solved.nit), late, DescentStatus(int(solved.status)))


@dataclass(frozen=True, eq=False)
class PrototypeFit:
    """prototypes (K, d); weights (N, K), rows on the simplex (equal for annotators without answers); loss, penalised
    nats; losses of every restart, best first.  rounds, status: of the best restart; late: nats that the last tenth of
    its rounds gained."""

    prototypes: FloatArray
    weights: FloatArray
    loss: float
    losses: FloatArray
    rounds: int = 0
    late: float = 0.0
    status: DescentStatus = DescentStatus.CONVERGED

    @property
    def theta(self) -> FloatArray:
        """Each annotator's reward; (N, d)."""
        return self.weights @ self.prototypes


def fit_prototypes(
    differences: FloatArray,
    annotator: IntArray,
    n_annotators: int,
    n_prototypes: int,
    stream: Stream,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1.0,
    restarts: int = 3,
    max_rounds: int = 300,
) -> PrototypeFit:
    """min over P, V of -sum_j v_j log sigma(o_j + <P' w_i, d_j>) + 0.5 ridge |P|^2 + 0.5 LOGIT_RIDGE |V|^2,
    w_i = softmax(V_i).

    [arXiv 2406.08469, model B with linear maps: the score is the inner product of a response's map with the convex
    combination w_i of K prototypes]  differences: (n, d), features of the chosen minus those of the rejected.
    annotator: (n,).  offset, weights: (n,).  Jointly by L-BFGS from `restarts` random starts, the best kept: a local
    optimum, as with the authors' Adam. Their maps are two-layer networks and their loss has no ridge.
    """
    x, number, v, o = _checked(differences, annotator, n_annotators, weights, offset)
    require_count("n_prototypes", n_prototypes)
    require_count("restarts", restarts)
    require_count("max_rounds", max_rounds)
    require_positive(ridge=ridge)
    N, K, d = n_annotators, n_prototypes, x.shape[1]

    def objective(packed: FloatArray) -> tuple[float, FloatArray]:
        prototypes, logits = packed[: K * d].reshape(K, d), packed[K * d :].reshape(N, K)
        loss, of_prototypes, of_logits = _loss(prototypes, logits, x, number, v, o, ridge)
        return loss, np.concatenate([of_prototypes.ravel(), of_logits.ravel()])

    found = []
    for r in range(restarts):
        own = stream.child(f"restart/{r}")
        start = np.concatenate([
            0.1 * own.child("prototypes").normals((K * d,)) / np.sqrt(d), own.child("weights").normals((N * K,)),
        ])  # fmt: skip
        found.append(descend(objective, start, max_rounds))
    reached = np.array([own.loss for own in found])
    best = found[int(first_best(-reached))]
    packed = best.x
    shares = softmax(packed[K * d :].reshape(N, K))
    shares[np.bincount(number, minlength=N) == 0] = 1.0 / K
    return PrototypeFit(
        packed[: K * d].reshape(K, d), shares, best.loss, np.sort(reached), best.rounds, best.late, best.status
    )


def fit_prototype_weights(
    prototypes: FloatArray,
    differences: FloatArray,
    annotator: IntArray,
    n_annotators: int,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    max_rounds: int = 300,
) -> FloatArray:
    """Weights of annotators nobody trained on, the prototypes held; (n_annotators, K).

    [arXiv 2406.08469, adaptation to unseen users]  The objective of `fit_prototypes` in the logits alone.
    """
    prototypes = float_array("prototypes", prototypes, ("K", "d"))
    x, number, v, o = _checked(differences, annotator, n_annotators, weights, offset)
    require_count("max_rounds", max_rounds)
    K, N = len(prototypes), n_annotators

    def objective(packed: FloatArray) -> tuple[float, FloatArray]:
        loss, _, of_logits = _loss(prototypes, packed.reshape(N, K), x, number, v, o, 0.0)
        return loss, of_logits.ravel()

    solved = minimize(objective, np.zeros(N * K), jac=True, method="L-BFGS-B", options={"maxiter": max_rounds})
    return softmax(solved.x.reshape(N, K))


def _checked(
    differences: FloatArray, annotator: IntArray, n_annotators: int, weights: FloatArray | None,
    offset: FloatArray | None,
) -> tuple[FloatArray, IntArray, FloatArray, FloatArray]:  # fmt: skip
    differences = float_array("differences", differences, ("n", "d"))
    n = len(differences)
    require_count("n_annotators", n_annotators)
    annotator = index_array("annotator", annotator, n_annotators)
    require_shape("annotator", annotator, (n,))
    margin = np.zeros(n) if offset is None else float_array("offset", offset, (n,))
    return differences, annotator, weight_array("weights", weights, n), margin


def softmax(logits: FloatArray) -> FloatArray:
    """Of each row."""
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _loss(
    prototypes: FloatArray, logits: FloatArray, x: FloatArray, number: IntArray, v: FloatArray, o: FloatArray,
    ridge: float,
) -> tuple[float, FloatArray, FloatArray]:  # fmt: skip
    """The penalised loss, and its gradients by prototypes (K, d) and logits (N, K)."""
    shares = softmax(logits)
    own = shares[number]
    by_prototype = x @ prototypes.T
    margin = o + (own * by_prototype).sum(axis=1)
    loss = float(
        -(v @ log_sigmoid(margin)) + 0.5 * ridge * (prototypes**2).sum() + 0.5 * LOGIT_RIDGE * (logits**2).sum()
    )
    slope = -v * np.exp(log_sigmoid(-margin))
    of_prototypes = (slope[:, None] * own).T @ x + ridge * prototypes
    pulls = slope[:, None] * by_prototype
    of_shares = np.stack([np.bincount(number, column, len(logits)) for column in pulls.T], axis=1)
    of_logits = shares * (of_shares - (shares * of_shares).sum(axis=1, keepdims=True)) + LOGIT_RIDGE * logits
    return loss, of_prototypes, of_logits
