"""An encoder that reads an annotator's answers and gives her Gaussian latent at once (VPL, Poddar et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from sim.arguments import float_array, index_array, require_count, require_positive, require_shape, weight_array
from sim.estimators.variational_latent import bound_curvature, fit_latent_rewards
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream

# On the encoder's weights: its scale against the decoder's would wander off otherwise.
ENCODER_RIDGE = 0.01


@dataclass(frozen=True, eq=False)
class Encoder:
    """m = M h + m_0 and log s^2 = L h + l_0, h the mean over pairs of tanh(W [a, b, 1]), a chosen, b rejected.

    pairs: W, (H, 2 d + 1).  mean: [M, m_0], (k, H + 1).  spread: [L, l_0], (k, H + 1).
    """

    pairs: FloatArray
    mean: FloatArray
    spread: FloatArray

    def posterior(
        self, chosen: FloatArray, rejected: FloatArray, annotator: IntArray, n_annotators: int,
        weights: FloatArray | None = None,
    ) -> tuple[FloatArray, FloatArray]:  # fmt: skip
        """(means (n_annotators, k), variances (n_annotators, k)) from these answers, 0 and 1 of those without.

        chosen, rejected: (n, d) features.  annotator, weights: (n,).
        """
        rows, number, v = _read(chosen, rejected, annotator, n_annotators, weights)
        pooled = _pooled(np.tanh(rows @ self.pairs.T), number, v, n_annotators)
        own = np.bincount(number, v, n_annotators)[:, None] > 0
        mean, spread = _with_one(pooled) @ self.mean.T, _with_one(pooled) @ self.spread.T
        return np.where(own, mean, 0.0), np.where(own, np.exp(spread), 1.0)


@dataclass(frozen=True, eq=False)
class EncoderFit:
    """encoder; common (d,) and map (d, k) of the decoder <common + map z, phi>; mean and variance (N, k) of each
    annotator's latent by the encoder; evidence: the lower bound with the decoder's penalty, nats."""

    encoder: Encoder
    common: FloatArray
    map: FloatArray
    mean: FloatArray
    variance: FloatArray
    evidence: float


class _Problem(NamedTuple):
    """rows (n, 2 d + 1) that the encoder reads; x (n, d), number, v and o of the answers; how many annotators; the
    decoder's ridge."""

    rows: FloatArray
    x: FloatArray
    number: IntArray
    v: FloatArray
    o: FloatArray
    n_annotators: int
    ridge: float


def fit_latent_encoder(
    chosen: FloatArray,
    rejected: FloatArray,
    annotator: IntArray,
    n_annotators: int,
    dimension: int,
    stream: Stream,
    *,
    hidden: int = 16,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1.0,
    max_rounds: int = 300,
) -> EncoderFit:
    """`fit_latent_rewards`, its q_i = N(m_i, diag s_i^2) no longer free but what one network makes of the answers.

    [arXiv 2408.10075, whose encoder is a network over each pair, pooled over an annotator's pairs]  chosen, rejected:
    (n, d) features.  annotator: (n,).  offset, weights: (n,).  hidden: H, see `Encoder`.

    The objective is that of `fit_latent_rewards`, Jaakkola and Jordan's bound in the place of the expected likelihood:
    closed, so that there are no draws, and the best Gaussian at the same decoder is never below (`latent_evidence`):
    what lies between is the price of amortisation. Decoder and encoder by L-BFGS together, from the decoder of the
    best Gaussians; a local optimum.
    Departs from the authors' recipe: three layers and attention over the pairs (here one and their mean), draws of z
    that are scaled to one length, a KL term of small weight, subsets of an annotator's pairs as what is read.
    """
    rows, number, v = _read(chosen, rejected, annotator, n_annotators, weights)
    n, d = len(rows), rows.shape[1] // 2
    for name, count in (("hidden", hidden), ("max_rounds", max_rounds)):
        require_count(name, count)
    require_count("dimension", dimension, 1, d)
    require_positive(ridge=ridge)
    o = np.zeros(n) if offset is None else float_array("offset", offset, (n,))
    problem = _Problem(rows, rows[:, :d] - rows[:, d : 2 * d], number, v, o, n_annotators, ridge)
    first = fit_latent_rewards(
        problem.x, number, n_annotators, dimension, weights=v, offset=o, ridge=ridge, max_rounds=50
    )
    start = (
        np.concatenate([first.common[:, None], first.map], axis=1),
        stream.child("pairs").normals((hidden, 2 * d + 1)) / np.sqrt(2 * d + 1),
        0.1 * stream.child("mean").normals((dimension, hidden + 1)),
        np.zeros((dimension, hidden + 1)),
    )
    ends = np.cumsum([part.size for part in start])[:-1]

    def parts(packed: FloatArray) -> list[FloatArray]:
        return [own.reshape(part.shape) for own, part in zip(np.split(packed, ends), start, strict=True)]

    def objective(packed: FloatArray) -> tuple[float, FloatArray]:
        loss, gradients = _loss(parts(packed), problem)
        return loss, np.concatenate([gradient.ravel() for gradient in gradients])

    begun = np.concatenate([part.ravel() for part in start])
    solved = minimize(objective, begun, jac=True, method="L-BFGS-B", options={"maxiter": max_rounds})
    decoder, pairs, mean, spread = parts(solved.x)
    encoder = Encoder(pairs, mean, spread)
    penalty = 0.5 * ENCODER_RIDGE * sum(float((part**2).sum()) for part in (pairs, mean, spread))
    found = encoder.posterior(rows[:, :d], rows[:, d : 2 * d], number, n_annotators, v)
    return EncoderFit(encoder, decoder[:, 0], decoder[:, 1:], *found, penalty - float(solved.fun))


