"""What a pessimistic policy is, and whether its solver finds it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.prs import prs
from sim.algorithms.reduced_pessimism import (
    Kind,
    Reference,
    distributional_policy,
    greedy_policy,
    mean_value,
    pointwise_policy,
    relative_features,
)
from sim.cones import modelling, solve
from sim.estimators.confidence import Ellipsoid
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, scenario
from theory.low_rank._learned import TOLERANCE, learn


def coarse_policy(psi: FloatArray, ellipsoid: Ellipsoid, points: int = 40) -> FloatArray:
    """Frank-Wolfe from the greedy policy, all contexts moving together, with a line search over a grid; ends where no
    grid point is better. What the solver must not be."""
    m, A, _ = psi.shape
    policy = greedy_policy(psi, ellipsoid).policy
    for _ in range(400):
        worst = ellipsoid.worst(np.einsum("ja,jak->k", policy, psi) / m)
        vertex = np.eye(A)[(psi @ worst).argmax(axis=1)]
        steps = np.linspace(0.0, 1.0, points)
        values = [mean_value((1.0 - t) * policy + t * vertex, psi, ellipsoid) for t in steps]
        best = int(np.argmax(values))
        if best == 0:
            break
        policy = (1.0 - steps[best]) * policy + steps[best] * vertex
    return policy


@dataclass(frozen=True)
class SolverSetting(Setting):
    """solver: block, the tool's; or coarse, which moves all contexts at once on a grid of 40 steps."""

    solver: Literal["block", "coarse"] = "block"
    replicates: int = 150


class CertifiedGap(Theorem[SolverSetting]):
    """Reconstructed. argmax_q <theta, w_q> - f |w_q|_{M^-1} is a cone program: on 6 contexts, 4 actions, k = 5, with
    random features, set and radius (.05 to 20: small ones leave the linear part to decide, for large ones the best
    mean is zero, at the norm's kink), the policy's value is at most the optimum found by Clarabel, within the tolerance
    of .001 of it, and within its own certificate. Value: the largest of the three excesses.

    Control: Frank-Wolfe with one step for all contexts on a grid of 40, from the greedy policy, which stops near it."""

    claim_id, paper, source = "certified-gap", PAPER.name, f"{RECONSTRUCTED}: algorithm"
    statement = "The distributional policy is within its certificate, and within .001, of the best pessimistic value."
    cost = 5.0
    SETTINGS = {"as_stated": Variant(SolverSetting())}

    def bound(self, setting: SolverSetting) -> Bound:
        return EveryDraw(1e-6)

    def draw(self, setting: SolverSetting, stream: Stream) -> float:
        m, A, k = 6, 4, 5
        psi = stream.child("psi").normals((m, A, k))
        x = stream.child("answers").normals((40, k))
        radius = 0.05 * 400.0 ** float(stream.child("radius").uniforms(1)[0])
        ellipsoid = Ellipsoid(stream.child("estimate").normals(k), x.T @ x / 40, radius**2)
        if setting.solver == "coarse":
            policy, gap = coarse_policy(psi, ellipsoid), TOLERANCE
        else:
            found = distributional_policy(psi, ellipsoid, tolerance=TOLERANCE, max_sweeps=4000)
            policy, gap = found.policy, found.gap
        value, best = mean_value(policy, psi, ellipsoid), best_value(psi, ellipsoid)
        return max(value - best, best - value - TOLERANCE, best - value - gap)

    def control(self, setting: SolverSetting) -> tuple[Control[SolverSetting], ...]:
        return (Control("one step for all on a grid, from greed", replace(setting, solver="coarse", replicates=30)),)


def best_value(psi: FloatArray, ellipsoid: Ellipsoid) -> float:
    """max_q <theta, w_q> - f |w_q|_{M^-1} by a cone solver."""
    cp = modelling()
    m, A, k = psi.shape
    q = cp.Variable((m, A), nonneg=True)
    w = psi.reshape(m * A, k).T @ cp.vec(q, order="C") / m
    root = np.linalg.inv(np.linalg.cholesky(ellipsoid.covariance))
    objective = ellipsoid.estimate @ w - np.sqrt(ellipsoid.radius) * cp.norm(root @ w)
    problem = cp.Problem(cp.Maximize(objective), [cp.sum(q, axis=1) == 1])
    solve(problem)
    return float(problem.value)


