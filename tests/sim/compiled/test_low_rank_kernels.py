"""Compiled passes and curvatures of low-rank fits against finite differences and matrices written out."""

import numpy as np
import pytest
from alone import alone
from drawn_answers import drawn_answers, plackett_luce

from sim.compiled import bilinear as bilinear_kernels
from sim.compiled import bilinear_large, factor_metric
from sim.compiled.structs import BilinearAnswers, Curvature, Factors, Metric, TileScratch
from sim.compiled.tiles import padded
from sim.estimators.low_rank_problem import as_rows
from sim.streams import Stream

apply_inverse, balance = alone(factor_metric.apply_inverse), alone(factor_metric.balance)
set_metric = alone(factor_metric.set_metric)
ranking_slopes = alone(bilinear_kernels.ranking_slopes)


def _factors(seed, rank, d_x, d_phi):
    left, right = np.zeros((rank, padded(d_x))), np.zeros((rank, padded(d_phi)))
    left[:, :d_x] = Stream(seed, "left").normals((rank, d_x))
    right[:, :d_phi] = Stream(seed, "right").normals((rank, d_phi))
    return left, right


def _pass(x, z, weights, offset, K, left, right):
    """(loss, gradients by the factors, second moments, totals) of one compiled pass."""
    rank, tile = len(left), alone(bilinear_kernels.tile_of)(K)
    gradient = Factors(np.empty(left.shape), np.empty(right.shape))
    curvature = Curvature(np.empty((2, rank, rank)), np.empty(3))
    scratch = TileScratch(np.empty((rank, tile)), np.empty((rank, tile)), np.empty((3, tile)))
    plain = bool((weights == 1).all())
    answers = BilinearAnswers(as_rows(x), as_rows(z), weights, offset, len(x), float(weights.sum()), plain, K)
    loss = alone(bilinear_kernels.curved_pass)(answers, Factors(left, right), scratch, gradient, curvature)
    assert loss == curvature.totals[0]
    return *gradient, *curvature


