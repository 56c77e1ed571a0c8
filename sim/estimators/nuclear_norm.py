"""The convex surrogate of a rank constraint, solved by cvxpy: an oracle for small problems, and a baseline."""

from __future__ import annotations

import numpy as np

from sim.arguments import require_finite, require_positive
from sim.cones import modelling, solve
from sim.estimators.low_rank_problem import checked
from sim.preferences import FloatArray


def fit_nuclear_norm(contexts: FloatArray, differences: FloatArray, penalty: float) -> FloatArray:
    """argmin (1 / n) sum_i -log sigma(x_i' Theta z_i) + penalty |Theta|_*, (d_x, d_phi); cvxpy and a cone solver.

    |Theta|_* is the sum of singular values. Theta is zero from penalty = |G(0)|_op on, G the gradient of the loss.
    """
    require_positive(penalty=penalty)
    x, z = checked(contexts, differences)
    require_finite(contexts=x, differences=z)
    cp = modelling()
    theta = cp.Variable((x.shape[1], z.shape[1]))
    product = (x[:, :, None] * z[:, None, :]).reshape(len(x), -1)
    margins = product @ cp.vec(theta, order="C")
    problem = cp.Problem(cp.Minimize(cp.sum(cp.logistic(-margins)) / len(x) + penalty * cp.normNuc(theta)))
    solve(problem)
    return np.asarray(theta.value, dtype=np.float64)


def largest_penalty(contexts: FloatArray, differences: FloatArray) -> float:
    """|G(0)|_op = |(1 / n) sum x z'|_op / 2, the penalty from which on the fit is zero."""
    x, z = checked(contexts, differences)
    require_finite(contexts=x, differences=z)
    return float(np.linalg.norm(x.T @ z, 2) / (2 * len(x)))