@dataclass(frozen=True)
class ServedSetting(Setting):
    """policy: the one in the distributional policy's place."""

    policy: Literal["distributional", "pointwise", "coarse", "greedy"] = "distributional"
    replicates: int = 150


class BestPessimisticValue(Theorem[ServedSetting]):
    """Reconstructed. In scenario B, (8, 10, 2), 1,000 answers, 100 targets, the distributional policy's pessimistic
    value plus its certificate is not below that of the pointwise policy, of the greedy one, or of pi* itself, which is
    the step of the proof that needs a solver. Value: the largest excess. Controls: the pointwise policy in its place;
    Frank-Wolfe on a coarse grid from the greedy policy."""

    claim_id, paper, source = "best-pessimistic-value", PAPER.name, f"{RECONSTRUCTED}: algorithm"
    statement = "No other policy has a higher pessimistic value than the distributional one and its certificate."
    cost = 4.0
    SETTINGS = {"as_stated": Variant(ServedSetting())}

    def bound(self, setting: ServedSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: ServedSetting, stream: Stream) -> float:
        world = scenario(stream.child("world"))
        found, targets = learn(world, 1000, 2, stream), world.targets(100, stream.child("targets"))
        psi, ellipsoid = found.psi(targets.contexts, targets.features), found.ellipsoid
        pointwise, greedy = pointwise_policy(psi, ellipsoid), greedy_policy(psi, ellipsoid)
        star = np.eye(psi.shape[1])[targets.rewards.argmax(axis=1)]
        if setting.policy == "distributional":
            own = distributional_policy(psi, ellipsoid)
            reached = mean_value(own.policy, psi, ellipsoid) + own.gap
        elif setting.policy == "coarse":
            reached = mean_value(coarse_policy(psi, ellipsoid), psi, ellipsoid) + TOLERANCE
        else:
            reached = pointwise.value if setting.policy == "pointwise" else greedy.value
        return max(pointwise.value, greedy.value, mean_value(star, psi, ellipsoid)) - reached

    def control(self, setting: ServedSetting) -> tuple[Control[ServedSetting], ...]:
        return (
            Control("the pointwise policy", replace(setting, policy="pointwise", replicates=30)),
            Control("one step for all on a grid, from greed", replace(setting, policy="coarse", replicates=30)),
        )


class PromiseKept(Theorem[ServedSetting]):
    """Reconstructed. Where the set covers (Wald's radius at delta = .1, known beforehand; draws it misses test
    nothing), a policy's true value is at least its pessimistic one less what truncation drops: (Jp - J) / b_max <= 1.
    Scenario B, (8, 10, 2), 1,000 answers. Loose: pessimism over all targets promises far less than it keeps. Control:
    the greedy policy, which promises what its estimate says."""

    right_side = "code"
    claim_id, paper, source = "promise-kept", PAPER.name, f"{RECONSTRUCTED}: suboptimality"
    statement = "Where the set covers, the pessimistic policy keeps its promise but for the truncation."
    cost = 3.0
    SETTINGS = {"as_stated": Variant(ServedSetting())}

    def bound(self, setting: ServedSetting) -> Bound:
        return EveryDraw(1.0)

    def draw(self, setting: ServedSetting, stream: Stream) -> float | None:
        world = scenario(stream.child("world"))
        found, targets = learn(world, 1000, 2, stream), world.targets(100, stream.child("targets"))
        if found.error > 1.0:
            return None
        psi, ellipsoid = found.psi(targets.contexts, targets.features), found.ellipsoid
        if setting.policy == "greedy":
            policy = greedy_policy(psi, ellipsoid).policy
            promised = float((policy * (psi @ ellipsoid.estimate)).sum(axis=1).mean())
        else:
            own = distributional_policy(psi, ellipsoid)
            policy, promised = own.policy, own.value
        kept = float((policy * targets.rewards).sum(axis=1).mean())
        return (promised - kept) / found.truncated(targets)

    def control(self, setting: ServedSetting) -> tuple[Control[ServedSetting], ...]:
        return (Control("greedy policy", replace(setting, policy="greedy")),)


