"""Instances the claims share: parties with rewards over a common subspace, their answers, what was learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.environments.contextual_pool import ContextualPool
from sim.estimators.party_confidence import PartyConfidence, gains, party_confidence
from sim.estimators.party_rewards import PartyMethod, estimate_party_rewards
from sim.populations.shared_representation import SharedRepresentation, random_subspace, shared_population
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from theory.multi_party import PAPER

ARXIV = PAPER.source
DERIVED = f"{ARXIV} [derived]"
ANSWERS = (100, 316, 1000, 3162, 10_000)
# States where some action gives everybody less than this share of the best welfare's scale are left out: where every
# action is somebody's worst, no deterministic policy has a positive product.
LEAST_WELFARE = 1e-6


@dataclass(frozen=True, eq=False)
class Parties:
    """features (S, A, d) with length at most L = 1/2, theta (M, d) with length B = 1, so that 2 B L = 1.

    Comparisons are made on features times `sharpness`, which changes how informative an answer is and not the welfare.
    """

    features: FloatArray
    law: FloatArray
    theta: FloatArray
    sharpness: float

    @property
    def gains(self) -> FloatArray:
        return gains(self.theta, self.features)

    def answers(self, per_party: int, stream: Stream) -> FloatArray:
        """Signed differences (M, n, d); states by the law, two uniform actions."""
        S, A, _ = self.features.shape
        uniform = np.full((S, A), 1.0 / A)
        pool = ContextualPool(self.sharpness * self.features, self.law, uniform, uniform)
        return pool.collect(self.theta, per_party, stream)

    def learn(self, per_party: int, rank: int, stream: Stream, radius: float | None = None) -> PartyConfidence:
        """Algorithm 1, steps 1 and 2. radius: None takes the trial's own error of each party (the event, exactly)."""
        x = self.answers(per_party, stream)
        theta = estimate_party_rewards(x[None], rank=rank)[0]
        sets = party_confidence(x, theta, 0.0, 1e-9)
        own = sets.errors(self.theta) if radius is None else radius
        return party_confidence(x, theta, own, 1e-9)


def parties(S: int, A: int, d: int, r: int, M: int, stream: Stream, sharpness: float = 8.0) -> Parties:
    features = stream.child("features").normals((S, A, d))
    features *= 0.5 / np.linalg.norm(features, axis=-1).max()
    people = shared_population(M, d, r, stream.child("people"), length=1.0)
    return Parties(features, np.full(S, 1.0 / S), people.theta, sharpness)


def drawn_sets(world: Parties, radius: float, stream: Stream) -> PartyConfidence:
    """Sets around estimates on the surface of each party's ellipsoid around the truth, so that the truth is just
    inside; random covariances with eigenvalues of the order of one."""
    M, d = world.theta.shape
    root = stream.child("roots").normals((M, d, 2 * d))
    covariance = root @ root.transpose(0, 2, 1) / (2 * d)
    step = stream.child("step").normals((M, d))
    length = np.sqrt(np.einsum("md,mde,me->m", step, covariance, step))
    return PartyConfidence(world.theta + radius * step / length[:, None], covariance, np.full(M, radius))


def sized(replicate: int) -> tuple[int, int]:
    """(parties, answers each) that the sure inequalities go through in turn."""
    return ((2, 250), (4, 1000), (8, 4000), (3, 16_000), (6, 500), (2, 2000))[replicate % 6]


def usable(welfare: FloatArray) -> IntArray:
    """States whose best welfare is not negligible; welfare (S, A)."""
    best = welfare.max(axis=1)
    return np.flatnonzero(best > LEAST_WELFARE * max(float(best.max()), 1e-300))


def reference_gap(features: FloatArray, theta: FloatArray, action: IntArray) -> FloatArray:
    """D_m(s) = phi(s, action) - phi(s, worst action of party m under the true theta); (M, S, d)."""
    S = len(features)
    worst = np.einsum("md,sad->msa", theta, features).argmin(axis=2)
    return np.asarray(features[np.arange(S), action][None] - features[np.arange(S)[None], worst])


def party_norms(sets: PartyConfidence, vectors: FloatArray) -> FloatArray:
    """||v_m||_{Sigma_m^-1}, each party's own vectors; (M, ..., d) -> (M, ...)."""
    return np.stack([np.asarray(sets.norms(own)[m]) for m, own in enumerate(vectors)])


def people(M: int, d: int, r: int, layout: str, stream: Stream) -> SharedRepresentation:
    """Unit-length parties. shared: heads uniform on the sphere; lone: M - 1 parties along one direction of the subspace
    and one party alone along another (assumption A4 broken); apart: no common subspace (A2 broken)."""
    if layout == "apart":
        return shared_population(M, d, r, stream, length=1.0, layout="independent")
    if layout == "shared":
        return shared_population(M, d, r, stream, length=1.0)
    subspace = random_subspace(d, r, stream.child("subspace"))
    heads = np.zeros((M, r))
    heads[:-1, 0], heads[-1, 1] = 1.0, 1.0
    return SharedRepresentation(subspace, heads @ subspace.T)


def errors(x: FloatArray, estimate: FloatArray, truth: FloatArray) -> FloatArray:
    """||theta_hat_m - theta_m||_Sigma_m of one replicate; (M,)."""
    gap = np.einsum("mnd,md->mn", x, estimate - truth)
    return np.asarray(np.sqrt((gap**2).mean(axis=1)))


def party_errors(
    M: int, n: int, d: int, r: int, stream: Stream, layout: str = "shared", method: PartyMethod = "shared"
) -> FloatArray:
    own = people(M, d, r, layout, stream.child("people"))
    x = own.answers(n, stream.child(f"answers/{n}"))
    return errors(x, estimate_party_rewards(x[None], method, rank=r)[0], own.theta)


def information(length: float = 1.0) -> tuple[float, float]:
    """Eigenvalues of the Fisher matrix E sigma'(<theta, x>) x x', x ~ N(0, I), |theta| = length: across theta and along
    it, each one Gaussian integral by Gauss-Hermite quadrature."""
    z, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / w.sum()
    p = 1.0 / (1.0 + np.exp(-length * z))
    return float((w * p * (1 - p)).sum()), float((w * p * (1 - p) * z**2).sum())