@pytest.mark.parametrize("K", [0, 2, 3, 7])
@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5])
def test_gradient_of_a_pass_is_that_of_finite_differences(K, rank):
    d_x, d_phi, n = 6, 9, 1050
    x, z, weights, offset = drawn_answers(24 + K, n, d_x, d_phi, 2, weighted=K == 0, shifted=True)
    left, right = _factors(rank, rank, d_x, d_phi)

    def loss(left, right):
        u = offset + ((x @ left[:, :d_x].T) * (z @ right[:, :d_phi].T)).sum(axis=1)
        return plackett_luce(u, K) if K else (weights * np.logaddexp(0, -u)).sum()

    by_left, by_right, _, totals = _pass(x, z, weights, offset, K, left, right)
    assert totals[0] == pytest.approx(loss(left, right), rel=1e-12)
    for gradient, factor, dimension in ((by_left, left, d_x), (by_right, right, d_phi)):
        for a, j in ((0, 0), (rank - 1, dimension - 1), (rank // 2, 3)):
            kept, h = factor[a, j], 1e-5
            sides = []
            for move in (h, -h):
                factor[a, j] = kept + move
                sides.append(loss(left, right))
            factor[a, j] = kept
            assert gradient[a, j] == pytest.approx((sides[0] - sides[1]) / (2 * h), rel=1e-5, abs=1e-4)
        assert (gradient[:, dimension:] == 0).all()


def test_ranking_curvature_is_the_slopes_own_change():
    u = 3 * Stream(30, "u").normals(8)
    slope, curvature, other, unused = (np.empty(8) for _ in range(4))
    ranking_slopes(u, 4, slope, curvature)
    for i in range(8):
        moved = u.copy()
        moved[i] += 1e-6
        ranking_slopes(moved, 4, other, unused)
        assert curvature[i] == pytest.approx((other[i] - slope[i]) / 1e-6, abs=1e-5)
    # A favourite by far: what is left after her is not what a subtraction leaves.
    u = np.array([60.0, 1.0, 0.0])
    loss = ranking_slopes(u, 3, slope[:3], curvature[:3])
    assert loss == pytest.approx(plackett_luce(u, 3), rel=1e-12)


def test_curvature_sums():
    x, z, weights, offset = drawn_answers(31, 700, 5, 6, 2, weighted=True, shifted=True)
    left, right = _factors(31, 3, 5, 6)
    _, _, sums, totals = _pass(x, z, weights, offset, 0, left, right)
    p, q = x @ left[:, :5].T, z @ right[:, :6].T
    u = offset + (p * q).sum(axis=1)
    w = weights / (2 + np.exp(u) + np.exp(-u))
    for ours, theirs in ((sums[0], (p * w[:, None]).T @ p), (sums[1], (q * w[:, None]).T @ q)):
        assert np.tril(ours) == pytest.approx(np.tril(theirs), rel=1e-10)
    assert totals[1:] == pytest.approx([w.sum(), (w * u * u).sum()], rel=1e-10)


@pytest.mark.parametrize("rank", [1, 2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_large_passes_are_the_small_ones(rank, weighted):
    """Contexts as they come against contexts as rows, at a number of answers that fills no tile."""
    x, z, weights, offset = drawn_answers(32, 9001, 7, 5, 2, weighted=weighted, shifted=weighted)
    left, right = _factors(32, rank, 7, 5)
    small = _pass(x, z, weights, offset, 0, left, right)
    gradient = Factors(np.empty(left.shape), np.empty(right.shape))
    curvature = Curvature(np.empty((2, rank, rank)), np.empty(3))
    answers = BilinearAnswers(x, z, weights, offset, len(x), float(weights.sum()), not weighted, 0)
    bilinear_large.shared_pass(answers, Factors(left, right), *gradient, *curvature)
    for one, other in zip(small, (*gradient, *curvature), strict=True):
        kept = np.tril(np.ones(one.shape[-2:])) if one.ndim == 3 else 1.0
        assert other * kept == pytest.approx(one * kept, rel=1e-9, abs=1e-9)


def test_inverse_curvature_by_blocks():
    """Against the pseudo-inverse of the blocks written out, on all directions that change Theta."""
    d_x, d_phi, rank, n = 4, 8, 2, 400
    left, right = _factors(33, rank, d_x, d_phi)
    rng = Stream(33, "metric").generator()
    roots = [np.linalg.cholesky(np.cov(rng.normal(size=(d, 3 * d)))) for d in (d_x, d_phi)]
    C_x, C_z = (root @ root.T for root in roots)
    p, q = rng.normal(size=(2, n, rank))
    w = rng.uniform(0.05, 0.25, n)
    pp, qq, mean = (p * w[:, None]).T @ p / n, (q * w[:, None]).T @ q / n, w.mean()
    along = 0.7 * float((pp * qq).sum()) / mean
    inverses, scalars = np.empty((4, rank, rank)), np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    sums, totals = np.stack([pp, qq]) * n, np.array([0.0, mean, along]) * n
    factors, metric = Factors(left, right), Metric(*roots, inverses, scalars)
    assert set_metric(Curvature(sums, totals), float(n), factors, metric)
    # Theta moves by left' D right (both factors share it), by left's own and by right's own part.
    A, B = np.linalg.inv(left @ C_x @ left.T), np.linalg.inv(right @ C_z @ right.T)
    free_x, free_z = np.eye(d_x) - left.T @ A @ left @ C_x, np.eye(d_phi) - right.T @ B @ right @ C_z
    t = np.eye(rank).ravel()
    kron = np.kron(pp, qq) / mean
    core = kron + (along - t @ kron @ t) / (t @ kron @ t) ** 2 * np.outer(kron @ t, kron @ t)
    columns, curvatures = [], []
    for a in range(rank):
        for b in range(rank):
            D = np.zeros((rank, rank))
            D[a, b] = 1
            columns.append(np.concatenate([(0.5 * D.T @ left).ravel(), (0.5 * D @ right).ravel()]))
    curvatures.append(core)
    basis_x, basis_z = (np.linalg.svd(free)[0][:, : len(free) - rank] for free in (free_x, free_z))
    for a in range(rank):
        for v in basis_x.T:
            columns.append(np.concatenate([np.outer(np.eye(rank)[a], v).ravel(), np.zeros(rank * d_phi)]))
    for a in range(rank):
        for v in basis_z.T:
            columns.append(np.concatenate([np.zeros(rank * d_x), np.outer(np.eye(rank)[a], v).ravel()]))
    curvatures += [np.kron(qq, basis_x.T @ C_x @ basis_x), np.kron(pp, basis_z.T @ C_z @ basis_z)]
    J, dense = np.array(columns).T, np.zeros((len(columns), len(columns)))
    at = 0
    for block in curvatures:
        dense[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    expected = J @ np.linalg.inv(dense) @ J.T
    ours = np.empty(expected.shape)
    for i, unit in enumerate(np.eye(len(expected))):
        apply_inverse(unit.copy(), factors, metric, ours[i])
    assert ours == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_unsound_factors_are_told_and_mended():
    left, right = _factors(34, 3, 8, 8)
    left[2] = left[1] + 1e-3 * left[2]
    theta = left.T @ right
    root, inverses = np.linalg.cholesky(np.cov(Stream(34, "c").normals((8, 40)))), np.empty((4, 3, 3))
    scalars, ones = np.array([0.0, 0.0, 0.0, 1.0, 1.0]), np.stack([np.eye(3)] * 2)
    factors, metric = Factors(left, right), Metric(root, root, inverses, scalars)
    assert not set_metric(Curvature(ones.copy(), np.ones(3)), 1.0, factors, metric)
    assert balance(left, right, root)
    assert set_metric(Curvature(ones.copy(), np.ones(3)), 1.0, factors, metric)
    assert left.T @ right == pytest.approx(theta, abs=1e-9)
    assert left @ root @ root.T @ left.T == pytest.approx(np.eye(3), abs=1e-9)
    left[2] = 0.0
    assert not balance(left, right, root)