@dataclass(frozen=True)
class OriginSetting(Setting):
    """reference: what features are taken from; both, the behaviour's mean and the first action in turn."""

    reference: Literal["both", "zero"] = "both"
    replicates: int = 150


class FeatureOrigin(Theorem[OriginSetting]):
    """Reconstructed. Comparisons see differences of features alone, so that a vector added to all features says nothing
    about which action is better. Taken from a reference, the behaviour's mean (x, s) or the first action, no choice
    changes; taken as they are, pessimism is about the added vector too. Scenario B, (8, 10, 2), 500 answers, pointwise
    policy, a vector of length 5. Value: share of the targets whose action changes. Control: no reference."""

    claim_id, paper, source = "origin-of-features", PAPER.name, f"{RECONSTRUCTED}: algorithm"
    statement = "Taken from a reference, pessimism does not depend on the origin of the features."
    cost = 2.0
    SETTINGS = {"as_stated": Variant(OriginSetting())}

    def bound(self, setting: OriginSetting) -> Bound:
        return EveryDraw(0.0)

    def draw(self, setting: OriginSetting, stream: Stream) -> float:
        world = scenario(stream.child("world"))
        found, targets = learn(world, 500, 2, stream), world.targets(100, stream.child("targets"))
        turn: Reference = "behaviour_mean" if stream.replicate % 2 else "action0"
        reference: Reference = "zero" if setting.reference == "zero" else turn
        move = stream.child("move").normals(10)
        chosen = []
        for shift in (0.0, 5.0):
            features = targets.features + shift * move / np.linalg.norm(move)
            # The behaviour of scenario B: its ten normal actions, alike.
            phi = relative_features(features, reference, features[:, :10].mean(axis=1))
            chosen.append(found.policy(targets.contexts, phi, "pointwise").policy.argmax(axis=1))
        return float((chosen[0] != chosen[1]).mean())

    def control(self, setting: OriginSetting) -> tuple[Control[OriginSetting], ...]:
        return (Control("no reference", replace(setting, reference="zero")),)


@dataclass(frozen=True)
class ScaleSetting(Setting):
    """scale: of the radius f."""

    scale: float = 0.0
    replicates: int = 160


class PrsWithoutRadius(Theorem[ScaleSetting]):
    """Reconstructed: with a radius of zero PRS, all of its steps, is greed in the fit's own coordinates: argmax_a x'
    Theta_hat phi(x, a), since the refit on the same answers changes nothing (`reuse-refit`) and Theta_hat has no block
    22. Value: the most that a target's action falls short of the best one by x' Theta_hat phi, reward units (fits stop
    at gradients near 1e-5); pointwise and distributional in turn; scenario B, (8, 10, 2), 500 answers. Control: the
    radius as it is."""

    claim_id, paper, source = "prs-without-radius", PAPER.name, f"{RECONSTRUCTED}: algorithm"
    statement = "With a radius of zero PRS plays the best action of its own estimate."
    SETTINGS = {"as_stated": Variant(ScaleSetting())}

    def bound(self, setting: ScaleSetting) -> Bound:
        return EveryDraw(5e-3)

    def draw(self, setting: ScaleSetting, stream: Stream) -> float:
        world = scenario(stream.child("world"))
        x, z = world.comparisons(500, stream.child("answers"))
        targets = world.targets(50, stream.child("targets"))
        kind: Kind = "pointwise" if stream.replicate % 2 else "distributional"
        found = prs(x, z, 2, targets.contexts, targets.features, kind=kind, scale=setting.scale)
        value = np.einsum("md,mad->ma", targets.contexts @ found.fit, targets.features)
        return float((value.max(axis=1) - (found.policy * value).sum(axis=1)).max())

    def control(self, setting: ScaleSetting) -> tuple[Control[ScaleSetting], ...]:
        return (Control("the radius as it is", replace(setting, scale=1.0)),)


THEOREMS = (CertifiedGap(), PrsWithoutRadius(), BestPessimisticValue(), PromiseKept(), FeatureOrigin())
