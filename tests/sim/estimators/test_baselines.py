"""Prototypes and variational latents: gradients by finite differences, bounds by quadrature, planted rewards found."""

import tracemalloc

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

from sim.estimators import prototypes, variational_latent
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.prototypes import LOGIT_RIDGE, fit_prototype_weights, fit_prototypes
from sim.estimators.variational_latent import fit_latent_rewards, latent_posterior
from sim.streams import Stream


def answers(theta, each, seed, scale=1.0):
    """Signed differences of annotators with these rewards, and whose they are."""
    rng = np.random.default_rng(seed)
    annotator = np.repeat(np.arange(len(theta)), each)
    x = rng.normal(size=(len(annotator), theta.shape[1])) * scale
    first = rng.random(len(x)) < 1 / (1 + np.exp(-(x * theta[annotator]).sum(axis=1)))
    return np.where(first[:, None], x, -x), annotator


@pytest.fixture(scope="module")
def two():
    """Mixtures of two opposed prototypes."""
    rng = np.random.default_rng(1)
    points = np.array([[2.0, -1.0, 0.5], [-2.0, 1.0, 1.5]])
    shares = rng.dirichlet([0.6, 0.6], size=40)
    return shares @ points, *answers(shares @ points, 40, 2)


def test_gradient_of_prototypes_by_finite_differences():
    rng = np.random.default_rng(0)
    x, number = rng.normal(size=(30, 3)), rng.integers(0, 4, 30)
    v, o = rng.uniform(0.5, 1.5, 30), rng.normal(size=30)

    def loss(packed):
        return prototypes._loss(packed[:6].reshape(2, 3), packed[6:].reshape(4, 2), x, number, v, o, 0.7)

    at = rng.normal(size=14)
    _, first, second = loss(at)
    found = np.concatenate([first.ravel(), second.ravel()])
    assert found == pytest.approx(approx_fprime(at, lambda p: loss(p)[0], 1e-6), abs=1e-4)
    # The loss itself, a row at a time.
    shares = np.exp(at[6:].reshape(4, 2))
    shares /= shares.sum(axis=1, keepdims=True)
    by_hand = 0.35 * (at[:6] ** 2).sum() + 0.5 * LOGIT_RIDGE * (at[6:] ** 2).sum()
    for j in range(30):
        margin = o[j] + shares[number[j]] @ at[:6].reshape(2, 3) @ x[j]
        by_hand += v[j] * np.log1p(np.exp(-margin))
    assert loss(at)[0] == pytest.approx(by_hand)


def test_prototypes_find_planted_mixtures(two):
    truth, x, annotator = two
    found = fit_prototypes(x, annotator, 41, 2, Stream(0, "t"), ridge=0.5)
    assert found.weights.sum(axis=1) == pytest.approx(np.ones(41))
    assert found.weights[40].tolist() == [0.5, 0.5]
    assert (np.diff(found.losses) >= 0).all()
    assert np.linalg.norm(found.theta[:40] - truth) < 0.35 * np.linalg.norm(truth)
    pooled = fit_bradley_terry(x, ridge=0.5).theta
    assert np.linalg.norm(found.theta[:40] - truth) < 0.6 * np.linalg.norm(pooled - truth)


def test_one_prototype_is_the_pooled_fit(two):
    _, x, annotator = two
    found = fit_prototypes(x, annotator, 40, 1, Stream(0, "t"), ridge=2.0)
    assert found.prototypes[0] == pytest.approx(fit_bradley_terry(x, ridge=2.0).theta, abs=1e-3)


def test_weights_of_a_new_annotator_are_the_best_on_the_simplex(two, monkeypatch):
    """Against cvxpy, for which the problem without the logits' ridge is convex in the weights."""
    _, x, annotator = two
    monkeypatch.setattr(prototypes, "LOGIT_RIDGE", 0.0)
    points = np.array([[2.0, -1.0, 0.5], [-2.0, 1.0, 1.5], [0.0, 2.0, 0.0]])
    rows = annotator < 3
    found = fit_prototype_weights(points, x[rows], annotator[rows], 3)
    for i in range(3):
        own = x[annotator == i] @ points.T
        w = cp.Variable(3, nonneg=True)
        cp.Problem(cp.Minimize(cp.sum(cp.logistic(-own @ w))), [cp.sum(w) == 1]).solve()
        assert np.log1p(np.exp(-own @ found[i])).sum() == pytest.approx(
            np.log1p(np.exp(-own @ w.value)).sum(), abs=1e-2
        )


