"""Gradient descent on the factors: one round by hand, its limits, and rankings' likelihood against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from sim.environments.low_rank import low_rank_matrix, plain_world
from sim.estimators.bradley_terry import FitStatus
from sim.estimators.low_rank import fit_low_rank, spectral_start
from sim.estimators.low_rank_descent import balanced_factors, descend
from sim.estimators.low_rank_rankings import fit_low_rank_rankings, pairs_of_rankings
from sim.preferences import FloatArray
from sim.streams import Stream

WORLD = plain_world(low_rank_matrix(5, 6, 2, Stream(1), ratio=2.0))
X, Z = WORLD.comparisons(800, Stream(2))


def _gradient(theta: FloatArray, ridge: float = 0.0) -> FloatArray:
    s = -1.0 / (1.0 + np.exp(((X @ theta) * Z).sum(axis=1)))
    return np.asarray((X * s[:, None]).T @ Z / len(X) + ridge * theta)


def _smoothness() -> float:
    return float(0.25 * np.linalg.norm(X.T @ X / 800, 2) * np.linalg.norm(Z.T @ Z / 800, 2))


def test_one_round_of_balanced_descent_by_hand() -> None:
    left, right = balanced_factors(spectral_start(X, Z), 2)
    left = 1.5 * left  # unbalanced, so that the balancing term shows
    found = descend(X, Z, left, right, balance=0.3, step=0.7, ridge=0.01, max_rounds=1)
    M = _smoothness()
    eta, c = 0.5 * 0.7 / (M * np.linalg.norm(left @ right.T, 2)), 0.3 * M
    gap = left.T @ left - right.T @ right
    first = left - eta * (_gradient(left @ right.T, 0.01) @ right + c * left @ gap)
    gap = first.T @ first - right.T @ right
    second = right - eta * (_gradient(first @ right.T, 0.01).T @ first - c * right @ gap)
    np.testing.assert_allclose(found.left, first, atol=1e-12)
    np.testing.assert_allclose(found.right, second, atol=1e-12)


def test_one_round_of_scaled_descent_by_hand() -> None:
    left, right = balanced_factors(spectral_start(X, Z), 2)
    found = descend(X, Z, left, right, kind="scaled", step=0.9, max_rounds=1)
    eta = 0.9 / _smoothness()
    first = left - eta * _gradient(left @ right.T) @ right @ np.linalg.inv(right.T @ right)
    second = right - eta * _gradient(first @ right.T).T @ first @ np.linalg.inv(first.T @ first)
    np.testing.assert_allclose(found.left, first, atol=1e-9)
    np.testing.assert_allclose(found.right, second, atol=1e-9)


def test_losses_fall_to_the_minimum() -> None:
    best = fit_low_rank(X, Z, 2, ridge=0.0, tolerance=1e-14).loss
    for method in ("gradient", "scaled"):
        found = fit_low_rank(X, Z, 2, ridge=0.0, method=method, tolerance=1e-10)
        assert found.status is FitStatus.CONVERGED
        assert found.loss == pytest.approx(best, abs=1e-10)
    left, right = balanced_factors(spectral_start(X, Z), 2)
    losses = descend(X, Z, left, right).losses
    assert (np.diff(losses) < 1e-13).all()
    assert losses[-1] == pytest.approx(best, abs=1e-9)


def test_zero_is_a_saddle_and_long_steps_overflow() -> None:
    zero = descend(X, Z, np.zeros((5, 2)), np.zeros((6, 2)), max_rounds=20)
    assert not zero.theta.any()
    assert zero.largest == 0.0
    left, right = balanced_factors(spectral_start(X, Z), 2)
    assert descend(X, Z, left, right, step=200.0).status is FitStatus.STALLED
    with pytest.raises(ValueError, match="kind must be"):
        descend(X, Z, left, right, kind="newton")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"left must be \(5, r\)"):
        descend(X, Z, right, left)


def _plackett_luce(flat: FloatArray, x: FloatArray, ranked: FloatArray) -> float:
    u = np.einsum("nd,de,nke->nk", x, flat.reshape(x.shape[1], -1), ranked)
    total = 0.0
    for j in range(u.shape[1] - 1):
        total += float((np.logaddexp.reduce(u[:, j:], axis=1) - u[:, j]).sum())
    return total / len(u)


def test_rankings_are_fitted_to_the_plackett_luce_minimum() -> None:
    x, ranked = plain_world(low_rank_matrix(3, 4, 1, Stream(3))).rankings(400, 4, Stream(4))
    full = fit_low_rank_rankings(x, ranked, ridge=0.0, tolerance=1e-13)
    theirs = minimize(_plackett_luce, np.zeros(12), args=(x, ranked), method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(full.theta.ravel(), theirs.x, atol=1e-5)
    assert full.loss == pytest.approx(theirs.fun, abs=1e-10)

    def factored(w: FloatArray) -> float:
        return _plackett_luce(np.outer(w[:3], w[3:]).ravel(), x, ranked)

    starts = [np.asarray(Stream(5, replicate=i).normals(7)) for i in range(4)]
    best = min(minimize(factored, start, method="BFGS").fun for start in starts)
    assert fit_low_rank_rankings(x, ranked, 1, ridge=0.0, tolerance=1e-12).loss == pytest.approx(best, abs=1e-7)


def test_rankings_of_two_are_comparisons() -> None:
    x, ranked = WORLD.rankings(600, 2, Stream(6))
    pairs = pairs_of_rankings(x, ranked)
    np.testing.assert_allclose(pairs[1], ranked[:, 0] - ranked[:, 1])
    one = fit_low_rank_rankings(x, ranked, 2, ridge=1e-3, tolerance=1e-12).theta
    np.testing.assert_allclose(one, fit_low_rank(*pairs, 2, ridge=1e-3, tolerance=1e-13).theta, atol=1e-5)
    with pytest.raises(ValueError, match="rankings"):
        fit_low_rank_rankings(x, ranked[:, :1])


def test_every_pair_of_a_ranking_is_there() -> None:
    x, ranked = WORLD.rankings(7, 4, Stream(7))
    contexts, differences = pairs_of_rankings(x, ranked)
    assert differences.shape == (42, 6)
    np.testing.assert_array_equal(contexts[6:12], np.repeat(x[1:2], 6, axis=0))
    np.testing.assert_array_equal(differences[6 + 4], ranked[1, 1] - ranked[1, 3])