def _read(
    chosen: FloatArray, rejected: FloatArray, annotator: IntArray, n_annotators: int, weights: FloatArray | None
) -> tuple[FloatArray, IntArray, FloatArray]:
    """[a, b, 1] of each answer, whose it is, and its weight."""
    chosen = float_array("chosen", chosen, ("n", "d"))
    rejected = float_array("rejected", rejected, chosen.shape)
    n = len(chosen)
    require_count("n_annotators", n_annotators)
    number = index_array("annotator", annotator, n_annotators)
    require_shape("annotator", number, (n,))
    return _with_one(np.hstack([chosen, rejected])), number, weight_array("weights", weights, n)


def _with_one(rows: FloatArray) -> FloatArray:
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1)


def _sums(rows: FloatArray, number: IntArray, n_annotators: int) -> FloatArray:
    """Of each annotator's rows; (n, k) -> (N, k)."""
    return np.stack([np.bincount(number, column, n_annotators) for column in rows.T], axis=1)


def _pooled(units: FloatArray, number: IntArray, v: FloatArray, n_annotators: int) -> FloatArray:
    """The weighted mean over each annotator's answers, 0 of those without; (N, H)."""
    mass = np.bincount(number, v, n_annotators)
    return _sums(v[:, None] * units, number, n_annotators) / np.where(mass > 0, mass, 1.0)[:, None]


def _loss(parts: list[FloatArray], problem: _Problem) -> tuple[float, list[FloatArray]]:
    """Minus the bound, with penalties, and its gradients by decoder [theta_0, B] (d, k + 1), W, [M, m_0], [L, l_0]."""
    decoder, pairs, mean_, spread_ = parts
    rows, x, number, v, o, N, ridge = problem
    units = np.tanh(rows @ pairs.T)
    mass = np.bincount(number, v, N)
    own = (mass > 0)[:, None]
    pooled = _with_one(_pooled(units, number, v, N))
    m, log_s = np.where(own, pooled @ mean_.T, 0.0), np.where(own, pooled @ spread_.T, 0.0)
    s = np.exp(log_s)
    projected = x @ decoder
    along, z, spread = projected[:, 1:], m[number], s[number]
    mu = o + projected[:, 0] + (along * z).sum(axis=1)
    square = mu * mu + (along * along * spread).sum(axis=1)
    xi, bent = np.sqrt(square), bound_curvature(square)
    divergence = 0.5 * float((s + m * m - 1.0 - log_s).sum())
    penalty = 0.5 * ridge * float((decoder**2).sum()) + 0.5 * ENCODER_RIDGE * sum(
        float((part**2).sum()) for part in (pairs, mean_, spread_)
    )
    loss = divergence + penalty - float(v @ (log_sigmoid(xi) + 0.5 * (mu - xi)))
    of_mu, of_square = -v * (0.5 - 2.0 * bent * mu), v * bent
    of_along = of_mu[:, None] * z + 2.0 * of_square[:, None] * along * spread
    of_decoder = x.T @ np.concatenate([of_mu[:, None], of_along], axis=1) + ridge * decoder
    of_m = np.where(own, _sums(of_mu[:, None] * along, number, N) + m, 0.0)
    of_log_s = np.where(own, s * _sums(of_square[:, None] * along * along, number, N) + 0.5 * (s - 1.0), 0.0)
    of_pooled = (of_m @ mean_ + of_log_s @ spread_)[:, :-1] / np.where(own, mass[:, None], 1.0)
    of_units = v[:, None] * of_pooled[number] * (1.0 - units * units)
    return loss, [
        of_decoder, of_units.T @ rows + ENCODER_RIDGE * pairs, of_m.T @ pooled + ENCODER_RIDGE * mean_,
        of_log_s.T @ pooled + ENCODER_RIDGE * spread_,
    ]  # fmt: skip
