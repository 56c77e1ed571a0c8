"""What the low-rank claims rest on, against quadrature, finite differences, other solvers and hand-worked cases."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import chi2

from sim.algorithms.reduced_pessimism import lower_bounds
from sim.environments.low_rank import low_rank_matrix, plain_world
from sim.estimators.low_rank import fit_low_rank, manifold_dimension
from sim.estimators.reduced_confidence import reduced_confidence
from sim.estimators.reduced_subspace import reduced_subspace
from sim.streams import Stream
from theory.engine.verdicts import Verdict
from theory.low_rank import coverage_conditions, greedy
from theory.low_rank._instances import Size, information, tangent_basis, tight_fit
from theory.low_rank.constants import EachEquivalent, error_constants, fixed_world
from theory.low_rank.coverage import TheoryCoverage
from theory.low_rank.descent import ZeroSaddle
from theory.low_rank.estimation import certified_error
from theory.low_rank.reduction import BoundRatio
from theory.low_rank.special import fixed_groups, group_answers, group_rewards
from theory.low_rank.structure import _rotated
from theory.low_rank.truncation import SubspaceSure, TruncationSure

S = Stream(8, "low-rank-claims")


@pytest.mark.parametrize(("d_x", "d_phi", "rank"), [(3, 4, 1), (5, 6, 2), (4, 7, 3), (6, 3, 3)])
def test_tangent_basis_is_that_of_the_curves_through_theta(d_x, d_phi, rank):
    """Velocities of rank-r curves, by finite differences, lie in it; there are k of them, and no more."""
    g = np.random.default_rng(rank)
    A, B = g.standard_normal((d_x, rank)), g.standard_normal((d_phi, rank))
    basis = tangent_basis(A @ B.T, rank)
    assert basis.shape == (d_x * d_phi, manifold_dimension(d_x, d_phi, rank))
    assert basis.T @ basis == pytest.approx(np.eye(basis.shape[1]), abs=1e-12)
    velocities = []
    for _ in range(d_x * d_phi):
        U, V, h = g.standard_normal(A.shape), g.standard_normal(B.shape), 1e-6
        velocities.append(((A + h * U) @ (B + h * V).T - (A - h * U) @ (B - h * V).T).ravel() / (2 * h))
    found = np.array(velocities).T
    assert np.abs(found - basis @ (basis.T @ found)).max() < 1e-8
    assert np.linalg.matrix_rank(found, tol=1e-6) == basis.shape[1]


def test_information_is_the_hessian_of_the_mean_loss():
    theta = low_rank_matrix(2, 3, 1, S)
    x, z = plain_world(theta).comparisons(40, S.child("hessian"))

    def loss(entries):
        return np.logaddexp(0.0, -((x @ entries.reshape(2, 3)) * z).sum(axis=1)).mean()

    h, point, hessian = 1e-4, theta.ravel(), np.empty((6, 6))
    for i, a in enumerate(h * np.eye(6)):
        for j, b in enumerate(h * np.eye(6)):
            difference = loss(point + a + b) - loss(point + a - b) - loss(point - a + b) + loss(point - a - b)
            hessian[i, j] = difference / (4 * h * h)
    assert information(theta, x, z) == pytest.approx(hessian, abs=1e-6)


def quadrature(values, d_x, d_phi):
    """Both constants for x and z standard normal. In the singular vectors' coordinates u sees the first r entries of
    each only, so that H splits into blocks: r^2 entries together, d_x - r copies of E sigma' z z', d_phi - r of
    E sigma' x x', and E sigma' for each entry of the rest."""
    r = len(values)
    node, weight = np.polynomial.hermite_e.hermegauss(28)
    points = np.stack([axis.ravel() for axis in np.meshgrid(*[node] * (2 * r), indexing="ij")], axis=1)
    mass = np.prod([axis.ravel() for axis in np.meshgrid(*[weight / weight.sum()] * (2 * r), indexing="ij")], axis=0)
    x, z = points[:, :r], points[:, r:]
    p = expit((x * values * z).sum(axis=1))
    mass = mass * p * (1 - p)
    product = (x[:, :, None] * z[:, None, :]).reshape(len(x), -1)
    together, of_z, of_x = ((part.T * mass) @ part for part in (product, z, x))
    low = np.trace(np.linalg.inv(together))
    low += (d_x - r) * np.trace(np.linalg.inv(of_z)) + (d_phi - r) * np.trace(np.linalg.inv(of_x))
    return low, low + (d_x - r) * (d_phi - r) / mass.sum()


