"""Rotation, truncation, vectorisation: a low-rank reward as a linear one in few features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.arguments import float_array, require_shape
from sim.estimators.low_rank_problem import manifold_dimension, require_rank
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class ReducedSubspace:
    """left = [U_r, U_perp] (d_x, d_x) and right = [V_r, V_perp] (d_phi, d_phi), orthogonal; rank r.

    [arXiv 2412.19436 names rotation-truncation-vectorisation; its form here is reconstructed]
    x' = left' x, phi' = right' phi, Theta' = left' Theta right, cut after r rows and columns into blocks 11 to 22.
    Block 22 is dropped and the others are stacked: x' Theta phi = <theta, psi(x, phi)> + x'_2' Theta'_22 phi'_2.
    """

    left: FloatArray
    right: FloatArray
    rank: int

    def __post_init__(self) -> None:
        float_array("left", self.left, (len(self.left), len(self.left)))
        float_array("right", self.right, (len(self.right), len(self.right)))
        require_rank(self.rank, len(self.left), len(self.right))

    @property
    def dimension(self) -> int:
        """k = (d_x + d_phi) r - r^2."""
        return manifold_dimension(len(self.left), len(self.right), self.rank)

    def features(self, contexts: FloatArray, phi: FloatArray) -> FloatArray:
        """psi(x, phi) = (x' phi'_1', x'_1 phi'_2') stacked; contexts (..., d_x) against phi (..., d_phi) -> (..., k).

        Linear in phi: psi of a difference is the difference of the psi.
        """
        r = self.rank
        x, f = contexts @ self.left, phi @ self.right
        shape = np.broadcast_shapes(x.shape[:-1], f.shape[:-1])
        first = x[..., :, None] * f[..., None, :r]
        second = x[..., :r, None] * f[..., None, r:]
        return np.concatenate([first.reshape(*shape, -1), second.reshape(*shape, -1)], axis=-1)

    def vector(self, theta: FloatArray) -> FloatArray:
        """Blocks 11, 21 and 12 of Theta'; (d_x, d_phi) -> (k,)."""
        require_shape("theta", theta, (len(self.left), len(self.right)))
        rotated, r = self.left.T @ theta @ self.right, self.rank
        return np.concatenate([rotated[:, :r].ravel(), rotated[:r, r:].ravel()])

    def matrix(self, vector: FloatArray) -> FloatArray:
        """The Theta with block 22 zero whose `vector` is this; (k,) -> (d_x, d_phi)."""
        require_shape("vector", vector, (self.dimension,))
        r, rotated = self.rank, np.zeros((len(self.left), len(self.right)))
        cut = len(self.left) * r
        rotated[:, :r] = vector[:cut].reshape(-1, r)
        rotated[:r, r:] = vector[cut:].reshape(r, -1)
        return np.asarray(self.left @ rotated @ self.right.T)

    def tail(self, theta: FloatArray) -> FloatArray:
        """Theta'_22 = U_perp' Theta V_perp, what truncation drops; (d_x - r, d_phi - r)."""
        return np.asarray(self.left[:, self.rank :].T @ theta @ self.right[:, self.rank :])

    def bias(self, theta: FloatArray, contexts: FloatArray, phi: FloatArray) -> FloatArray:
        """b(x, phi) = x'_2' Theta'_22 phi'_2, the reward that truncation drops; (...,)."""
        x, f = contexts @ self.left[:, self.rank :], phi @ self.right[:, self.rank :]
        return np.asarray(((x @ self.tail(theta)) * f).sum(axis=-1))


def reduced_subspace(theta: FloatArray, rank: int) -> ReducedSubspace:
    """The leading r singular vectors of `theta`, each side completed to an orthogonal matrix.

    Of an estimate; or of the true Theta, for the oracle's subspace. rank = min(d_x, d_phi) keeps everything: k = d_x
    d_phi and no bias. Where theta's own rank is lower, the missing directions are arbitrary.
    """
    float_array("theta", theta, ("d_x", "d_phi"))
    require_rank(rank, *theta.shape)
    u, _, vt = np.linalg.svd(theta, full_matrices=True)
    return ReducedSubspace(np.ascontiguousarray(u), np.ascontiguousarray(vt.T), rank)
