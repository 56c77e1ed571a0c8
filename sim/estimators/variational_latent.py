"""A Gaussian latent an annotator, rewards linear in it: variational inference (after VPL, Poddar et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import (
    float_array,
    index_array,
    require_count,
    require_not_negative,
    require_positive,
    require_shape,
    weight_array,
)
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray, IntArray

_STEPS = 50


@dataclass(frozen=True, eq=False)
class LatentFit:
    """common (d,) and map (d, k) of the decoder <common + map z, phi>; mean (N, k) and covariance (N, k, k) of each
    annotator's posterior, the prior's where she has no answers; evidence: the lower bound after each round, nats."""

    common: FloatArray
    map: FloatArray
    mean: FloatArray
    covariance: FloatArray
    evidence: FloatArray

    @property
    def theta(self) -> FloatArray:
        """Each annotator's reward at her posterior mean; (N, d)."""
        return self.common + self.mean @ self.map.T


@dataclass(frozen=True, eq=False)
class _Answers:
    """Rows in order of annotators, `starts` (N + 1,): x (n, d), number (n,), v and o (n,)."""

    x: FloatArray
    number: IntArray
    starts: IntArray
    v: FloatArray
    o: FloatArray

    def sums(self, rows: FloatArray) -> FloatArray:
        """Of each annotator's rows; (n, ...) -> (N, ...)."""
        totals = np.concatenate([np.zeros((1, *rows.shape[1:])), np.cumsum(rows, axis=0)])
        return np.asarray(totals[self.starts[1:]] - totals[self.starts[:-1]])


def fit_latent_rewards(
    differences: FloatArray,
    annotator: IntArray,
    n_annotators: int,
    dimension: int,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1.0,
    tolerance: float = 1e-6,
    max_rounds: int = 200,
) -> LatentFit:
    """max over theta_0, B, q of sum_ij v_ij E_q log sigma(o_ij + <theta_0 + B z_i, d_ij>) - sum_i KL(q_i || N(0, I))
    - 0.5 ridge (|theta_0|^2 + |B|^2), q_i = N(m_i, S_i).

    [arXiv 2408.10075, its evidence lower bound, with a linear decoder]  differences: (n, d), features
    of the chosen minus those of the rejected.  annotator: (n,).  offset, weights: (n,).

    Departs from the authors' recipe: their encoder is a network that reads an annotator's labelled pairs and gives
    (m_i, S_i) at once; here each q_i is the best one itself, the most such an encoder could reach (no amortisation).
    The likelihood is replaced by its quadratic lower bound (Jaakkola and Jordan 2000): every step is in closed form,
    and the bound never falls. Their decoder is a network; their KL term has a small weight (1e-4 beside a mean loss).
    """
    answers = _answers(differences, annotator, n_annotators, weights, offset)
    d = answers.x.shape[1]
    require_count("dimension", dimension, 1, d)
    require_count("max_rounds", max_rounds)
    require_positive(ridge=ridge)
    require_not_negative(tolerance=tolerance)
    decoder = np.concatenate([np.zeros((d, 1)), _start(answers, dimension)], axis=1)
    mean, covariance = np.zeros((n_annotators, dimension)), np.tile(np.eye(dimension), (n_annotators, 1, 1))
    evidence: list[float] = []
    for _ in range(max_rounds):
        mean, covariance, curvature = _posterior(answers, decoder, mean, covariance)
        decoder = _decoder(answers, decoder, mean, covariance, curvature, ridge)
        evidence.append(_evidence(answers, decoder, mean, covariance, ridge))
        if len(evidence) > 1 and evidence[-1] - evidence[-2] <= tolerance * answers.v.sum():
            break
    return LatentFit(decoder[:, 0], decoder[:, 1:], mean, covariance, np.array(evidence))


def latent_posterior(
    common: FloatArray,
    decoder: FloatArray,
    differences: FloatArray,
    annotator: IntArray,
    n_annotators: int,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    rounds: int = 50,
) -> tuple[FloatArray, FloatArray]:
    """(means (n_annotators, k), covariances) of the latents given these answers, <common + decoder z, phi> held;
    decoder: (d, k)."""
    answers = _answers(differences, annotator, n_annotators, weights, offset)
    require_count("rounds", rounds)
    whole = _whole(common, decoder, answers)
    k = whole.shape[1] - 1
    mean, covariance = np.zeros((n_annotators, k)), np.tile(np.eye(k), (n_annotators, 1, 1))
    for _ in range(rounds):
        mean, covariance, _ = _posterior(answers, whole, mean, covariance)
    return mean, covariance


def latent_evidence(
    common: FloatArray,
    decoder: FloatArray,
    mean: FloatArray,
    covariance: FloatArray,
    differences: FloatArray,
    annotator: IntArray,
    n_annotators: int,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
) -> FloatArray:
    """The lower bound of each annotator's answers with q_i = N(mean_i, covariance_i), whatever made these; (N,), nats.

    No Gaussian has more than `latent_posterior`, whose bound this is.  mean: (N, k); covariance: (N, k, k).
    """
    answers = _answers(differences, annotator, n_annotators, weights, offset)
    whole = _whole(common, decoder, answers)
    k = whole.shape[1] - 1
    mean = float_array("mean", mean, (n_annotators, k))
    return _evidences(answers, whole, mean, float_array("covariance", covariance, (n_annotators, k, k)))


def _whole(common: FloatArray, decoder: FloatArray, answers: _Answers) -> FloatArray:
    """[theta_0, B], (d, k + 1)."""
    decoder = float_array("decoder", decoder, (answers.x.shape[1], "k"))
    return np.concatenate([float_array("common", common, (len(decoder),))[:, None], decoder], axis=1)


