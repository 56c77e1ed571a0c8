"""One large Bradley-Terry fit against scikit-learn's solvers and Newton's method in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from duel import Candidate, Duel
from limits import DIVISION, EXP, Work
from sklearn.linear_model import LogisticRegression

from sim.estimators.bradley_terry import fit_bradley_terry
from sim.preferences import FloatArray
from sim.streams import Stream

_RIDGE = 1e-3


def numpy_newton(x: FloatArray, tolerance: float = 1e-8) -> FloatArray:
    """Full Newton steps, products by BLAS, to |gradient| <= tolerance n."""
    theta = np.zeros(x.shape[1])
    for _ in range(50):
        wrong = 1 / (1 + np.exp(x @ theta))
        gradient = _RIDGE * theta - x.T @ wrong
        if np.abs(gradient).max() <= tolerance * len(x):
            break
        hessian = x.T @ (x * (wrong * (1 - wrong))[:, None]) + _RIDGE * np.eye(len(theta))
        theta -= np.linalg.solve(hessian, gradient)
    return theta


def sklearn_fit(x: FloatArray, label: Any, solver: str) -> FloatArray:
    model = LogisticRegression(C=1 / _RIDGE, fit_intercept=False, solver=solver, tol=1e-8, max_iter=200)
    return np.asarray(model.fit(x, label).coef_[0])


def _one_fit(d: int, must: float) -> Callable[[], Duel]:
    def duel() -> Duel:
        n = 1_000_000
        x = Stream(31, role=f"features/{d}").normals((n, d))
        theta = Stream(31, role=f"theta/{d}").normals(d) / np.sqrt(d)
        won = Stream(31, role=f"choice/{d}").uniforms(n) < 1 / (1 + np.exp(-(x @ theta)))
        x *= np.where(won, 1.0, -1.0)[:, None]
        label = np.arange(n) % 2
        signed = x * np.where(label == 1, 1.0, -1.0)[:, None]

        def agree(ours: Any, name: str, theirs: Any) -> None:
            np.testing.assert_allclose(ours.theta, theirs, atol=2e-4 if "lbfgs" in name else 1e-5)

        # Five passes: margins, sigmoid and gradient; two of them with the lower triangle of the Hessian, the others
        # with the one at hand.
        work = Work(operations=n * (5 * (4 * d + EXP + 2 * DIVISION) + 2 * d * (d + 1)))
        return Duel(
            f"one Bradley-Terry fit, n = {n:,}, d = {d}",
            Candidate(lambda: fit_bradley_terry(x, ridge=_RIDGE)),
            {
                "NumPy Newton": (Candidate(lambda: numpy_newton(x)), must),
                "scikit-learn newton-cholesky": (
                    Candidate(lambda: sklearn_fit(signed, label, "newton-cholesky")),
                    must,
                ),
                "scikit-learn lbfgs": (Candidate(lambda: sklearn_fit(signed, label, "lbfgs")), must),
            },
            agree,
            repeats=3,
            limit=work,
        )

    return duel


ONE_FIT_DUELS = {"one-fit-16": _one_fit(16, 5.0), "one-fit-64": _one_fit(64, 2.5)}
