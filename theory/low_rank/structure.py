"""What rotation, truncation and vectorisation keep: dimension, length, reward, stationarity, penalty."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2

from sim.algorithms.reduced_pessimism import lower_bounds
from sim.estimators.confidence import Ellipsoid
from sim.estimators.low_rank import fit_full_rank, manifold_dimension
from sim.estimators.reduced_confidence import reduced_confidence, reduced_fit
from sim.estimators.reduced_subspace import ReducedSubspace, reduced_subspace
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, Size, information, tangent_basis, tight_fit

# (d_x, d_phi, rank) that the identities go through in turn.
_SIZES = ((4, 5, 1), (6, 6, 2), (8, 10, 2), (5, 9, 4), (7, 4, 3), (3, 8, 3))


@dataclass(frozen=True)
class DimensionSetting(Setting):
    """free: the two factors' numbers are counted as if they were free."""

    replicates: int = 150
    free: bool = False


class LowRankDimension(Theorem[DimensionSetting]):
    """Reconstructed: the map (A, B) -> A B' has rank k = (d_x + d_phi) r - r^2 at every pair of full column
    rank, for A G and B G'^-1 give the same matrix, r^2 directions of nothing; and its range is {U_r M + N V_r'}. Value:
    | rank of the Jacobian - k | plus the part of the Jacobian, per unit of its length, off that range. Random factors
    of six sizes in turn. The rate arXiv 2412.19436 states has (d_x + d_phi) r, an upper bound of k, which is the
    control."""

    claim_id, paper, source = "low-rank-dimension", PAPER.name, f"{RECONSTRUCTED}: dimension"
    statement = "Matrices of rank r have (d_x + d_phi) r - r^2 free numbers."
    SETTINGS = {"as_stated": Variant(DimensionSetting())}

    def bound(self, setting: DimensionSetting) -> Bound:
        return EveryDraw(1e-10)

    def draw(self, setting: DimensionSetting, stream: Stream) -> float:
        d_x, d_phi, r = _SIZES[stream.replicate % len(_SIZES)]
        A, B = stream.child("left").normals((d_x, r)), stream.child("right").normals((d_phi, r))
        by_left = np.einsum("ia,jb->abij", np.eye(d_x), B).reshape(d_x * r, -1)
        by_right = np.einsum("ib,ja->abij", A, np.eye(d_phi)).reshape(d_phi * r, -1)
        jacobian = np.concatenate([by_left, by_right]).T
        k = (d_x + d_phi) * r if setting.free else manifold_dimension(d_x, d_phi, r)
        tangent = tangent_basis(A @ B.T, r)
        off = jacobian - tangent @ (tangent.T @ jacobian)
        return float(abs(np.linalg.matrix_rank(jacobian) - k) + np.linalg.norm(off) / np.linalg.norm(jacobian))

    def control(self, setting: DimensionSetting) -> tuple[Control[DimensionSetting], ...]:
        return (Control("(d_x + d_phi) r in place of k", replace(setting, free=True)),)


@dataclass(frozen=True)
class IdentitySetting(Setting):
    """kept: block 22's reward is added back."""

    replicates: int = 150
    kept: bool = True


class ReducedIdentity(Theorem[IdentitySetting]):
    """Reconstructed: the rotation keeps lengths, so |theta|^2 + |Theta'_22|_F^2 = |Theta|_F^2, and x' Theta phi
    = <theta, psi(x, phi)> + x'_2' Theta'_22 phi'_2, for any Theta in any estimate's subspace. Value: the larger of both
    errors, relative. Dense Theta, a subspace that has nothing to do with it, 20 contexts, six sizes in turn. Control:
    the dropped block left out."""

    claim_id, paper, source = "reduced-identity", PAPER.name, f"{RECONSTRUCTED}: rotation and truncation"
    statement = "Truncation loses one block of the rotated reward, and nothing else."
    SETTINGS = {"as_stated": Variant(IdentitySetting())}

    def bound(self, setting: IdentitySetting) -> Bound:
        return EveryDraw(1e-12)

    def draw(self, setting: IdentitySetting, stream: Stream) -> float:
        # A rank that keeps everything has no block 22, and the control nothing to break.
        d_x, d_phi, r = _SIZES[stream.replicate % 4]
        theta = stream.child("theta").normals((d_x, d_phi))
        space = reduced_subspace(stream.child("estimate").normals((d_x, d_phi)), r)
        x, phi = stream.child("x").normals((20, d_x)), stream.child("phi").normals((20, d_phi))
        reward, vector = ((x @ theta) * phi).sum(axis=1), space.vector(theta)
        rebuilt = space.features(x, phi) @ vector
        length = float((vector**2).sum())
        if setting.kept:
            rebuilt = rebuilt + space.bias(theta, x, phi)
            length += float((space.tail(theta) ** 2).sum())
        whole = float((theta**2).sum())
        return max(float(np.abs(rebuilt - reward).max() / np.abs(reward).max()), abs(length / whole - 1.0))

    def control(self, setting: IdentitySetting) -> tuple[Control[IdentitySetting], ...]:
        return (Control("the dropped block left out", replace(setting, kept=False)),)