@pytest.mark.parametrize("size", [Size(5, 6, 2, ratio=1.5), Size(6, 6, 1)])
def test_constants_agree_with_quadrature(size):
    values = np.linalg.svd(size.theta(S), compute_uv=False)[: size.rank]
    assert error_constants(size) == pytest.approx(quadrature(values, size.d_x, size.d_phi), rel=0.015)


def test_the_constant_is_that_of_a_brute_force_simulation():
    """(3, 3, 1), unequal variances: 250 samples, each minimised by scipy over both factors and over all entries."""
    size, n = Size(3, 3, 1), 4000
    expected, world = np.array(error_constants(size, 6.0)), fixed_world(size, 6.0)
    theta, squared = world.theta, []
    u, s, vt = np.linalg.svd(theta)
    for replicate in range(250):
        x, z = world.comparisons(n, S.at(replicate=replicate).child("tiny"))

        def loss(matrix, x=x, z=z):
            margin = ((x @ matrix) * z).sum(axis=1)
            return np.logaddexp(0.0, -margin).mean(), -(x * expit(-margin)[:, None]).T @ z / n

        def factored(ab, loss=loss):
            value, gradient = loss(np.outer(ab[:3], ab[3:]))
            return value, np.concatenate([gradient @ ab[3:], ab[:3] @ gradient])

        def free(entries, loss=loss):
            value, gradient = loss(entries.reshape(3, 3))
            return value, gradient.ravel()

        ab = minimize(factored, np.concatenate([s[0] * u[:, 0], vt[0]]), jac=True, method="L-BFGS-B").x
        full = minimize(free, theta.ravel(), jac=True, method="L-BFGS-B").x.reshape(3, 3)
        squared.append([((np.outer(ab[:3], ab[3:]) - theta) ** 2).sum(), ((full - theta) ** 2).sum()])
    found = n * np.array(squared)
    error = found.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - expected) < 3.5 * error).all()
    # The simulation tells the two constants apart, and a projection of the unconstrained fit from the constrained one.
    x, z = world.comparisons(50_000, S.child("projected"))
    T = tangent_basis(theta, 1)
    projected = np.trace(T.T @ np.linalg.inv(information(theta, x, z)) @ T)
    assert min(expected[1], projected) - expected[0] > 5 * error[0]


def test_certificate_of_three_wins_in_four():
    """One number: the maximum is log 3, the gradient at 0 is 1/4, the least curvature 3/16."""
    x, z = np.ones((4, 1)), np.array([[1.0], [1.0], [1.0], [-1.0]])
    found = certified_error(np.zeros((1, 1)), np.full((1, 1), np.log(3.0)), 1, x, z)
    assert found == pytest.approx(np.log(3.0) * (3 / 16) / (2 * np.sqrt(2) / 4), rel=1e-12)


@pytest.mark.parametrize("angle", [0.1, 0.7, np.pi / 2])
def test_truncation_of_a_turned_direction(angle):
    """Theta = s e1 e1', its estimate s cos^2(a) along directions a away on both sides: the dropped block is s sin^2(a),
    |Delta|^2 = s^2 (1 - cos^4(a)), and their ratio times s is 1 / (1 + cos^2(a)), 1 at a right angle."""
    theta = np.zeros((3, 4))
    theta[0, 0] = 2.0
    left, right = np.zeros(3), np.zeros(4)
    left[:2] = right[:2] = np.cos(angle), np.sin(angle)
    estimate = 2.0 * np.cos(angle) ** 2 * np.outer(left, right)
    space = reduced_subspace(estimate if angle < 1.5 else np.outer(left, right), 1)
    error = float(np.linalg.norm(estimate - theta))
    assert np.linalg.norm(space.tail(theta)) == pytest.approx(2.0 * np.sin(angle) ** 2, abs=1e-12)
    assert TruncationSure()._ratio(theta, 2.0, error, space) == pytest.approx(1 / (1 + np.cos(angle) ** 2))
    one_sided = np.sin(angle) / np.sqrt(1 - np.cos(angle) ** 4)
    assert SubspaceSure()._ratio(theta, 2.0, error, space) == pytest.approx(one_sided)


