"""The encoder: its gradient, the best Gaussian that it cannot pass, and a latent that it reads from answers."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from sim.estimators import latent_encoder
from sim.estimators.latent_encoder import ENCODER_RIDGE, Encoder, fit_latent_encoder
from sim.estimators.variational_latent import fit_latent_rewards, latent_evidence, latent_posterior
from sim.streams import Stream

SHAPES = ((3, 3), (4, 7), (2, 5), (2, 5))  # of [theta_0, B], W, [M, m_0], [L, l_0]: d = 3, k = 2, H = 4


@pytest.fixture(scope="module")
def world():
    """Tastes on a plane of four features, 30 answers each of 60 people."""
    rng = np.random.default_rng(0)
    plane, common = rng.normal(size=(4, 2)), 0.5 * rng.normal(size=4)
    theta = common + rng.normal(size=(60, 2)) @ plane.T
    annotator = np.repeat(np.arange(60), 30)
    one, two = rng.normal(size=(2, len(annotator), 4))
    first = rng.random(len(annotator)) < 1 / (1 + np.exp(-((one - two) * theta[annotator]).sum(axis=1)))
    return theta, np.where(first[:, None], one, two), np.where(first[:, None], two, one), annotator


def test_gradient_by_finite_differences():
    """Five annotators, of whom the last has no answers; and the bound itself as `latent_evidence` has it."""
    rng = np.random.default_rng(1)
    chosen, rejected = rng.normal(size=(2, 20, 3))
    number, v, o = rng.integers(0, 4, 20), rng.uniform(0.5, 1.5, 20), rng.normal(size=20)
    rows, _, _ = latent_encoder._read(chosen, rejected, number, 5, v)
    problem = latent_encoder._Problem(rows, chosen - rejected, number, v, o, 5, 0.7)
    ends = np.cumsum([a * b for a, b in SHAPES])[:-1]

    def parts(packed):
        return [own.reshape(shape) for own, shape in zip(np.split(packed, ends), SHAPES, strict=True)]

    at = 0.7 * rng.normal(size=sum(a * b for a, b in SHAPES))
    loss, gradients = latent_encoder._loss(parts(at), problem)
    found = np.concatenate([gradient.ravel() for gradient in gradients])
    assert found == pytest.approx(
        approx_fprime(at, lambda p: latent_encoder._loss(parts(p), problem)[0], 1e-6), abs=1e-4
    )
    decoder, *own = parts(at)
    mean, variance = Encoder(*own).posterior(chosen, rejected, number, 5, v)
    assert mean[4].tolist() == [0.0, 0.0]
    assert variance[4].tolist() == [1.0, 1.0]
    evidence = latent_evidence(
        decoder[:, 0], decoder[:, 1:], mean, variance[:, :, None] * np.eye(2), chosen - rejected, number, 5,
        weights=v, offset=o,
    )  # fmt: skip
    penalty = 0.35 * (decoder**2).sum() + 0.5 * ENCODER_RIDGE * sum((part**2).sum() for part in own)
    assert -loss == pytest.approx(evidence.sum() - penalty)


def test_the_encoder_does_not_pass_the_best_gaussian(world):
    """At its decoder, annotator by annotator; nor, with the decoder's penalty, the best fit of both."""
    _, chosen, rejected, annotator = world
    v = np.random.default_rng(2).uniform(0.3, 1.5, len(annotator))
    fit = fit_latent_encoder(chosen, rejected, annotator, 60, 2, Stream(0, "t"), weights=v, max_rounds=150)
    of, at = (chosen - rejected, annotator, 60), (fit.common, fit.map)
    own = latent_evidence(*at, fit.mean, fit.variance[:, :, None] * np.eye(2), *of, weights=v)
    best = latent_evidence(*at, *latent_posterior(*at, *of, weights=v, rounds=100), *of, weights=v)
    assert (own <= best + 1e-9).all()
    assert (best - own).mean() < 0.5
    penalty = 0.5 * (float((fit.common**2).sum()) + float((fit.map**2).sum()))
    assert fit.evidence == pytest.approx(own.sum() - penalty)
    assert fit.evidence < fit_latent_rewards(*of, 2, weights=v, max_rounds=100).evidence[-1]


def test_reads_people_whom_it_never_saw(world):
    """The last twenty by an encoder of the first forty: nearer to their rewards than what is common to all."""
    theta, chosen, rejected, annotator = world
    old = annotator < 40
    fit = fit_latent_encoder(chosen[old], rejected[old], annotator[old], 40, 2, Stream(0, "t"), max_rounds=150)
    mean, variance = fit.encoder.posterior(chosen[~old], rejected[~old], annotator[~old] - 40, 21)
    found = fit.common + mean @ fit.map.T
    assert np.linalg.norm(found[:20] - theta[40:]) < 0.6 * np.linalg.norm(fit.common - theta[40:])
    assert found[20] == pytest.approx(fit.common)
    assert (variance[:20] < 1).all()
