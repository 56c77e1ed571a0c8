"""Rewards that fall with the distance to an ideal point, a convex mixture of K prototypes (PAL, Chen et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim.arguments import float_array, index_array, require_count, require_positive, require_shape, weight_array
from sim.estimators.prototypes import LOGIT_RIDGE, DescentStatus, descend, softmax
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.restarts import first_best
from sim.streams import Stream


@dataclass(frozen=True, eq=False)
class IdealPointFit:
    """map (m, d) of f(x) = map x; points (K, m), the prototypes; weights (N, K), rows on the simplex (equal for
    annotators without answers); loss, penalised nats; losses of every restart, best first.  rounds, status: of the best
    restart; late: nats that the last tenth of its rounds gained."""

    map: FloatArray
    points: FloatArray
    weights: FloatArray
    loss: float
    losses: FloatArray
    rounds: int = 0
    late: float = 0.0
    status: DescentStatus = DescentStatus.CONVERGED

    @property
    def prototypes(self) -> FloatArray:
        """What is linear in the prototypes' rewards, 2 A' p_k; (K, d)."""
        return 2.0 * self.points @ self.map

    @property
    def theta(self) -> FloatArray:
        """The same of each annotator's reward, which is <theta_i, x> - |A x|^2 and a constant; (N, d)."""
        return self.weights @ self.prototypes


class _Problem(NamedTuple):
    """x (n_items, d) about the mean; chosen, rejected, number, v and o of the answers, (n,); the ridge."""

    x: FloatArray
    chosen: IntArray
    rejected: IntArray
    number: IntArray
    v: FloatArray
    o: FloatArray
    ridge: float


