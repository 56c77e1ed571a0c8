"""Bilinear rewards from choices: the optimum of a plain objective, and of pairs what the estimators for pairs find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from sim.choice_sets import choice_sets
from sim.estimators.bilinear_choices import fit_full_choices, fit_low_rank_choices
from sim.estimators.shared_representation import fit_shared

DRAW = np.random.default_rng(0)
N, D, DX = 12, 4, 3
WHO = DRAW.integers(0, N, 150)
SIZES = DRAW.integers(1, 4, 150)
STARTS = np.concatenate([[0], np.cumsum(SIZES)])
X = DRAW.normal(size=(N, DX))
SETS = choice_sets(
    DRAW.normal(size=(STARTS[-1], D)), STARTS, WHO, N, DRAW.uniform(0.5, 2, 150), DRAW.normal(size=STARTS[-1])
)


def _objective(theta, ridge, x=None):
    rewards = theta if x is None else x @ theta
    z = SETS.offset + (SETS.rows * rewards[WHO[SETS.choice_of_row]]).sum(axis=1)
    loss = [w * np.log1p(np.exp(-z[a:b]).sum()) for w, a, b in zip(SETS.weights, STARTS, STARTS[1:], strict=False)]
    return sum(loss) + 0.5 * ridge * (theta**2).sum()


@pytest.mark.parametrize("x", [None, X])
def test_the_full_fit_is_stationary(x):
    theta = fit_full_choices(SETS, x, ridge=0.7)
    slope = approx_fprime(theta.ravel(), lambda flat: _objective(flat.reshape(theta.shape), 0.7, x), 1e-6)
    assert np.abs(slope).max() < 1e-3


@pytest.mark.parametrize("x", [None, X])
def test_low_rank_is_stationary_along_matrices_of_that_rank_and_between_full_and_nothing(x):
    theta = fit_low_rank_choices(SETS, x, 2, ridge=0.7)
    assert np.linalg.matrix_rank(theta, tol=1e-8) == 2
    left, values, right = np.linalg.svd(theta, full_matrices=False)
    a, b = left[:, :2] * values[:2], right[:2].T
    for part, make in ((a, lambda flat: flat.reshape(a.shape) @ b.T), (b, lambda flat: a @ flat.reshape(b.shape).T)):
        slope = approx_fprime(part.ravel(), lambda flat, make=make: _objective(make(flat), 0.7, x), 1e-6)
        assert np.abs(slope).max() < 5e-3
    full = _objective(fit_full_choices(SETS, x, ridge=0.7), 0.7, x)
    assert full <= _objective(theta, 0.7, x) + 1e-9 <= _objective(np.zeros_like(theta), 0.7, x)


def test_of_pairs_it_is_the_shared_subspace():
    rows, who = DRAW.normal(size=(400, D)), DRAW.integers(0, N, 400)
    pairs = choice_sets(rows, np.arange(401), who, N)
    ours = fit_low_rank_choices(pairs, None, 1, ridge=1.0)
    theirs = fit_shared(rows, who, N, 1, ridge=1.0)
    np.testing.assert_allclose(ours, theirs.theta, atol=2e-3)


def test_a_rank_that_is_not_possible_is_named():
    with pytest.raises(ValueError, match="rank"):
        fit_low_rank_choices(SETS, None, D + 1, ridge=1.0)
    with pytest.raises(ValueError, match="contexts"):
        fit_full_choices(SETS, X[1:], ridge=1.0)
    with pytest.raises(ValueError, match="ridge"):
        fit_full_choices(SETS, X, ridge=0.0)