def _answers(
    differences: FloatArray, annotator: IntArray, n_annotators: int, weights: FloatArray | None,
    offset: FloatArray | None,
) -> _Answers:  # fmt: skip
    x = float_array("differences", differences, ("n", "d"))
    n = len(x)
    require_count("n_annotators", n_annotators)
    annotator = index_array("annotator", annotator, n_annotators)
    require_shape("annotator", annotator, (n,))
    o = np.zeros(n) if offset is None else float_array("offset", offset, (n,))
    order = np.argsort(annotator, kind="stable")
    number = annotator[order]
    starts = np.searchsorted(number, np.arange(n_annotators + 1))
    return _Answers(x[order], number, starts, weight_array("weights", weights, n)[order], o[order])


def _start(answers: _Answers, k: int) -> FloatArray:
    """Leading directions in which annotators' scores at zero differ, a unit of margin each; (d, k)."""
    score = answers.sums((0.5 * answers.v)[:, None] * answers.x)
    # The other singular vectors are as many as annotators; directions that no score has are needed where k are more.
    rows = np.linalg.svd(score - score.mean(axis=0), full_matrices=len(score) < k)[2][:k]
    spread = np.sqrt(((answers.x @ rows.T) ** 2).mean(axis=0))
    return np.asarray((rows / np.maximum(spread, 1e-12)[:, None]).T)


def _moments(
    answers: _Answers, decoder: FloatArray, mean: FloatArray, covariance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of each margin u = o + <theta_0 + B z, d> under q: E u and E u^2; and B'd (n, k)."""
    projected = answers.x @ decoder
    along, own = projected[:, 1:], mean[answers.number]
    first = answers.o + projected[:, 0] + (along * own).sum(axis=1)
    spread = np.einsum("nk,nkl,nl->n", along, covariance[answers.number], along)
    return first, first * first + spread, along


def bound_curvature(square: FloatArray) -> FloatArray:
    """lambda(xi) = tanh(xi / 2) / (4 xi) of Jaakkola and Jordan's bound at the best xi, xi^2 = E u^2; 1 / 8 at zero."""
    xi = np.sqrt(np.maximum(square, 1e-16))
    return np.asarray(np.tanh(0.5 * xi) / (4.0 * xi))


def _posterior(
    answers: _Answers, decoder: FloatArray, mean: FloatArray, covariance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The best q at the bound that touches at the present one, and the bound's curvature lambda at the new q; (n,)."""
    _, square, along = _moments(answers, decoder, mean, covariance)
    curvature = bound_curvature(square)
    bent = 2.0 * answers.v * curvature
    precision = answers.sums(bent[:, None, None] * along[:, :, None] * along[:, None, :]) + np.eye(along.shape[1])
    base = answers.o + answers.x @ decoder[:, 0]
    pull = answers.sums((0.5 * answers.v - bent * base)[:, None] * along)
    covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
    mean = np.asarray(np.einsum("nkl,nl->nk", covariance, pull))
    return mean, covariance, bound_curvature(_moments(answers, decoder, mean, covariance)[1])


def _decoder(
    answers: _Answers,
    decoder: FloatArray,
    mean: FloatArray,
    covariance: FloatArray,
    curvature: FloatArray,
    ridge: float,
) -> FloatArray:
    """The quadratic bound's best [theta_0, B], (d, k + 1), by conjugate gradients from the present one."""
    k = mean.shape[1]
    z = np.concatenate([np.ones((len(mean), 1)), mean], axis=1)
    second = z[:, :, None] * z[:, None, :]
    second[:, 1:, 1:] += covariance
    bent, own = 2.0 * answers.v * curvature, second[answers.number]

    def product(value: FloatArray) -> FloatArray:
        turned = np.einsum("nk,nkl->nl", answers.x @ value, own)
        return np.asarray(answers.x.T @ (bent[:, None] * turned) + ridge * value)

    target = answers.x.T @ ((0.5 * answers.v - bent * answers.o)[:, None] * z[answers.number])
    residual = target - product(decoder)
    direction, size = residual, float((residual**2).sum())
    enough = 1e-16 * float((target**2).sum())
    for _ in range(min(_STEPS, decoder.shape[0] * (k + 1))):
        if size <= enough:
            break
        bend = product(direction)
        step = size / float((direction * bend).sum())
        decoder, residual = decoder + step * direction, residual - step * bend
        last, size = size, float((residual**2).sum())
        direction = residual + size / last * direction
    return decoder


def _evidence(answers: _Answers, decoder: FloatArray, mean: FloatArray, covariance: FloatArray, ridge: float) -> float:
    """The lower bound with the decoder's penalty."""
    return float(_evidences(answers, decoder, mean, covariance).sum()) - 0.5 * ridge * float((decoder**2).sum())


def _evidences(answers: _Answers, decoder: FloatArray, mean: FloatArray, covariance: FloatArray) -> FloatArray:
    """Each annotator's lower bound at its best xi: sum v (log sigma(xi) + (E u - xi) / 2) - KL; (N,)."""
    first, square, _ = _moments(answers, decoder, mean, covariance)
    xi = np.sqrt(np.maximum(square, 0.0))
    fit = answers.sums(answers.v * (log_sigmoid(xi) + 0.5 * (first - xi)))
    size = mean.shape[1]
    trace, log_volume = np.trace(covariance, axis1=1, axis2=2), np.linalg.slogdet(covariance)[1]
    return np.asarray(fit - 0.5 * (trace + (mean**2).sum(axis=1) - size - log_volume))
