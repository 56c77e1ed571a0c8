"""Compiled EM against a slow NumPy EM written from Algorithm 1 of arXiv 2405.15065, line by line."""

import numpy as np
import pytest

from sim.algorithms.em_log_linear import EMRunStatus, em_log_linear, em_log_linear_batch, responsibilities_of
from sim.streams import Stream


def _answers(n_annotators, per, d, n_types, seed):
    """Answers of annotators of `n_types` types, rows in random order; an annotator more who never answers."""
    stream = Stream(seed, "em")
    theta = 2 * stream.child("theta").normals((n_types, d))
    annotator = np.repeat(np.arange(n_annotators), per)[stream.child("order").permutation(n_annotators * per)]
    x = stream.child("x").normals((len(annotator), d))
    margin = np.einsum("nd,nd->n", theta[annotator % n_types], x)
    first = stream.child("choice").uniforms(len(margin)) < 1 / (1 + np.exp(-margin))
    return np.where(first[:, None], x, -x), annotator, n_annotators + 1


def _slow_em(x, annotator, gamma, weight, ridge, mass_scaled, centre, rounds, hard):
    """One Newton step an M-step (two for the start's), no guard: every sum an explicit loop over annotators."""
    n_annotators, n_types = gamma.shape
    d, theta = x.shape[1], np.repeat(centre[None], n_types, axis=0)
    trace, plain = [], []
    for t in range(-2, rounds + 1):
        chance = 1 / (1 + np.exp(-x @ theta.T))
        mass = np.array([sum(weight[j] * gamma[annotator[j], k] for j in range(len(x))) for k in range(n_types)])
        if t >= 0:
            eta, likelihood = gamma.mean(axis=0), 0.0
            gamma = gamma.copy()
            for i in range(n_annotators):
                own = annotator == i
                joint = np.log(eta) + (weight[own, None] * np.log(chance[own])).sum(axis=0)
                likelihood += np.logaddexp.reduce(joint)
                gamma[i] = np.exp(joint - np.logaddexp.reduce(joint))
                if hard:
                    gamma[i] = np.eye(n_types)[joint.argmax()]
            mass = np.array([sum(weight[j] * gamma[annotator[j], k] for j in range(len(x))) for k in range(n_types)])
            strength = ridge * mass if mass_scaled else np.full(n_types, ridge)
            plain.append(likelihood)
            trace.append(likelihood - 0.5 * (strength * ((theta - centre) ** 2).sum(axis=1)).sum())
        if t == rounds:
            return theta, eta, gamma, np.array(trace), np.array(plain)
        for k in range(n_types):
            strength = ridge * mass[k] if mass_scaled else ridge
            w, p = weight * gamma[annotator, k], chance[:, k]
            gradient = x.T @ (w * (1 - p)) - strength * (theta[k] - centre)
            hessian = (x * (w * p * (1 - p))[:, None]).T @ x + strength * np.eye(d)
            theta[k] += np.linalg.solve(hessian, gradient)
    raise AssertionError


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("mass_scaled", [False, True])
@pytest.mark.parametrize(("n_annotators", "per", "d", "n_types"), [(40, 7, 5, 2), (30, 25, 4, 3), (9, 3, 1, 1)])
def test_equals_the_slow_em(n_annotators, per, d, n_types, mass_scaled, hard):
    x, annotator, n = _answers(n_annotators, per, d, n_types, seed=d)
    weight = 0.5 + Stream(1, role="weight").uniforms(len(x))
    start = np.eye(n_types)[np.arange(n) % n_types] * 0.8 + 0.2 / n_types
    centre = 0.1 * np.arange(d)
    ridge = 0.05 if mass_scaled else 2.0
    fitted = em_log_linear(
        x, annotator, n, n_types, weights=weight, ridge=ridge, mass_scaled=mass_scaled, max_rounds=5, tolerance=0.0,
        estep="hard" if hard else "soft", start=start[None], centre=centre,
    )  # fmt: skip
    theta, eta, gamma, trace, plain = _slow_em(x, annotator, start, weight, ridge, mass_scaled, centre, 5, hard)
    rounds = fitted.rounds
    assert fitted.trace == pytest.approx(trace[: rounds + 1], rel=1e-10)
    assert fitted.likelihood_trace == pytest.approx(plain[: rounds + 1], rel=1e-10)
    if rounds == 5:
        # At a fixed point to the last bit (hard assignments) five rounds may also have converged.
        assert fitted.status in (EMRunStatus.MAX_ROUNDS, EMRunStatus.CONVERGED)
        assert fitted.theta == pytest.approx(theta, abs=1e-8)
        assert fitted.mixture == pytest.approx(eta, abs=1e-10)
        assert fitted.responsibilities == pytest.approx(gamma, abs=1e-8)


def test_an_annotator_without_answers_gets_the_mixture():
    x, annotator, n = _answers(20, 5, 3, 2, seed=8)
    fitted = em_log_linear(x, annotator, n, 2, restarts=2, stream=Stream(1))
    assert fitted.responsibilities[-1] == pytest.approx(fitted.mixture, abs=1e-12)
    new = responsibilities_of(fitted.theta, fitted.mixture, x[:4], np.array([0, 0, 2, 2]), 3)
    assert new[1] == pytest.approx(fitted.mixture, abs=1e-12)
    assert new.sum(axis=1) == pytest.approx(np.ones(3))


def test_the_rest_of_the_result():
    x, annotator, n = _answers(30, 10, 4, 2, seed=3)
    fitted = em_log_linear(x, annotator, n, 2, restarts=4, stream=Stream(2))
    assert fitted.status is EMRunStatus.CONVERGED
    assert "tolerance" in fitted.status.message
    assert fitted.restart_penalised.shape == (4,)
    assert fitted.penalised == fitted.restart_penalised.max() == fitted.restart_penalised[fitted.best_restart]
    assert fitted.penalised == fitted.trace[fitted.rounds]
    assert fitted.largest_margin == pytest.approx(np.abs(x @ fitted.theta.T).max())
    again = em_log_linear(x, annotator, n, 2, restarts=4, stream=Stream(2))
    assert (again.theta == fitted.theta).all()


def test_integers_and_read_only_arrays_are_as_good():
    """Anything else would be one more compilation, and one more file to share a cache with."""
    x, annotator, n = _answers(10, 6, 2, 2, seed=4)
    start = np.eye(2)[np.arange(n) % 2][None]
    expected = em_log_linear(x, annotator, n, 2, ridge=1.0, tolerance=0.0, max_rounds=3, start=start)
    for array in (x, annotator, start):
        array.flags.writeable = False
    got = em_log_linear(x, annotator, n, 2, ridge=1, tolerance=0, max_rounds=3, start=start)
    assert (got.theta == expected.theta).all()
    from sim.compiled import em as em_kernels

    assert len(em_kernels.em.signatures) == 1
    assert (em_log_linear_batch(x[None], annotator, n, 2, streams=[Stream()], starts=start[None]).rounds > 0).all()


def test_bad_input_is_refused():
    x, annotator, n = _answers(5, 2, 2, 2, seed=5)
    with pytest.raises(ValueError, match=r"annotator must lie in 0\.\.1"):
        em_log_linear(x, annotator, 2, 2)
    with pytest.raises(ValueError, match="ridge must be positive"):
        em_log_linear(x, annotator, n, 2, ridge=0.0)
    with pytest.raises(ValueError, match=r"start must be \(restarts, 6, 2\)"):
        em_log_linear(x, annotator, n, 2, start=np.ones((1, 3, 2)))