def test_the_evidence_never_falls_and_is_below_the_true_likelihood():
    """One latent dimension, no penalty to speak of: log of the integral over z by Gauss-Hermite quadrature."""
    rng = np.random.default_rng(4)
    direction, common = np.array([1.5, -1.0, 0.0]), np.array([0.0, 0.5, 1.0])
    theta = common + rng.normal(size=(25, 1)) * direction
    x, annotator = answers(theta, 12, 5)
    found = fit_latent_rewards(x, annotator, 25, 1, ridge=1e-6, tolerance=1e-9, max_rounds=500)
    assert (np.diff(found.evidence) >= -1e-9).all()
    nodes, mass = np.polynomial.hermite_e.hermegauss(80)
    total = 0.0
    for i in range(25):
        margins = x[annotator == i] @ (found.common[:, None] + found.map * nodes)
        total += np.log((np.exp(-np.logaddexp(0, -margins).sum(axis=0)) * mass / mass.sum()).sum())
    assert found.evidence[-1] < total
    assert found.evidence[-1] > total - 0.5 * 25
    cosine = abs(found.map[:, 0] @ direction) / np.linalg.norm(found.map) / np.linalg.norm(direction)
    assert cosine > 0.95


def test_the_posterior_is_the_best_gaussian_at_the_bound():
    """The same bound, maximised over means and variances by scipy."""
    rng = np.random.default_rng(6)
    x, o, v = rng.normal(size=(9, 2)), rng.normal(size=9), rng.uniform(0.5, 2, 9)
    common, map_ = rng.normal(size=2), rng.normal(size=(2, 1))
    mean, covariance = latent_posterior(common, map_, x, np.zeros(9, int), 1, weights=v, offset=o, rounds=500)

    def negative(packed):
        m, s = packed[0], np.exp(packed[1])
        along = x @ map_[:, 0]
        first = o + x @ common + along * m
        xi = np.sqrt(first**2 + along**2 * s)
        fit = v @ (-np.logaddexp(0, -xi) + 0.5 * (first - xi))
        return -(fit - 0.5 * (s + m * m - 1 - np.log(s)))

    best = minimize(negative, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    assert (mean[0, 0], covariance[0, 0, 0]) == pytest.approx((best.x[0], np.exp(best.x[1])), abs=1e-5)


def test_the_decoder_solves_its_quadratic():
    """A dense least-squares solution of the same bound."""
    rng = np.random.default_rng(7)
    number = np.sort(rng.integers(0, 5, 40))
    held = variational_latent._answers(rng.normal(size=(40, 3)), number, 5, rng.uniform(0.5, 2, 40),
                                       rng.normal(size=40))  # fmt: skip
    mean, curvature = rng.normal(size=(5, 2)), rng.uniform(0.05, 0.12, 40)
    covariance = np.stack([np.cov(rng.normal(size=(2, 6))) for _ in range(5)])
    found = variational_latent._decoder(held, np.zeros((3, 3)), mean, covariance, curvature, 0.3)
    left, right = 0.3 * np.eye(9), np.zeros(9)
    for j in range(40):
        z = np.concatenate([[1.0], mean[number[j]]])
        second = np.outer(z, z)
        second[1:, 1:] += covariance[number[j]]
        bent = 2 * held.v[j] * curvature[j]
        left += bent * np.kron(np.outer(held.x[j], held.x[j]), second)
        right += (0.5 * held.v[j] - bent * held.o[j]) * np.kron(held.x[j], z)
    assert found.ravel() == pytest.approx(np.linalg.solve(left, right), abs=1e-6)


def test_somebody_without_answers_has_the_prior(two):
    _, x, annotator = two
    found = fit_latent_rewards(x, annotator, 42, 2, ridge=1.0)
    assert found.mean[40:].tolist() == [[0.0, 0.0]] * 2
    assert found.covariance[41] == pytest.approx(np.eye(2))
    assert found.theta[41] == pytest.approx(found.common)
    with pytest.raises(ValueError, match="dimension"):
        fit_latent_rewards(x, annotator, 42, 4)


def test_the_start_needs_no_memory_of_people_squared():
    """Singular vectors of people's scores that are not asked for are as many as people: 200 MB here."""
    x, who = Stream(3, "many").normals((10_000, 3)), np.repeat(np.arange(5000), 2)
    tracemalloc.start()
    fit_latent_rewards(x, who, 5000, 1, max_rounds=1)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 30e6


def test_a_latent_of_more_dimensions_than_people_starts_somewhere():
    fitted = fit_latent_rewards(Stream(3, "one").normals((20, 4)), np.zeros(20, int), 1, 3)
    assert fitted.map.shape == (4, 3)
    assert np.isfinite(fitted.theta).all()