def test_rotations_keep_the_subspaces_unless_mixed():
    space = reduced_subspace(Size(5, 6, 2).theta(S), 2)
    for mixed in (False, True):
        turned = _rotated(space, S, mixed)
        for side in (turned.left, turned.right):
            assert side.T @ side == pytest.approx(np.eye(len(side)), abs=1e-12)
        kept = np.linalg.svd(space.left[:, :2].T @ turned.left[:, :2], compute_uv=False)
        assert kept.min() == pytest.approx(np.cos(0.3) if mixed else 1.0, abs=1e-12)


def test_one_context_is_scipys_logistic_regression():
    """Estimate and lower bounds of d_x = 1 against scipy and the formula written out."""
    n, ridge = 600, 1e-3
    theta = np.array([[0.8, -0.5, 0.3]])
    world = plain_world(theta)
    z = world.comparisons(n, S.child("one"))[1]
    x = np.ones((n, 1))

    def loss(b):
        return np.logaddexp(0.0, -z @ b).mean() + 0.5 * ridge * b @ b

    b = minimize(loss, np.zeros(3), tol=1e-12).x
    hessian = (z.T * (expit(z @ b) * expit(-z @ b))) @ z / n + ridge * np.eye(3)
    phi = S.child("phi").normals((7, 4, 3))
    width = np.sqrt(np.einsum("mai,ij,maj->ma", phi, np.linalg.inv(hessian), phi) * chi2.ppf(0.9, 3) / n)
    space = reduced_subspace(fit_low_rank(x, z, 1, ridge=ridge).theta, 1)
    found = lower_bounds(space.features(np.ones((7, 1, 1)), phi), reduced_confidence(space, x, z, ridge=ridge))
    assert found == pytest.approx(phi @ b - width, abs=1e-5)


def test_groups_of_few_types():
    theta = group_rewards(7, 3, 5, S, length=2.0)
    assert np.linalg.matrix_rank(theta) == 3
    assert np.linalg.norm(theta, axis=1) == pytest.approx(2.0)
    assert theta[0] == pytest.approx(theta[3])
    x, group, z = group_answers(theta, 40_000, S)
    assert x.sum(axis=1) == pytest.approx(1.0)
    assert (x.argmax(axis=1) == group).all()
    # Signed so that the likelier side comes out as often as it should: E[sigma(|u|)] of |u|.
    u = (theta[group] * z).sum(axis=1)
    assert (u > 0).mean() == pytest.approx(expit(np.abs(u)).mean(), abs=4 * 0.5 / np.sqrt(len(u)))


def test_groups_ratio_is_that_of_separate_groups():
    """Without the constraint every group is a logistic regression on a twelfth of the answers."""
    theta, ratio = fixed_groups(2)
    x, group, z = group_answers(theta, 100_000, S.child("fresh"))
    each = 0.0
    for g in range(12):
        own = z[group == g]
        p = expit(own @ theta[g])
        each += np.trace(np.linalg.inv((own.T * (p * (1 - p))) @ own / len(z)))
    H, T = information(theta, x, z), tangent_basis(theta, 2)
    assert np.trace(np.linalg.inv(H)) == pytest.approx(each, rel=1e-8)
    assert ratio == pytest.approx(np.trace(np.linalg.inv(T.T @ H @ T)) / each, rel=0.02)
    assert ratio > manifold_dimension(12, 8, 2) / 96


def test_a_tight_fit_is_the_minimum_over_rank():
    """No direction of the tangent space, and no other start, is better."""
    size = Size(4, 5, 2)
    x, z = size.world(S.child("tight")).comparisons(500, S.child("tight"))
    best = tight_fit(x, z, 2)

    def loss(matrix):
        return float(np.logaddexp(0.0, -((x @ matrix) * z).sum(axis=1)).mean())

    g = np.random.default_rng(0)
    others = [fit_low_rank(x, z, 2, ridge=1e-9, start=g.standard_normal((4, 5))).theta for _ in range(10)]
    assert min(map(loss, others)) > loss(best) - 1e-9
    assert np.linalg.matrix_rank(best, tol=1e-8) == 2
    assert loss(best) < loss(tight_fit(x, z, 1)) - 1e-3
    assert loss(best) > loss(tight_fit(x, z, None))