@dataclass(frozen=True)
class RefitSetting(Setting):
    """answers the estimate comes from; where its subspace or the second fit's answers come from; the second's ridge."""

    replicates: int = 150
    answers: int = 1500
    split: bool = False
    ridge: float = 1e-9


def _fitted(setting: RefitSetting, stream: Stream) -> tuple[FloatArray, FloatArray, FloatArray, ReducedSubspace]:
    """Answers (contexts, signed differences), their fit, and a subspace: of that fit, or of other answers' fit."""
    size = Size(ratio=(1.0, 3.0)[stream.replicate % 2])
    world = size.world(stream)
    x, z = world.comparisons(setting.answers, stream.child("answers"))
    theta = tight_fit(x, z, size.rank)
    if not setting.split:
        return x, z, theta, reduced_subspace(theta, size.rank)
    other = world.comparisons(setting.answers, stream.child("other"))
    return x, z, theta, reduced_subspace(tight_fit(*other, size.rank), size.rank)


class TangentGradient(Theorem[RefitSetting]):
    """Reconstructed: at the rank-constrained maximum Theta_hat the gradient of the likelihood vanishes on the
    tangent space {U_r M + N V_r'}, which is what psi spans: (1 / n) sum (1 - sigma(u_i)) psi(x_i, z_i) = 0 in the
    estimate's own subspace. Value: its largest entry, nats (the fit stops at 1e-12 nats a round: entries near 1e-6).
    (8, 10, 2), n = 1,500. Control: the subspace of other answers' fit, where the gradient is of the order n^(-1/2)."""

    claim_id, paper, source = "tangent-gradient", PAPER.name, f"{RECONSTRUCTED}: stationarity"
    statement = "At the rank-constrained maximum the reduced problem's gradient is zero."
    SETTINGS = {"as_stated": Variant(RefitSetting())}

    def bound(self, setting: RefitSetting) -> Bound:
        return EveryDraw(2e-5)

    def draw(self, setting: RefitSetting, stream: Stream) -> float:
        x, z, theta, space = _fitted(setting, stream)
        wrong = 1.0 / (1.0 + np.exp(((x @ theta) * z).sum(axis=1)))
        return float(np.abs(wrong @ space.features(x, z)).max() / len(x))

    def control(self, setting: RefitSetting) -> tuple[Control[RefitSetting], ...]:
        return (Control("the subspace of other answers", replace(setting, split=True)),)


class ReuseRefit(Theorem[RefitSetting]):
    """Reconstructed: fitting again in the reduced space, on the answers the subspace came from and without ridge
    (1e-9 here), changes nothing, theta_tilde = RTV(Theta_hat): by `tangent-gradient` the gradient vanishes there, and
    the reduced problem is convex. So "reuse" is the estimate with a radius, and only a split makes the second fit a
    second opinion. Value: the largest entry of theta_tilde - RTV(Theta_hat), reward units. (8, 10, 2), n = 1,500.

    Controls: the subspace of other answers; a ridge of .01 nats an answer in the second fit only."""

    claim_id, paper, source = "reuse-refit", PAPER.name, f"{RECONSTRUCTED}: reduced refit"
    statement = "Without ridge, refitting on the same answers in the reduced space changes nothing."
    SETTINGS = {"as_stated": Variant(RefitSetting())}

    def bound(self, setting: RefitSetting) -> Bound:
        return EveryDraw(1e-4)

    def draw(self, setting: RefitSetting, stream: Stream) -> float:
        x, z, theta, space = _fitted(setting, stream)
        return float(np.abs(reduced_fit(space.features(x, z), setting.ridge) - space.vector(theta)).max())

    def control(self, setting: RefitSetting) -> tuple[Control[RefitSetting], ...]:
        return (
            Control("the subspace of other answers", replace(setting, split=True)),
            Control("a ridge in the second fit only", replace(setting, ridge=1e-2)),
        )


@dataclass(frozen=True)
class BasisSetting(Setting):
    """mixed: the rotation turns a kept direction into a dropped one."""

    replicates: int = 130
    mixed: bool = False


