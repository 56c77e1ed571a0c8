"""Confidence sets in the reduced subspace against their formulas written out, and against another optimiser."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2

from sim.environments.low_rank import low_rank_matrix, plain_world
from sim.estimators.low_rank import fit_low_rank
from sim.estimators.reduced_confidence import MODES, curvature, reduced_confidence, reduced_fit, scaled_error
from sim.estimators.reduced_subspace import ReducedSubspace, reduced_subspace
from sim.streams import Stream


def _answers(n=600, seed=0):
    stream = Stream(seed, "reduced-confidence")
    theta = low_rank_matrix(4, 5, 1, stream.child("theta"))
    return theta, *plain_world(theta).comparisons(n, stream)


def _sigmoid(u):
    return 1.0 / (1.0 + np.exp(-u))


@pytest.mark.parametrize("ridge", [1e-6, 1e-2])
def test_refit_against_scipy(ridge):
    theta, x, z = _answers()
    psi = reduced_subspace(theta, 1).features(x, z)

    def objective(v):
        return np.logaddexp(0.0, -psi @ v).mean() + 0.5 * ridge * v @ v

    found = minimize(objective, np.zeros(psi.shape[1]), method="BFGS", options={"gtol": 1e-9})
    assert reduced_fit(psi, ridge) == pytest.approx(found.x, abs=1e-5)


def test_wald_by_its_formula():
    theta, x, z = _answers()
    subspace = reduced_subspace(theta, 1)
    found = reduced_confidence(subspace, x, z, delta=0.2, ridge=1e-3)
    psi = subspace.features(x, z)
    p = _sigmoid(psi @ found.estimate)
    hessian = np.einsum("n,ni,nj->ij", p * (1 - p), psi, psi) / len(x) + 1e-3 * np.eye(8)
    assert found.covariance == pytest.approx(hessian)
    assert found.radius == pytest.approx(chi2.ppf(0.8, 8) / len(x))


def test_scale_is_of_the_radius_and_the_ellipsoid_keeps_its_square():
    theta, x, z = _answers()
    subspace = reduced_subspace(theta, 1)
    for mode in MODES:
        one, half = (reduced_confidence(subspace, x, z, mode=mode, scale=c, truth=theta) for c in (1.0, 0.5))
        assert half.radius == pytest.approx(0.25 * one.radius), mode
        assert half.covariance == pytest.approx(one.covariance)


def test_degrees_of_freedom_can_be_given():
    theta, x, z = _answers()
    subspace = reduced_subspace(theta, 1)
    assert reduced_confidence(subspace, x, z, dimension=9).radius == pytest.approx(chi2.ppf(0.9, 9) / len(x))


# Two contexts and differences in two dimensions; the subspace keeps e1 of both, so that psi = (x1 z1, x2 z1, x1 z2).
_AXES = ReducedSubspace(np.eye(2), np.eye(2), 1)
_X = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, -1.0], [2.0, 0.0], [1.0, 0.0]])
_Z = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [1.0, 1.0], [0.0, -1.0], [-1.0, 0.0]])
_PSI = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0], [1, -1, 1], [0, 0, -2], [-1, 0, 0]], dtype=np.float64)
_TRUTH = np.array([[0.5, 0.2], [-0.4, 0.3]])
# What truncation drops, x2 z2 Theta_22.
_MISSED = 0.3 * np.array([0.0, 1.0, 1.0, -1.0, 0.0, 0.0])


def test_tiny_case_is_as_written():
    assert _AXES.features(_X, _Z) == pytest.approx(_PSI)
    assert _AXES.bias(_TRUTH, _X, _Z) == pytest.approx(_MISSED)
    assert _AXES.vector(_TRUTH) == pytest.approx([0.5, -0.4, 0.2])


def test_weighted_by_hand():
    found = reduced_confidence(_AXES, _X, _Z, mode="weighted", delta=0.1, ridge=0.05, truth=_TRUTH)
    larger = np.maximum(np.abs(_PSI @ found.estimate), np.abs(_PSI @ [0.5, -0.4, 0.2]))
    kappa = _sigmoid(larger) * (1.0 - _sigmoid(larger))
    low = sum(k * np.outer(row, row) for k, row in zip(kappa, _PSI, strict=True)) / 6
    assert found.covariance == pytest.approx(low)
    values, vectors = np.linalg.eigh(low)
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    q = root @ (_PSI.T @ _PSI / 6) @ root
    L, b_rms = np.log(10.0), np.sqrt(0.27 / 6)
    largest = np.linalg.norm(q, 2)
    f = 0.5 * np.sqrt((np.trace(q) + 2 * np.sqrt(np.trace(q @ q) * L) + 2 * largest * L) / 6)
    assert np.sqrt(found.radius) == pytest.approx(f + b_rms / 4 * np.sqrt(largest))


def test_theory_by_hand():
    found = reduced_confidence(_AXES, _X, _Z, mode="theory", delta=0.1, ridge=0.05, truth=_TRUTH)
    own = found.estimate
    estimate = np.array([[own[0], own[2]], [own[1], 0.0]])
    steepest = max(np.linalg.svd(theta)[1][0] for theta in (_TRUTH, estimate))
    # The longest |x| |z| is 2: the fourth answer, sqrt 2 times sqrt 2, and the fifth, 2 times 1.
    kappa = _sigmoid(2.0 * steepest) * _sigmoid(-2.0 * steepest)
    L, b_rms, size = np.log(10.0), np.sqrt(0.27 / 6), np.sqrt(0.25 + 0.04 + 0.16 + 0.09)
    f = (0.5 * np.sqrt((3 + 2 * np.sqrt(3 * L) + 2 * L) / 6) + b_rms / 4) / kappa + np.sqrt(0.05 / kappa) * size
    assert np.sqrt(found.radius) == pytest.approx(f)
    assert found.covariance == pytest.approx(_PSI.T @ _PSI / 6 + 0.05 / kappa * np.eye(3))


def test_theory_goes_as_far_as_the_truncated_truth():
    """[[1, 1], [1, -1]] has norm sqrt 2, and without its last entry the golden ratio: truncation can lengthen."""
    truth = 0.5 * np.array([[1.0, 1.0], [1.0, -1.0]])
    found = reduced_confidence(_AXES, _X, _Z, mode="theory", delta=0.1, ridge=9.0, truth=truth)
    assert np.abs(found.estimate).max() < 0.1
    margin = 2.0 * 0.5 * (1 + np.sqrt(5)) / 2
    kappa = _sigmoid(margin) * _sigmoid(-margin)
    assert found.covariance == pytest.approx(_PSI.T @ _PSI / 6 + 9.0 / kappa * np.eye(3))


def test_reuse_changes_nothing():
    """The gradient of a rank-constrained maximum vanishes on the tangent space: the refit stays where it is."""
    _, x, z = _answers(2000, seed=3)
    theta = fit_low_rank(x, z, 1, ridge=1e-4, tolerance=1e-14).theta
    subspace = reduced_subspace(theta, 1)
    refit = reduced_confidence(subspace, x, z, ridge=1e-4).estimate
    assert refit == pytest.approx(subspace.vector(theta), abs=1e-6)
    # Other answers do move it.
    _, other_x, other_z = _answers(2000, seed=4)
    moved = reduced_confidence(subspace, other_x, other_z, ridge=1e-4).estimate
    assert np.abs(moved - subspace.vector(theta)).max() > 1e-2


def test_scaled_error_decides_coverage():
    theta, x, z = _answers()
    subspace = reduced_subspace(theta, 1)
    found = reduced_confidence(subspace, x, z)
    rng = np.random.default_rng(0)
    for _ in range(20):
        point = found.estimate + 0.15 * rng.normal(size=8)
        gap = point - found.estimate
        assert scaled_error(found, point) == pytest.approx(gap @ found.covariance @ gap / found.radius)
        assert (scaled_error(found, point) <= 1.0) == found.contains(point)


def test_curvature_is_the_sigmoid_s_derivative():
    u = np.linspace(-8, 8, 33)
    assert curvature(u) == pytest.approx((_sigmoid(u + 1e-6) - _sigmoid(u - 1e-6)) / 2e-6, abs=1e-9)
    assert curvature(np.array([-900.0, 900.0])) == pytest.approx([0.0, 0.0])


def test_bad_input():
    theta, x, z = _answers(50)
    subspace = reduced_subspace(theta, 1)
    with pytest.raises(ValueError, match="mode must be one of wald, weighted, theory"):
        reduced_confidence(subspace, x, z, mode="walt")
    with pytest.raises(ValueError, match="delta must lie between 0 and 1"):
        reduced_confidence(subspace, x, z, delta=0.0)
    for mode in ("weighted", "theory"):
        with pytest.raises(ValueError, match="truth must be given"):
            reduced_confidence(subspace, x, z, mode=mode)
