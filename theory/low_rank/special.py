"""Special contexts: one for all, one a group, one a user; and what a low rank then says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.stats import chi2

from sim.algorithms.reduced_pessimism import lower_bounds
from sim.environments.low_rank import plain_world
from sim.estimators.confidence import Ellipsoid
from sim.estimators.low_rank import fit_full_rank, fit_low_rank
from sim.estimators.reduced_confidence import reduced_confidence
from sim.estimators.reduced_subspace import reduced_subspace
from sim.estimators.shared_representation import fit_shared
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from theory.engine.judges import Bound, Equivalent, EveryDraw, MeanAtMost, Slope
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, information, tangent_basis, tight_fit


def group_rewards(groups: int, types: int, d_phi: int, stream: Stream, length: float = 1.22) -> FloatArray:
    """Theta of one-hot contexts, (groups, d_phi): a row a group, `types` different rows of that length in turn."""
    rewards = stream.child("types").normals((types, d_phi))
    rewards *= length / np.linalg.norm(rewards, axis=1, keepdims=True)
    return np.asarray(rewards[np.arange(groups) % types])


def group_answers(theta: FloatArray, n: int, stream: Stream) -> tuple[FloatArray, IntArray, FloatArray]:
    """n answers of uniform groups: (one-hot contexts (n, groups), group (n,), signed differences (n, d_phi))."""
    groups, d_phi = theta.shape
    group = stream.child("groups").integers(groups, n)
    z = stream.child("differences").generator().standard_normal((n, d_phi))
    first = stream.child("answers").uniforms(n) < 1.0 / (1.0 + np.exp(-(theta[group] * z).sum(axis=1)))
    return np.eye(groups)[group], group, np.where(first[:, None], z, -z)


def _pooled(z: FloatArray) -> FloatArray:
    """One reward for all these answers, (1, d_phi)."""
    return fit_full_rank(np.ones((len(z), 1)), z, ridge=1e-9).theta


@dataclass(frozen=True)
class OneContextSetting(Setting):
    """spread: standard deviation of contexts around 1."""

    replicates: int = 150
    spread: float = 0.0


class OneContext(Theorem[OneContextSetting]):
    """Reconstructed: with d_x = 1 and x = 1, so r = 1 and k = d_phi, the whole path (fit, rotation, refit, set,
    lower bounds) is the linear pessimistic one of pairwise comparisons. Value: the largest difference between its lower
    bounds and <theta, phi> - f |phi|_{(H + ridge I)^-1} of a logistic regression on differences by another Newton
    method, f^2 = chi2_{d_phi, .9} / n, as a share of the largest bound (the refit stops at gradients of 1e-10). 40
    targets of 10 actions, d_phi = 6, n = 800, ridge 1e-4. Control: contexts that differ, N(1, .2^2), which the linear
    path does not see."""

    claim_id, paper, source = "one-context", PAPER.name, f"{RECONSTRUCTED}: one context"
    statement = "With one context for all the reduced path is the linear pessimistic one."
    SETTINGS = {"as_stated": Variant(OneContextSetting())}

    def bound(self, setting: OneContextSetting) -> Bound:
        return EveryDraw(1e-8)

    def draw(self, setting: OneContextSetting, stream: Stream) -> float:
        n, d_phi, ridge = 800, 6, 1e-4
        theta = stream.child("theta").normals((1, d_phi)) / 2.0
        world = replace(plain_world(theta), context_mean=np.ones(1), context_sd=np.full(1, setting.spread))
        x, z = world.comparisons(n, stream.child("answers"))
        phi = stream.child("targets").normals((40, 10, d_phi))
        space = reduced_subspace(fit_low_rank(x, z, 1, ridge=ridge).theta, 1)
        psi = space.features(np.ones((40, 1, 1)), phi)
        reduced = lower_bounds(psi, reduced_confidence(space, x, z, ridge=ridge))
        one = np.ones((n, 1))
        linear = fit_full_rank(one, z, ridge=ridge, tolerance=1e-18).theta
        matrix = information(linear, one, z) + ridge * np.eye(d_phi)
        whole = Ellipsoid(linear[0], matrix, float(chi2.ppf(0.9, d_phi)) / n)
        bounds = whole.lower_bound(phi.reshape(-1, d_phi)).reshape(40, 10)
        return float(np.abs(bounds - reduced).max() / np.abs(bounds).max())

    def control(self, setting: OneContextSetting) -> tuple[Control[OneContextSetting], ...]:
        return (Control("contexts that differ", replace(setting, spread=0.2)),)


@dataclass(frozen=True)
class GroupSetting(Setting):
    """types among twelve groups; estimate: low (rank 2) or pooled."""

    replicates: int = 150
    types: int = 2
    estimate: str = "low"


@cache
def fixed_groups(types: int) -> tuple[FloatArray, float]:
    """One Theta of twelve groups in eight features for all replicates, and tr((T'HT)^-1) / tr(H^-1) for a fit of rank 2
    (of rank `types` if that is less), by 50,000 draws."""
    stream = Stream(0, f"{PAPER.name}/groups/{types}")
    theta = group_rewards(12, types, 8, stream)
    x, _, z = group_answers(theta, 50_000, stream)
    H, T = information(theta, x, z), tangent_basis(theta, min(types, 2))
    return theta, float(np.trace(np.linalg.inv(T.T @ H @ T)) / np.trace(np.linalg.inv(H)))


class GroupsShare(Theorem[GroupSetting]):
    """Reconstructed: for one-hot contexts Theta's rows are the groups' rewards, groups of r types make its rank
    at most r, and its error falls from that of K d_phi numbers to about r (K + d_phi). Value: mean squared error of the
    fit of rank 2 over that of a fit a group, divided by that ratio of traces (.42; k / D = .375); mean within .1 of 1.
    K = 12 groups, d_phi = 8, two types of length 1.22, n = 12,000, one Theta.

    Controls: one reward for all groups, which is inconsistent; eight types (full rank), of which two directions are
    fitted."""

    claim_id, paper, source = "groups-share", PAPER.name, f"{RECONSTRUCTED}: groups"
    statement = "Groups of few types share an error that is smaller by the ratio of the two traces."
    cost = 5.0
    SETTINGS = {"as_stated": Variant(GroupSetting())}

    def bound(self, setting: GroupSetting) -> Bound:
        return Equivalent(1.0, 0.1)

    def draw(self, setting: GroupSetting, stream: Stream) -> float:
        theta, expected = fixed_groups(setting.types)
        x, group, z = group_answers(theta, 12_000, stream)
        low = _pooled(z) if setting.estimate == "pooled" else tight_fit(x, z, 2)
        # The unconstrained fit separates by groups.
        each = np.concatenate([_pooled(z[group == g]) for g in range(12)])
        return float(((low - theta) ** 2).sum() / ((each - theta) ** 2).sum() / expected)

    def control(self, setting: GroupSetting) -> tuple[Control[GroupSetting], ...]:
        return (
            Control("one reward for all groups", replace(setting, estimate="pooled")),
            Control("as many types as features", replace(setting, types=8)),
        )


class PoolingCommon(Theorem[GroupSetting]):
    """Reconstructed: where all groups are of one type pooling is right, and better
    than rank 1, which still fits every group's scale: 8 numbers against 19. Value: mean squared error pooled over that
    of rank 1, mean at most .5. K = 12, d_phi = 8, n = 3,000. Control: two types."""

    claim_id, paper, source = "pooling-common", PAPER.name, f"{RECONSTRUCTED}: groups"
    statement = "For one common reward pooling beats the fit of rank 1."
    SETTINGS = {"as_stated": Variant(GroupSetting(replicates=40, types=1), attained=(0.4, 0.9))}

    def bound(self, setting: GroupSetting) -> Bound:
        return MeanAtMost(0.5)

    def draw(self, setting: GroupSetting, stream: Stream) -> float:
        theta = group_rewards(12, setting.types, 8, stream)
        x, _, z = group_answers(theta, 3000, stream)
        low = tight_fit(x, z, setting.types)
        return float(((_pooled(z) - theta) ** 2).sum() / ((low - theta) ** 2).sum())

    def control(self, setting: GroupSetting) -> tuple[Control[GroupSetting], ...]:
        return (Control("two types", replace(setting, types=2)),)


@dataclass(frozen=True)
class OwnSetting(Setting):
    """rank of the bilinear fit; the shared representation has two directions."""

    replicates: int = 130
    rank: int = 2


class OwnContexts(Theorem[OwnSetting]):
    """Reconstructed: where every user is her own one-hot context, Theta = heads U' with |Theta|_F = |heads|_F:
    the rank-constrained fit is the shared representation of arXiv 2405.00254, objective and all (there a sum, so ridge
    here is ridge there over n). Value: the largest difference between entries of the two estimates, found by different
    methods (quasi-Newton on factors; Newton on the Grassmann manifold), reward units. 10 users of rank-2 rewards, d_phi
    = 6, 1,500 answers, ridge .1. Control: rank 1."""

    claim_id, paper, source = "own-contexts", PAPER.name, f"{RECONSTRUCTED}: users"
    statement = "With a context of her own for every user the fit is a shared linear representation."
    SETTINGS = {"as_stated": Variant(OwnSetting())}

    def bound(self, setting: OwnSetting) -> Bound:
        return EveryDraw(1e-4)

    def draw(self, setting: OwnSetting, stream: Stream) -> float:
        users, d_phi, n, ridge = 10, 6, 1500, 0.1
        subspace = np.linalg.qr(stream.child("subspace").normals((d_phi, 2)))[0]
        theta = stream.child("heads").normals((users, 2)) @ subspace.T
        x, user, z = group_answers(theta, n, stream)
        low = fit_low_rank(x, z, setting.rank, ridge=ridge / n, method="quasi_newton", tolerance=1e-14).theta
        shared = fit_shared(z, user, users, 2, ridge=ridge, tolerance=1e-13).theta
        return float(np.abs(low - shared).max())

    def control(self, setting: OwnSetting) -> tuple[Control[OwnSetting], ...]:
        return (Control("a fit of rank 1", replace(setting, rank=1)),)


@dataclass(frozen=True)
class ClusterSetting(Setting):
    """types: different rewards among the groups. The fit has rank 2."""

    replicates: int = 30
    types: int = 2


class ClustersRate(Theorem[ClusterSetting]):
    """Reconstructed: disjoint clusters of identical users make Theta's rank at most the number of clusters, so
    that a fit of that rank is consistent without knowing who belongs where: slope of its error in [-.6, -.42] over n =
    1,000 ... 100,000; 6 users, d_phi = 6, two clusters, k = 20. Control: six users of six kinds, full rank, where the
    error stays."""

    claim_id, paper, source = "clusters-rate", PAPER.name, f"{RECONSTRUCTED}: clusters"
    statement = "For users in few clusters the low-rank error falls as n^(-1/2)."
    cost = 5.0
    full_factor = 3
    axes = ("answers", "error of Theta")
    SETTINGS = {"as_stated": Variant(ClusterSetting())}
    _ANSWERS = (1000, 3162, 10_000, 31_623, 100_000)

    def bound(self, setting: ClusterSetting) -> Bound:
        return Slope(-0.42, lowest=-0.6)

    def grid(self, setting: ClusterSetting) -> FloatArray:
        return np.array(self._ANSWERS, dtype=np.float64)

    def draw(self, setting: ClusterSetting, stream: Stream) -> FloatArray:
        theta = group_rewards(6, setting.types, 6, stream)
        x, _, z = group_answers(theta, self._ANSWERS[-1], stream)
        return np.array([np.linalg.norm(tight_fit(x[:n], z[:n], 2) - theta) for n in self._ANSWERS])

    def control(self, setting: ClusterSetting) -> tuple[Control[ClusterSetting], ...]:
        return (Control("six kinds of users", replace(setting, types=6, replicates=12)),)


THEOREMS = (OneContext(), GroupsShare(), PoolingCommon(), OwnContexts(), ClustersRate())
