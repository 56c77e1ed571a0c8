"""What answers teach about a low-rank reward, and what a policy learned from them loses: the claims' common path."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.prs import ReducedReward, learn_reward
from sim.algorithms.reduced_pessimism import Kind, suboptimality
from sim.environments.low_rank import LowRankWorld, Targets, low_rank_matrix, plain_world
from sim.estimators.reduced_confidence import Mode, scaled_error
from sim.preferences import FloatArray
from sim.streams import Stream

# How far from the best pessimistic value a policy may be, reward units.
TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Served:
    """policy (m, A) and what it loses on its targets."""

    policy: FloatArray
    loss: float


@dataclass(frozen=True, eq=False)
class Learned(ReducedReward):
    """What PRS learns, beside the true Theta (d_x, d_phi)."""

    truth: FloatArray

    @property
    def target(self) -> FloatArray:
        """The true Theta, rotated, truncated and vectorised in the estimated subspace; (k,)."""
        return self.subspace.vector(self.truth)

    @property
    def error(self) -> float:
        """|theta_tilde - target|_M / f, at most one where the set covers."""
        return float(np.sqrt(scaled_error(self.ellipsoid, self.target)))

    def serve(self, targets: Targets, kind: Kind, tolerance: float = TOLERANCE) -> Served:
        """From the reference zero: the features of every world here are centred at the behaviour's mean."""
        found = self.policy(targets.contexts, targets.features, kind, tolerance=tolerance, max_sweeps=4000)
        return Served(found.policy, suboptimality(found.policy, targets.rewards))

    def width(self, targets: Targets, kind: Kind = "distributional") -> float:
        """C*_red = |E psi(x, pi*)|_{M^-1}; for the pointwise policy E |psi(x, pi*)|_{M^-1}, never less."""
        psi = self.psi(targets.contexts, targets.features)
        best = psi[np.arange(len(psi)), targets.rewards.argmax(axis=1)]
        norm = self.ellipsoid.norm(best) if kind == "pointwise" else self.ellipsoid.norm(best.mean(axis=0))
        return float(norm.mean())

    def truncated(self, targets: Targets) -> float:
        """b_max, the most that truncation takes from or adds to the reward of an action; reward units."""
        return float(np.abs(self.subspace.bias(self.truth, targets.contexts[:, None], targets.features)).max())

    def loss_bound(self, targets: Targets, kind: Kind, gap: float = TOLERANCE) -> float:
        """2 f C*_red + 2 b_max + gap, gap the one the solver was asked for.   [reconstructed]"""
        f = float(np.sqrt(self.ellipsoid.radius))
        return 2.0 * f * self.width(targets, kind) + 2.0 * self.truncated(targets) + gap


def learn(
    world: LowRankWorld,
    n: int,
    rank: int | None,
    stream: Stream,
    *,
    split: bool = False,
    mode: Mode = "wald",
    ridge: float = 1e-4,
    scale: float = 1.0,
) -> Learned:
    """n answers, a fit of that rank (None: without the constraint), its subspace, and the set around the refit.

    split: the refit and its set come from n further answers. delta = .1 throughout.
    """
    first = world.comparisons(n, stream.child("answers"))
    second = world.comparisons(n, stream.child("answers/second")) if split else first
    found = learn_reward(
        *first, rank, second=second, mode=mode, ridge=ridge, scale=scale, tolerance=1e-11, truth=world.theta
    )
    return Learned(found.subspace, found.ellipsoid, world.theta)


def uncovered_world(stream: Stream, rank: int = 1) -> LowRankWorld:
    """Theta uses eight features, training varies five of them, targets all."""
    world = plain_world(low_rank_matrix(5, 8, rank, stream.child("theta")))
    return replace(world, feature_sd=(np.arange(8) < 5).astype(np.float64))
