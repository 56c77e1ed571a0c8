"""Weighted Plackett-Luce maximum likelihood for K-wise answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from sim.arguments import float_array, require_count, require_not_negative, require_positive, weight_array
from sim.preferences import FloatArray


class PlackettLuceStatus(Enum):
    """How the fit ended; each value says what to do."""

    CONVERGED = "the gradient is below its tolerance"
    STALLED = "no step improved the objective before the gradient was small; raise the ridge"
    MAX_STEPS = "the step limit was reached first; raise max_steps or the ridge"


@dataclass(frozen=True, eq=False)
class PlackettLuceFit:
    """theta (d,), the final penalised negative log-likelihood, its gradient's largest entry, the status."""

    theta: FloatArray
    objective: float
    gradient_norm: float
    steps: int
    status: PlackettLuceStatus


# Long for its docstring; objective and its derivatives are the inner function, the rest is one loop.
def fit_plackett_luce(
    features: FloatArray,
    n_ranked: int,
    weights: FloatArray | None = None,
    *,
    ridge: float = 1e-3,
    start: FloatArray | None = None,
    tolerance: float = 1e-9,
    max_steps: int = 100,
) -> PlackettLuceFit:
    """Minimise -sum_j w_j sum_{s < n_ranked} [u_s - logsumexp_{t >= s} u_t] + 0.5 ridge ||theta||^2.

    features: (n, J, d) in ranked order, u = features @ theta (arXiv 2405.15065, section on rankings; with
    J = 2 this is Bradley-Terry on features[:, 0] - features[:, 1]).  The tolerance is on the gradient's
    largest entry divided by the total weight.
    """
    float_array("features", features, ("n", "J", "d"))
    n_rows, n_offered, dimension = features.shape
    require_count("n_ranked", n_ranked, 1, n_offered)
    require_not_negative(ridge=ridge)
    require_positive(tolerance=tolerance)
    require_count("max_steps", max_steps, 0)
    weights = weight_array("weights", weights, n_rows)
    theta = np.zeros(dimension) if start is None else float_array("start", start, (dimension,)).copy()
    places = min(n_ranked, n_offered - 1)
    scale = max(float(weights.sum()), 1e-300)

    def evaluate(point: FloatArray, order: int) -> tuple[float, FloatArray, FloatArray]:
        utility = features @ point
        value = 0.5 * ridge * float(point @ point)
        gradient, hessian = ridge * point, ridge * np.eye(dimension)
        for place in range(places):
            remaining, phi = utility[:, place:], features[:, place:]
            top = remaining.max(axis=1, keepdims=True)
            mass = np.exp(remaining - top)
            total = mass.sum(axis=1, keepdims=True)
            value += float(weights @ (np.log(total[:, 0]) + top[:, 0] - remaining[:, 0]))
            if order == 0:
                continue
            chance = mass / total
            mean = np.einsum("nj,njd->nd", chance, phi)
            gradient = gradient + (mean - phi[:, 0]).T @ weights
            centred = phi - mean[:, None, :]
            # Two factors by BLAS: of three at once einsum makes plain loops, twice the time of all the rest.
            weighed = (weights[:, None] * chance)[:, :, None] * centred
            hessian = hessian + weighed.reshape(-1, dimension).T @ centred.reshape(-1, dimension)
        return value, gradient, hessian

    status, steps = PlackettLuceStatus.MAX_STEPS, 0
    value, gradient, hessian = evaluate(theta, 2)
    while steps < max_steps:
        if np.abs(gradient).max() <= tolerance * scale:
            status = PlackettLuceStatus.CONVERGED
            break
        step = np.linalg.solve(hessian, gradient)
        size, slope = 1.0, float(gradient @ step)
        # The last term is the rounding of the objective itself: below it no gain can be seen.
        while evaluate(theta - size * step, 0)[0] > value - 1e-4 * size * slope + 1e-14 * abs(value) and size > 1e-12:
            size *= 0.5
        if size <= 1e-12:
            status = PlackettLuceStatus.STALLED
            break
        theta = theta - size * step
        value, gradient, hessian = evaluate(theta, 2)
        steps += 1
    return PlackettLuceFit(theta, value, float(np.abs(gradient).max()), steps, status)
