"""Numbers the personalization claims are given beforehand, by other means than the code they judge."""

import numpy as np
import pytest
from scipy.optimize import minimize

from sim.algorithms.opinion_distances import opinion_distance
from sim.streams import Stream
from theory.personalization._instances import simplex_points
from theory.personalization.costs import _least_loss, _loss
from theory.personalization.personal import _D, _K, _N, GAUSSIAN_CONSTANT


def test_constant_of_the_confidence_set_is_the_normal_limits():
    """theta_i = U v_i: an error is a move of v_i and a move of U at right angles. The information of x ~ N(0, I) is
    E sigma'(1.5 z) z^2 along theta_i and E sigma'(1.5 z) across, so the moves are independent and normal."""
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    slope = weight / weight.sum() / (2.0 + np.exp(1.5 * node) + np.exp(-1.5 * node))
    along, across = (slope * node**2).sum(), slope.sum()
    generator = np.random.default_rng(5)
    ratios = []
    for _ in range(6000):
        heads = generator.standard_normal((_N, _K))
        heads *= 1.5 / np.linalg.norm(heads, axis=1, keepdims=True)
        own = generator.standard_normal((_N, _K))
        # (d - k) directions of U, each with the inverse information of all heads together.
        half = np.linalg.cholesky(np.linalg.inv(across * heads.T @ heads))
        moved = heads @ (generator.standard_normal((_D - _K, _K)) @ half.T).T
        ratios.append((own[:, 0] ** 2 / along + own[:, 1] ** 2 / across + (moved**2).sum(axis=1)).max())
    bracket = _K * (_D + _N) / _N + _K + np.log(_N / 0.1)
    assert np.quantile(ratios, 1.0 - 0.1 / 20) / bracket == pytest.approx(GAUSSIAN_CONSTANT, rel=0.06)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_the_loss_written_out_is_the_sum_of_distances(alpha):
    (*opinions, q) = simplex_points((4, 3), Stream(3, "loss"))
    opinions = np.array(opinions)
    value, gradient = _loss(opinions, q, alpha)
    assert value == pytest.approx(opinion_distance(opinions, q, alpha).sum(), rel=1e-10)
    # Along the simplex: what a move off it does is no distance's.
    for move in np.eye(3)[:2] - np.eye(3)[2]:
        ahead, behind = (_loss(opinions, q + step * move, alpha)[0] for step in (1e-6, -1e-6))
        assert gradient @ move == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_the_least_loss_is_that_of_another_optimiser(alpha):
    opinions = simplex_points((3, 3), Stream(4, "least"))
    found = minimize(
        lambda q: _loss(opinions, q, alpha)[0], np.full(3, 1 / 3), method="SLSQP", bounds=[(1e-6, 1.0)] * 3,
        constraints={"type": "eq", "fun": lambda q: q.sum() - 1.0}, options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    assert _least_loss(opinions, alpha) == pytest.approx(found.fun, abs=1e-8)