def test_the_saddle_claim_starts_at_zero():
    claim = ZeroSaddle()
    setting = claim.SETTINGS["as_stated"].setting
    assert claim.draw(setting, S) == 0.0
    assert 0.1 < claim.draw(claim.control(setting)[0].setting, S) < 10.0


def verdict_of(claim):
    """What the claim says of its own setting, 400 draws, without its controls."""
    setting = dataclasses.replace(claim.SETTINGS["as_stated"].setting, replicates=400)
    measured = claim.measure(setting, S.child("verdict"))
    return claim.bound(setting).judge(measured.values, measured.grid, S).verdict


@pytest.mark.parametrize(("power", "expected"), [(0.0, Verdict.HOLDS), (0.5, Verdict.VIOLATED)])
def test_greed_that_decays_as_a_root_is_caught(monkeypatch, power, expected):
    """P(loss 1) = .3 (2,000 / n)^power: at 2,000 answers both lose as much, so that one n cannot tell them apart."""

    def loss(setting, stream):
        return float(stream.child("wrong").uniforms(1)[0] < 0.3 * (2000 / setting.n) ** power)

    monkeypatch.setattr(greedy, "loss", loss)
    assert verdict_of(greedy.GreedyStays()) is expected


@pytest.mark.parametrize(("falls", "expected"), [(True, Verdict.HOLDS), (False, Verdict.VIOLATED)])
def test_coverage_that_is_as_bad_at_every_n_has_not_collapsed(monkeypatch, falls, expected):
    def learned(setting, stream):
        misses = 0.95 if setting.n > 2000 or not falls else 0.3
        return SimpleNamespace(error=2.0 * (stream.child("miss").uniforms(1)[0] < misses))

    monkeypatch.setattr(coverage_conditions, "learned", learned)
    assert verdict_of(coverage_conditions.RankTooSmall()) is expected


def test_the_limit_of_the_ratio_of_bounds_is_each_ranks_own():
    """Rank 6 is within its own (chi2_66 / chi2_80)^(1/2), though not within that of rank 2: a true case, no control."""
    claim = BoundRatio()
    setting = dataclasses.replace(claim.SETTINGS["as_stated"].setting, rank=6, replicates=12)
    bound = claim.bound(claim.SETTINGS["as_stated"].setting)
    assert bound.judge(claim.measure(setting, S).values, None, S).verdict is Verdict.HOLDS


def test_controls_of_the_radius_change_one_thing_each():
    claim = TheoryCoverage()
    own = dataclasses.asdict(claim.SETTINGS["as_stated"].setting)
    for control in claim.control(claim.SETTINGS["as_stated"].setting):
        other = dataclasses.asdict(control.setting)
        assert len([name for name in own if name != "replicates" and own[name] != other[name]]) == 1, control.name


def test_every_column_has_to_be_equivalent():
    noise = np.random.default_rng(4).standard_normal((40, 5))
    judge, inside = EachEquivalent(1.0, 0.1), 1.0 + 0.05 * noise
    found = judge.judge(inside, None, S)
    assert found.verdict is Verdict.HOLDS
    assert found.measured == pytest.approx(max(inside.mean(axis=0), key=lambda mean: abs(mean - 1.0)))
    # The mean over all columns is 1.04: one that is off by .2 is not averaged away.
    one_off = inside + 0.2 * (np.arange(5) == 3)
    assert judge.judge(one_off, None, S).verdict is Verdict.VIOLATED
    assert judge.judge(one_off, None, S).measured == pytest.approx(one_off[:, 3].mean())
    assert judge.judge(1.0 + 2.0 * noise, None, S).verdict is Verdict.INCONCLUSIVE
    # Just outside, at 3 % in one column of five, is not told.
    just = inside + (0.1 + 1.94 * inside[:, 3].std(ddof=1) / np.sqrt(40) + 1.0 - inside[:, 3].mean()) * (
        np.arange(5) == 3
    )
    assert judge.judge(just, None, S).verdict is Verdict.INCONCLUSIVE