def fit_ideal_points(
    features: FloatArray,
    chosen: IntArray,
    rejected: IntArray,
    annotator: IntArray,
    n_annotators: int,
    n_prototypes: int,
    dimension: int,
    stream: Stream,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1.0,
    restarts: int = 3,
    max_rounds: int = 300,
) -> IdealPointFit:
    """min over A, P, V of -sum_j v_j log sigma(o_j + |A b_j - z_i|^2 - |A a_j - z_i|^2)
    + 0.5 ridge (|A|^2 + sum_k |p_k - A mu|^2) + 0.5 LOGIT_RIDGE |V|^2,  z_i = sum_k w_ik p_k,  w_i = softmax(V_i).

    [arXiv 2406.08469, model A with a linear map: the nearer to one's ideal point, the better]  features: (n_items, d).
    chosen, rejected: (n,) items a_j and b_j.  annotator, offset, weights: (n,).  dimension: m, rows of A.  mu: mean of
    the answers' items.  By L-BFGS from `restarts` random starts, the best kept: a local optimum.  The authors' map is a
    two-layer network, and their code does not square distances and multiplies them by a learned scale.

    What it adds to the form with an inner product [derived]: since

        -|A x - z|^2 = <2 A'z, x> - |A x|^2 - |z|^2,

    a concave quadratic, the same for everybody, by the map in whose rows people differ; an inner product is the border
    A -> 0 with A'p_k held. Answers tell A'A and A'p_k at most: A and P up to a rotation, and a scale of the distance
    is A's own. Items moved by t move the points by A t and nothing else, as the penalty is about the mean item's image.
    Where items are indicators, |A x|^2 is linear, a constant an item. Weights are the logits' ridge's where prototypes
    are more than dimension + 1, and as with an inner product where nobody is near a corner; the points z_i are not.
    0.5 (|A|^2 + |P|^2) is at least the nuclear norm of P A: directions that the answers do not need vanish, and
    `dimension` is but the most there can be.
    """
    x = float_array("features", features, ("items", "d"))
    chosen, rejected = index_array("chosen", chosen, len(x)), index_array("rejected", rejected, len(x))
    n = chosen.size
    require_shape("chosen", chosen, (n,))
    require_shape("rejected", rejected, (n,))
    require_count("n_annotators", n_annotators)
    number = index_array("annotator", annotator, n_annotators)
    require_shape("annotator", number, (n,))
    for name, count in (("n_prototypes", n_prototypes), ("restarts", restarts), ("max_rounds", max_rounds)):
        require_count(name, count)
    require_count("dimension", dimension, 1, x.shape[1])
    require_positive(ridge=ridge)
    v = weight_array("weights", weights, n)
    o = np.zeros(n) if offset is None else float_array("offset", offset, (n,))
    middle = 0.5 * (x[chosen].mean(axis=0) + x[rejected].mean(axis=0)) if n else np.zeros(x.shape[1])
    problem = _Problem(x - middle, chosen, rejected, number, v, o, ridge)
    N, K, m, d = n_annotators, n_prototypes, dimension, x.shape[1]
    ends = (m * d, m * d + K * m)

    def parts(packed: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        own, points, logits = np.split(packed, ends)
        return own.reshape(m, d), points.reshape(K, m), logits.reshape(N, K)

    def objective(packed: FloatArray) -> tuple[float, FloatArray]:
        loss, *gradients = _loss(*parts(packed), problem)
        return loss, np.concatenate([gradient.ravel() for gradient in gradients])

    found = []
    for r in range(restarts):
        own = stream.child(f"restart/{r}")
        start = np.concatenate([
            0.3 * own.child("map").normals((m * d,)) / np.sqrt(d), 0.3 * own.child("points").normals((K * m,)),
            own.child("weights").normals((N * K,)),
        ])  # fmt: skip
        found.append(descend(objective, start, max_rounds))
    reached = np.array([own.loss for own in found])
    best = found[int(first_best(-reached))]
    map_, points, logits = parts(best.x)
    shares = softmax(logits)
    shares[np.bincount(number, minlength=N) == 0] = 1.0 / K
    return IdealPointFit(
        map_, points + map_ @ middle, shares, best.loss, np.sort(reached), best.rounds, best.late, best.status
    )


def bend(map_: FloatArray, features: FloatArray) -> FloatArray:
    """-|A x|^2 of each item: what is common to all in a distance; (n_items, d) -> (n_items,), -inf far outside."""
    with np.errstate(over="ignore"):
        return -np.asarray(((features @ map_.T) ** 2).sum(axis=1))


def _loss(
    map_: FloatArray, points: FloatArray, logits: FloatArray, problem: _Problem
) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    """The penalised loss, and its gradients by map (m, d), points (K, m) and logits (N, K)."""
    x, chosen, rejected, number, v, o, ridge = problem
    shares = softmax(logits)
    own = shares[number]
    placed = x @ map_.T
    a, b, z = placed[chosen], placed[rejected], own @ points
    # |b - z|^2 - |a - z|^2 without the squares of z, which cancel.
    apart = a - b
    margin = o + (apart * (2.0 * z - a - b)).sum(axis=1)
    penalty = 0.5 * ridge * float((map_**2).sum() + (points**2).sum()) + 0.5 * LOGIT_RIDGE * float((logits**2).sum())
    loss = penalty - float(v @ log_sigmoid(margin))
    slope = (-2.0 * v * np.exp(log_sigmoid(-margin)))[:, None]
    of_a, of_b, of_z = slope * (z - a), slope * (b - z), slope * apart
    of_placed = np.stack([
        np.bincount(chosen, by_a, len(x)) + np.bincount(rejected, by_b, len(x))
        for by_a, by_b in zip(of_a.T, of_b.T, strict=True)
    ])  # fmt: skip
    pulls = of_z @ points.T
    of_shares = np.stack([np.bincount(number, column, len(logits)) for column in pulls.T], axis=1)
    of_logits = shares * (of_shares - (shares * of_shares).sum(axis=1, keepdims=True)) + LOGIT_RIDGE * logits
    return loss, of_placed @ x + ridge * map_, own.T @ of_z + ridge * points, of_logits
