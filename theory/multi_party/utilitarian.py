"""The Utilitarian program behind Theorem 5 (arXiv 2403.05006): its sure bound, its constant, its optimum."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.algorithms.pessimistic_welfare import utilitarian_policy
from sim.estimators.party_confidence import PartyConfidence
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Json, Setting, Theorem, Variant
from theory.multi_party import PAPER
from theory.multi_party._instances import ARXIV, Parties, drawn_sets, parties, sized


@dataclass(frozen=True)
class UnevenSetting(Setting):
    """told: the radius the program is told, as a share of the true one.  deaf: parties it does not hear.  distance: of
    the truth from the estimates, in radii, where that is chosen."""

    replicates: int = 130
    told: float = 1.0
    deaf: int = 0
    distance: float = 1.0


def uneven(M: int, stream: Stream) -> tuple[Parties, PartyConfidence, FloatArray]:
    """(parties, sets with the truth on their surface, reference): five states, six actions, of which three have a part
    in a direction that is hardly compared (eigenvalue 10^-4) and worth nothing; radius .02, the first action the
    reference. Without pessimism an estimate that is too high there is followed."""
    world = parties(5, 6, 6, 2, M, stream)
    features, theta = world.features.copy(), world.theta.copy()
    features[:, :3, -1], features[:, 3:, :-1], theta[:, -1] = 0.0, 0.5 * features[:, 3:, :-1], 0.0
    world = replace(world, features=features, theta=theta)
    root = stream.child("roots").normals((M, 6, 12)) / np.sqrt(12.0)
    root[:, -1] = 0.01 * root[:, -1] / np.linalg.norm(root[:, -1], axis=-1, keepdims=True)
    covariance = root @ root.transpose(0, 2, 1)
    turn = stream.child("turn").normals((M, 6))
    turn /= np.linalg.norm(turn, axis=1, keepdims=True)
    step = np.linalg.solve(np.linalg.cholesky(covariance).transpose(0, 2, 1), turn[..., None])[..., 0]
    sets = PartyConfidence(theta + 0.02 * step, covariance, np.full(M, 0.02))
    return world, sets, np.asarray(world.law @ features[:, 0])


def told_of(sets: PartyConfidence, setting: UnevenSetting) -> PartyConfidence:
    keep = len(sets.theta) - setting.deaf
    return PartyConfidence(sets.theta[:keep], sets.covariance[:keep], setting.told * sets.radius[:keep])


class UtilitarianBound(Theorem[UnevenSetting]):
    """I5. J* - J(pi_hat) <= 2 sum_m Gamma_m ||phibar(pi*) - reference||_{Sigma_m^-1} for the joint program, phibar(pi)
    = E_s phi(s, pi(s)), J* by the best action of each state. The mean over states stands inside the norm, which is
    right here: the welfare is linear. Its constant is held by `utilitarian-bound-attained`; of the limit here a third
    is attained, or less. Two to eight parties, estimates on the surface of their ellipsoids, a direction that is hardly
    compared (see `uneven`). Value: left over right; no number of the program's own enters the limit.

    Controls: no pessimism, which follows estimates that are too high; a program that does not hear the last party."""

    right_side = "code"
    claim_id, paper, source = "utilitarian-bound", PAPER.name, f"{ARXIV}, proof of Theorem 5"
    statement = "The Utilitarian policy's loss is at most twice the sum of the parties' widths at the optimum."
    cost = 8.0
    SETTINGS = {"as_stated": Variant(UnevenSetting(), attained=(0.05, 0.6))}

    def bound(self, setting: UnevenSetting) -> Bound:
        return EveryDraw(1.0)

    def instance(self, setting: UnevenSetting, M: int, stream: Stream) -> tuple[Parties, PartyConfidence, FloatArray]:
        """(parties, confidence sets, features of the reference)."""
        return uneven(M, stream)

    def draw(self, setting: UnevenSetting, stream: Stream) -> float:
        world, sets, reference = self.instance(setting, sized(stream.replicate)[0], stream)
        found = utilitarian_policy(world.features, world.law, told_of(sets, setting), reference)
        reward = np.einsum("md,sad->sa", world.theta, world.features)
        best = reward.argmax(axis=1)
        loss = float(world.law @ reward.max(axis=1) - world.law @ (found.policy * reward).sum(axis=1))
        at_best = world.law @ world.features[np.arange(len(best)), best] - reference
        # Where the reference is the optimum itself the right side is zero, and so must the loss be.
        return loss / max(2.0 * float(sets.radius @ sets.norms(at_best)), 1e-6)

    def witness(self, setting: UnevenSetting, stream: Stream) -> Json:
        return {"loss over its limit": self.draw(setting, stream), "parties": sized(stream.replicate)[0]}

    def control(self, setting: UnevenSetting) -> tuple[Control[UnevenSetting], ...]:
        return (
            Control("no pessimism", replace(setting, told=0.0)),
            Control("the last party is not heard", replace(setting, deaf=1)),
        )


class UtilitarianAttained(UtilitarianBound):
    """The 2 of I5 cannot be smaller. One state, two actions, 0 and x, the first the reference; every party's estimate
    has <theta_hat_m, x> = .98 Gamma_m ||x||_{Sigma_m^-1}, so that the program keeps to the reference, and its truth
    theta_hat_m + Gamma_m Sigma_m^-1 x / ||x||_{Sigma_m^-1} lies on the ellipsoid: x is worth 1.98 Gamma_m
    ||x||_{Sigma_m^-1} to everybody, .99 of the limit. Value and limit are those of `utilitarian-bound`. Control: truths
    1.5 radii from the estimates, which the sets do not cover."""

    right_side = "code"
    claim_id = "utilitarian-bound-attained"
    statement = "A covered truth costs the pessimistic Utilitarian policy nearly all of twice the sum of widths."
    cost = 1.0
    SETTINGS = {"as_stated": Variant(UnevenSetting(), attained=(0.97, 1.0))}

    def instance(self, setting: UnevenSetting, M: int, stream: Stream) -> tuple[Parties, PartyConfidence, FloatArray]:
        d, radius = 4, 0.1
        x = stream.child("x").normals(d)
        sets = drawn_sets(Parties(np.zeros((1, 2, d)), np.ones(1), np.zeros((M, d)), 1.0), radius, stream.child("sets"))
        away = np.linalg.solve(sets.covariance, np.broadcast_to(x[:, None], (M, d, 1)))[..., 0]
        width = np.sqrt(away @ x)
        estimates = 0.98 * radius * away / width[:, None]
        truth = estimates + setting.distance * radius * (1.0 - 1e-9) * away / width[:, None]
        world = Parties(np.stack([np.zeros(d), x])[None], np.ones(1), truth, 1.0)
        return world, PartyConfidence(estimates, sets.covariance, sets.radius), np.zeros(d)

    def control(self, setting: UnevenSetting) -> tuple[Control[UnevenSetting], ...]:
        return (Control("truths that the sets do not cover", replace(setting, distance=1.5)),)


class UtilitarianProgram(Theorem[UnevenSetting]):
    """Algorithm 1, Utilitarian: the policy maximises sum_m min_theta <theta, phibar(pi) - reference> over stochastic
    policies. A linear program of its own finds the same: two features, so that each norm is the largest of 500
    projections, up to a share of 2 x 10^-5. Two states, three actions, two parties, radius .1. Value: its optimum minus
    what the policy guarantees, in absolute value and relative to the largest width; both norms written out. Control:
    no pessimism."""

    claim_id, paper, source = "utilitarian-program", PAPER.name, f"{ARXIV}, Algorithm 1 (Utilitarian)"
    statement = "The pessimistic Utilitarian policy guarantees as much as any policy can."
    cost = 4.0
    SETTINGS = {"as_stated": Variant(UnevenSetting())}

    def bound(self, setting: UnevenSetting) -> Bound:
        return EveryDraw(1e-4)

    def draw(self, setting: UnevenSetting, stream: Stream) -> float:
        from scipy.optimize import linprog

        S, A, M, corners = 2, 3, 2, 500
        world = parties(S, A, 2, 2, M, stream)
        sets = drawn_sets(world, 0.1, stream.child("sets"))
        reference = world.features.mean((0, 1))
        found = utilitarian_policy(world.features, world.law, told_of(sets, setting), reference)
        weighted = (world.law[:, None, None] * world.features).reshape(S * A, 2)
        angle = 2.0 * np.pi * np.arange(corners) / corners
        circle = np.column_stack([np.cos(angle), np.sin(angle)])
        # ||v||_{Sigma^-1} = max over the circle of <u, L^-1 v>: at most t_m each, phibar linear in the policy.
        rows, right = [], []
        for m in range(M):
            slopes = circle @ np.linalg.inv(np.linalg.cholesky(sets.covariance[m]))
            widths = np.zeros((corners, M))
            widths[:, m] = -1.0
            rows.append(np.column_stack([slopes @ weighted.T, widths]))
            right.append(slopes @ reference)
        total = sets.theta.sum(axis=0)
        solved = linprog(
            np.append(-weighted @ total, sets.radius),
            A_ub=np.concatenate(rows),
            b_ub=np.concatenate(right),
            A_eq=np.column_stack([np.kron(np.eye(S), np.ones(A)), np.zeros((S, M))]),
            b_eq=np.ones(S),
            bounds=[(0, None)] * (S * A + M),
        )
        vector = found.policy.reshape(-1) @ weighted - reference
        widths = np.array([np.sqrt(vector @ np.linalg.solve(own, vector)) for own in sets.covariance])
        guaranteed = float(total @ vector - sets.radius @ widths)
        scale = float((sets.radius[:, None, None] * sets.norms(world.features)).sum(axis=0).max())
        return abs(float(-solved.fun - total @ reference) - guaranteed) / scale

    def control(self, setting: UnevenSetting) -> tuple[Control[UnevenSetting], ...]:
        return (Control("no pessimism", replace(setting, told=0.0)),)


THEOREMS = (UtilitarianBound(), UtilitarianAttained(), UtilitarianProgram())
