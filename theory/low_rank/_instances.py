"""Instances the claims share, and how their sources are marked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.algorithms.prs import fit_reward
from sim.environments.low_rank import LowRankWorld, exotic_world, low_rank_matrix, plain_world
from sim.estimators.reduced_confidence import curvature
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.low_rank import PAPER

ARXIV = PAPER.source
# The paper's text could not be read beyond its abstract and a summary: a statement with this mark is a derivation in
# its spirit, with constants of its own, and none of the paper's.
RECONSTRUCTED = f"{ARXIV} [reconstructed]"


@dataclass(frozen=True)
class Size:
    """d_x, d_phi, rank and length of a random Theta; ratio of its largest to its smallest singular value."""

    d_x: int = 8
    d_phi: int = 10
    rank: int = 2
    norm: float = 1.5
    ratio: float = 1.0

    def theta(self, stream: Stream) -> FloatArray:
        return low_rank_matrix(self.d_x, self.d_phi, self.rank, stream, norm=self.norm, ratio=self.ratio)

    def world(self, stream: Stream, bounded: bool = False) -> LowRankWorld:
        return plain_world(self.theta(stream), bounded=bounded)


def scenario(stream: Stream, *, d_x: int = 8, common: int = 6, rank: int = 2, tau: float = 0.1) -> LowRankWorld:
    """Exotic actions: ten actions that look like training, ten whose features training hardly varied."""
    theta = low_rank_matrix(d_x, common + 4, rank, stream.child("theta"), columns=common)
    return exotic_world(theta, common, tau=tau)


def tight_fit(contexts: FloatArray, differences: FloatArray, rank: int | None) -> FloatArray:
    """The maximum of the likelihood to many digits; rank None: without the constraint."""
    return fit_reward(contexts, differences, rank, ridge=1e-9, tolerance=1e-12)


def tangent_basis(theta: FloatArray, rank: int) -> FloatArray:
    """Orthonormal basis of {U M + N V'}, the tangent space at a matrix of that rank; (d_x d_phi, k)."""
    u, _, vt = np.linalg.svd(theta, full_matrices=True)
    d_x, d_phi = theta.shape
    columns = [
        np.outer(u[:, i], vt[j]).ravel() for i in range(d_x) for j in range(d_phi) if i < rank or j < rank
    ]  # fmt: skip
    return np.array(columns).T


def information(theta: FloatArray, contexts: FloatArray, differences: FloatArray) -> FloatArray:
    """(1 / n) sum sigma'(u_i) vec(x_i z_i') vec(x_i z_i')'; (d_x d_phi, d_x d_phi)."""
    u = ((contexts @ theta) * differences).sum(axis=1)
    product = (contexts[:, :, None] * differences[:, None, :]).reshape(len(u), -1)
    return np.asarray((product * curvature(u)[:, None]).T @ product / len(u))