def _rotated(space: ReducedSubspace, stream: Stream, mixed: bool) -> ReducedSubspace:
    """The same subspace in other bases of U_r, U_perp, V_r, V_perp; mixed: a turn by .3 across one cut."""
    sides = []
    for name, side in (("left", space.left), ("right", space.right)):
        turned, cuts = side.copy(), ((0, space.rank), (space.rank, len(side)))
        for i, (first, last) in enumerate(cuts):
            turn = np.linalg.qr(stream.child(f"{name}/{i}").normals((last - first, last - first)))[0]
            turned[:, first:last] = side[:, first:last] @ turn
        sides.append(turned)
    if mixed:
        kept, dropped = sides[0][:, 0].copy(), sides[0][:, space.rank].copy()
        sides[0][:, 0] = np.cos(0.3) * kept + np.sin(0.3) * dropped
        sides[0][:, space.rank] = np.cos(0.3) * dropped - np.sin(0.3) * kept
    return ReducedSubspace(sides[0], sides[1], space.rank)


class ReducedRotations(Theorem[BasisSetting]):
    """Singular vectors of repeated values are arbitrary. Reconstructed: it does not matter, for any rotation within
    U_r, U_perp, V_r or V_perp turns theta, psi and M together: every action's lower bound, <theta_tilde, psi> minus
    f |psi|_{M^-1}, stays. Value: the largest change of a lower bound over 40 targets of 10 actions, reward units,
    between the estimate's bases and random ones (fits stop at gradients of 1e-10, bounds near 1e-8). (6, 7, 2),
    n = 1,500, equal singular values. Control: a rotation by .3 across the cut between U_r and U_perp."""

    claim_id, paper, source = "reduced-rotations", PAPER.name, f"{RECONSTRUCTED}: rotation and truncation"
    statement = "Lower bounds do not depend on the bases inside the kept and the dropped subspaces."
    SETTINGS = {"as_stated": Variant(BasisSetting())}

    def bound(self, setting: BasisSetting) -> Bound:
        return EveryDraw(1e-6)

    def draw(self, setting: BasisSetting, stream: Stream) -> float:
        world = Size(6, 7, 2).world(stream)
        x, z = world.comparisons(1500, stream.child("answers"))
        targets = world.targets(40, stream.child("targets"))
        found = []
        space = reduced_subspace(tight_fit(x, z, 2), 2)
        for own in (space, _rotated(space, stream, setting.mixed)):
            psi = own.features(targets.contexts[:, None], targets.features)
            found.append(lower_bounds(psi, reduced_confidence(own, x, z)))
        return float(np.abs(found[0] - found[1]).max())

    def control(self, setting: BasisSetting) -> tuple[Control[BasisSetting], ...]:
        return (Control("a rotation across the cut", replace(setting, mixed=True)),)


@dataclass(frozen=True)
class FullSetting(Setting):
    """short: directions below min(d_x, d_phi)."""

    replicates: int = 130
    short: int = 0


class FullRankPath(Theorem[FullSetting]):
    """Reconstructed: with r = min(d_x, d_phi) nothing is dropped, k = d_x d_phi, b = 0, and the reduced path is the
    full-rank one. Value: the largest difference, over 40 targets of 10 actions, between its lower bounds and those of a
    logistic regression on vec(x z') with M = H + ridge I and chi2 with d_x d_phi degrees of freedom, reward units, plus
    |k - d_x d_phi|. (4, 6), a full-rank Theta, n = 1,500, ridge 1e-4. Control: one direction fewer."""

    claim_id, paper, source = "full-rank-path", PAPER.name, f"{RECONSTRUCTED}: rotation and truncation"
    statement = "At the largest rank the reduced path is the full-rank one."
    SETTINGS = {"as_stated": Variant(FullSetting())}

    def bound(self, setting: FullSetting) -> Bound:
        return EveryDraw(1e-6)

    def draw(self, setting: FullSetting, stream: Stream) -> float:
        d_x, d_phi, ridge, n = 4, 6, 1e-4, 1500
        world = Size(d_x, d_phi, d_x).world(stream)
        x, z = world.comparisons(n, stream.child("answers"))
        targets = world.targets(40, stream.child("targets"))
        theta = fit_full_rank(x, z, ridge=ridge, tolerance=1e-17).theta
        space = reduced_subspace(theta, d_x - setting.short)
        psi = space.features(targets.contexts[:, None], targets.features)
        reduced = lower_bounds(psi, reduced_confidence(space, x, z, ridge=ridge))
        matrix = information(theta, x, z) + ridge * np.eye(d_x * d_phi)
        whole = Ellipsoid(theta.ravel(), matrix, float(chi2.ppf(0.9, d_x * d_phi)) / n)
        products = targets.contexts[:, None, :, None] * targets.features[:, :, None, :]
        linear = whole.lower_bound(products.reshape(-1, d_x * d_phi)).reshape(reduced.shape)
        return float(np.abs(reduced - linear).max()) + abs(space.dimension - d_x * d_phi)

    def control(self, setting: FullSetting) -> tuple[Control[FullSetting], ...]:
        return (Control("one direction fewer", replace(setting, short=1)),)


THEOREMS = (
    LowRankDimension(),
    ReducedIdentity(),
    TangentGradient(),
    ReuseRefit(),
    ReducedRotations(),
    FullRankPath(),
)
