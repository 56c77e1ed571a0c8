"""Rotation, truncation and vectorisation against plain loops, and what they must not depend on."""

import numpy as np
import pytest

from sim.estimators.low_rank import manifold_dimension
from sim.estimators.reduced_subspace import ReducedSubspace, reduced_subspace


def _theta(rng, d_x=5, d_phi=7, rank=2):
    return rng.normal(size=(d_x, rank)) @ rng.normal(size=(rank, d_phi))


def _rotation(rng, d):
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


@pytest.mark.parametrize("rank", range(1, 6))
def test_reward_is_linear_in_the_reduced_features_but_for_the_tail(rank):
    """x' Theta phi = <theta, psi> + x'_2' Theta'_22 phi'_2, for a Theta that the subspace does not come from."""
    rng = np.random.default_rng(rank)
    subspace, truth = reduced_subspace(_theta(rng, rank=rank), rank), rng.normal(size=(5, 7))
    for _ in range(20):
        x, phi = rng.normal(size=5), rng.normal(size=7)
        reduced = subspace.features(x, phi) @ subspace.vector(truth)
        assert reduced + subspace.bias(truth, x, phi) == pytest.approx(x @ truth @ phi, abs=1e-10)


def test_features_are_the_kept_entries_of_the_rotated_product():
    rng = np.random.default_rng(0)
    subspace = reduced_subspace(_theta(rng), 2)
    x, phi = rng.normal(size=5), rng.normal(size=7)
    product = np.outer(subspace.left.T @ x, subspace.right.T @ phi)
    kept = [product[i, j] for i in range(5) for j in range(2)] + [product[i, j] for i in range(2) for j in range(2, 7)]
    assert subspace.features(x, phi) == pytest.approx(np.array(kept))
    assert subspace.dimension == len(kept) == manifold_dimension(5, 7, 2) == 20


@pytest.mark.parametrize("rank", range(1, 6))
def test_isometry(rank):
    """|theta|^2 + |Theta'_22|_F^2 = |Theta|_F^2; matrix() undoes vector() up to block 22."""
    rng = np.random.default_rng(rank)
    subspace, theta = reduced_subspace(_theta(rng), rank), rng.normal(size=(5, 7))
    vector, tail = subspace.vector(theta), subspace.tail(theta)
    assert (vector**2).sum() + (tail**2).sum() == pytest.approx((theta**2).sum())
    assert subspace.vector(subspace.matrix(vector)) == pytest.approx(vector)
    assert np.abs(subspace.tail(subspace.matrix(vector))).max(initial=0.0) < 1e-12


def test_largest_rank_keeps_everything():
    rng = np.random.default_rng(1)
    theta = rng.normal(size=(5, 7))
    subspace = reduced_subspace(rng.normal(size=(5, 7)), 5)
    assert subspace.dimension == 35
    assert np.abs(subspace.bias(theta, rng.normal(size=(9, 5)), rng.normal(size=(9, 7)))).max() == 0.0
    assert subspace.matrix(subspace.vector(theta)) == pytest.approx(theta)


def test_own_matrix_has_no_tail():
    rng = np.random.default_rng(2)
    theta = _theta(rng)
    subspace = reduced_subspace(theta, 2)
    assert np.abs(subspace.tail(theta)).max() < 1e-12
    assert subspace.matrix(subspace.vector(theta)) == pytest.approx(theta)


def test_psi_spans_the_tangent_space():
    """The k features of x phi' span as many dimensions as {U M + N V'}, found by differencing the factors."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(5, 2)), rng.normal(size=(7, 2))
    subspace, moves = reduced_subspace(a @ b.T, 2), []
    for shape, at in ((a.shape, 0), (b.shape, 1)):
        for entry in np.ndindex(shape):
            factors = [a.copy(), b.copy()]
            factors[at][entry] += 1e-6
            moves.append((factors[0] @ factors[1].T - a @ b.T) / 1e-6)
    assert np.linalg.matrix_rank(np.array([move.ravel() for move in moves]), tol=1e-4) == subspace.dimension
    assert max(np.abs(subspace.tail(move)).max() for move in moves) < 1e-5


def test_broadcasts_contexts_over_actions_and_is_linear_in_phi():
    rng = np.random.default_rng(4)
    subspace = reduced_subspace(_theta(rng), 2)
    x, phi, other = rng.normal(size=(6, 5)), rng.normal(size=(6, 3, 7)), rng.normal(size=(6, 3, 7))
    psi = subspace.features(x[:, None], phi)
    assert psi.shape == (6, 3, 20)
    assert psi[4, 2] == pytest.approx(subspace.features(x[4], phi[4, 2]))
    difference = subspace.features(x[:, None], phi - other)
    assert difference == pytest.approx(psi - subspace.features(x[:, None], other))


def test_rotations_inside_the_blocks_change_nothing_that_counts():
    """Equal singular values leave directions inside U_r and U_perp arbitrary: rewards, norms and bias do not care."""
    rng = np.random.default_rng(5)
    first, truth = reduced_subspace(_theta(rng), 2), rng.normal(size=(5, 7))

    def turned(basis, rank):
        return np.hstack([basis[:, :rank] @ _rotation(rng, rank), basis[:, rank:] @ _rotation(rng, len(basis) - rank)])

    second = ReducedSubspace(turned(first.left, 2), turned(first.right, 2), 2)
    x, phi = rng.normal(size=(40, 5)), rng.normal(size=(40, 7))
    psi = [own.features(x, phi) for own in (first, second)]
    assert psi[1] @ second.vector(truth) == pytest.approx(psi[0] @ first.vector(truth))
    assert psi[1] @ psi[1].T == pytest.approx(psi[0] @ psi[0].T)
    assert second.bias(truth, x, phi) == pytest.approx(first.bias(truth, x, phi))
    # The penalty |psi|_{M^-1} too, M the mean of psi psi' with any weights.
    weights = rng.uniform(0.05, 0.25, size=40)
    inverse = [np.linalg.inv((own * weights[:, None]).T @ own + 0.1 * np.eye(20)) for own in psi]
    norms = [np.einsum("ni,ij,nj->n", own, inner, own) for own, inner in zip(psi, inverse, strict=True)]
    assert norms[1] == pytest.approx(norms[0])


def test_lower_rank_than_asked_for_is_padded():
    rng = np.random.default_rng(6)
    subspace = reduced_subspace(_theta(rng, rank=1), 3)
    assert subspace.left.T @ subspace.left == pytest.approx(np.eye(5), abs=1e-12)
    assert subspace.right.T @ subspace.right == pytest.approx(np.eye(7), abs=1e-12)
    assert subspace.dimension == manifold_dimension(5, 7, 3)


@pytest.mark.parametrize("rank", [0, 6])
def test_rank_out_of_range(rank):
    with pytest.raises(ValueError, match=r"rank must lie in 1\.\.5"):
        reduced_subspace(np.ones((5, 7)), rank)
