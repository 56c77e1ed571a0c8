"""Answers turned to rows of features, whatever their number and shape."""

import numpy as np
import pytest
from numba import njit

from sim.compiled.newton import DECREMENT, SIZE, _lengthen
from sim.compiled.tiles import padded, take_rows
from sim.estimators.bradley_terry import fit_bradley_terry, fit_bradley_terry_batch
from sim.streams import Stream


@njit
def _take(answers, lo, hi, rows):
    return take_rows(answers, lo, hi, rows)


@njit
def _long(theta, loss, progress):
    _lengthen(theta, loss, progress)


@pytest.mark.parametrize("m", [0, 1, 3, 4, 5, 8, 11])
@pytest.mark.parametrize("d", [1, 3, 4, 6, 8, 9])
def test_rows_are_the_columns(m, d):
    answers = Stream(1, f"rows/{m}/{d}").normals((m + 5, d))
    rows = np.full((padded(d), 20), 7.0)
    assert _take(answers, 2, 2 + m, rows) == 0.0
    np.testing.assert_array_equal(rows[:d, :m], answers[2 : 2 + m].T)
    assert (rows[:, m:] == 7.0).all()
    assert (rows[d:] == 7.0).all()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_each_number_is_looked_at(odd):
    for row in range(6):
        for column in range(6):
            answers = np.ones((6, 6))
            answers[row, column] = odd
            assert np.isnan(_take(answers, 0, 6, np.zeros((8, 6))))


def _answers(n, scale, batch=()):
    stream = Stream(2, f"first-step/{scale}")
    x = stream.child("x").normals((*batch, n, 4))
    theta = np.array([scale, 0.0, 0.0, 0.0])
    first = stream.child("choice").uniforms((*batch, n)) < 1 / (1 + np.exp(-x @ theta))
    return np.where(first[..., None], x, -x)


@pytest.mark.parametrize("scale", [0.3, 1.0, 1.5])
def test_the_first_step_is_as_long_as_the_optimum(scale):
    x = _answers(400_000, scale)
    gradient, hessian = -0.5 * x.sum(axis=0), 0.25 * x.T @ x
    theta = -np.linalg.solve(hessian, gradient)
    optimum = np.linalg.norm(fit_bradley_terry(x).theta)
    short = np.linalg.norm(theta)
    progress = np.zeros(7)
    progress[DECREMENT] = -gradient @ theta
    _long(theta, len(x) * np.log(2), progress)
    assert progress[SIZE] == pytest.approx(np.linalg.norm(theta) / short)
    assert abs(np.linalg.norm(theta) - optimum) < 0.3 * (optimum - short)


def test_margins_far_from_normal_only_cost_steps():
    x = _answers(300, 2.0, (20,)) * np.where(Stream(3).uniforms((20, 300)) < 0.02, 100.0, 1.0)[..., None]
    batch = fit_bradley_terry_batch(x, ridge=1.0)
    assert (batch.status == 0).all()
    for own, theta in zip(x, batch.theta, strict=True):
        wrong = 1 / (1 + np.exp(np.clip(own @ theta, -700, 700)))
        assert np.abs(theta - wrong @ own).max() <= 1e-8 * 300
