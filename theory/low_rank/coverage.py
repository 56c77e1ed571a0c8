"""Whether confidence sets in the reduced subspace cover."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from sim.algorithms.prs import learn_reward
from sim.estimators.low_rank import fit_low_rank, manifold_dimension
from sim.estimators.reduced_confidence import Mode, curvature
from sim.streams import Stream
from theory.engine.judges import Bound, Equivalent, EveryDraw, Frequency
from theory.engine.theorem import Control, Json, Premise, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, Size
from theory.low_rank._learned import Learned, learn

DELTA = 0.1
SPHERES = Size(5, 6, 1, norm=2.0)
GAUSSIAN = Size(8, 10, 2)


@dataclass(frozen=True)
class CoverageSetting(Setting):
    """size: of the true Theta.  fitted: the rank assumed.  n: answers of a stage.  bounded: contexts and differences of
    length one.  flips: share of answers turned round.  parameters: as counted, those of the manifold or of the factors.
    """

    size: Size = SPHERES
    fitted: int = 1
    n: int = 4000
    bounded: bool = True
    split: bool = True
    mode: Mode = "wald"
    flips: float = 0.0
    parameters: Literal["manifold", "factors"] = "manifold"
    replicates: int = 200


def learned(setting: CoverageSetting, stream: Stream) -> Learned:
    world = replace(setting.size.world(stream.child("theta"), setting.bounded), flips=setting.flips)
    return learn(world, setting.n, setting.fitted, stream, split=setting.split, mode=setting.mode, ridge=1e-6)


@dataclass(frozen=True)
class RadiusSetting(CoverageSetting):
    """share: of the radius that is taken."""

    share: float = 1.0


C = TypeVar("C", bound=CoverageSetting)


class _FiniteSample(Theorem[C]):
    """Value: |theta_tilde - theta|_M / f, theta the true Theta in the estimated subspace; above one, the set misses.
    The subspace comes from other answers. A radius says nothing where a ball of all Theta of that length would be
    smaller: |Theta| sqrt(lambda_max(M)) is a premise."""

    paper = PAPER.name

    def premises(self, setting: C, stream: Stream) -> tuple[Premise, ...]:
        pilot = learned(setting, stream.child("pilot"))
        length = float(np.linalg.norm(pilot.truth))
        trivial = length * float(np.sqrt(np.linalg.eigvalsh(pilot.ellipsoid.covariance)[-1]))
        f = float(np.sqrt(pilot.ellipsoid.radius))
        return (Premise("informative radius", f < trivial, f, f"f below {trivial:.3g}, that of the ball of all Theta"),)

    def bound(self, setting: C) -> Bound:
        return Frequency(DELTA, threshold=1.0)

    def draw(self, setting: C, stream: Stream) -> float:
        return learned(setting, stream).error

    def witness(self, setting: C, stream: Stream) -> Json:
        found = learned(setting, stream)
        return {"estimate": found.ellipsoid.estimate.tolist(), "target": found.target.tolist(), "ratio": found.error}


class TheoryCoverage(_FiniteSample[RadiusSetting]):
    """Reconstructed. M = Sigma + lambda I, f = (1 / kappa) ((1 / 2) sqrt((k + 2 sqrt(k L) + 2 L) / n) + b_rms / 4) +
    sqrt(lambda) |Theta|, L = log(1 / delta): the score is sub-Gaussian with parameter 1/2, its quadratic form has the
    tail of Hsu, Kakade and Zhang, and the loss is kappa-convex for kappa = sigma'(longest possible margin). Contexts
    and differences on unit spheres, (5, 6, 1), |Theta| = 2, 16,000 answers a stage, delta = .1: the radius is about
    four times the error, which is how far off a constant would have to be for the check to see it. With |Theta| = 4 or
    with 1,000 answers it is longer than Theta and says nothing.

    Controls: two that do not cover, 30 % of the answers turned round and a fifth of the radius; three in which the
    radius is no longer informative, which are caught as premises: Gaussian features, where the longest margin of the
    sample makes kappa tiny; |Theta| = 4; 1,000 answers."""

    right_side = "code"
    claim_id, source = "theory-coverage", f"{RECONSTRUCTED}: confidence sets"
    statement = "The finite-sample radius with the least curvature covers with probability 1 - delta."
    cost = 5.0
    SETTINGS = {"as_stated": Variant(RadiusSetting(n=16_000, mode="theory", replicates=100), attained=(0.2, 0.4))}

    def draw(self, setting: RadiusSetting, stream: Stream) -> float:
        return super().draw(setting, stream) / setting.share

    def control(self, setting: RadiusSetting) -> tuple[Control[RadiusSetting], ...]:
        return (
            Control("30 % of the answers turned round", replace(setting, flips=0.3)),
            Control("a fifth of the radius", replace(setting, share=0.2, replicates=40)),
            Control("Gaussian contexts and differences", replace(setting, bounded=False)),
            Control("margins up to 4", replace(setting, size=replace(SPHERES, norm=4.0))),
            Control("1,000 answers", replace(setting, n=1000)),
        )


class WeightedCoverage(_FiniteSample[CoverageSetting]):
    """Reconstructed. M = (1 / n) sum kappa_i psi_i psi_i', kappa_i the curvature at the larger of the two margins of
    answer i: the basic inequality holds in M without a least curvature, so that the radius is twice the error in M's
    norm, where that of `theory-coverage` is four times it. Unit spheres, (5, 6, 1), |Theta| = 2, 4,000 answers a stage.

    Control: 30 % of the answers turned round."""

    right_side = "code"
    claim_id, source = "weighted-coverage", f"{RECONSTRUCTED}: confidence sets"
    statement = "The radius with each answer's own curvature covers with probability 1 - delta."
    cost = 3.0
    SETTINGS = {"as_stated": Variant(CoverageSetting(mode="weighted"), attained=(0.5, 0.9))}

    def control(self, setting: CoverageSetting) -> tuple[Control[CoverageSetting], ...]:
        return (Control("30 % of the answers turned round", replace(setting, flips=0.3)),)


@dataclass(frozen=True)
class TruncatedSetting(CoverageSetting):
    """first: answers of the first stage; n are those of the second.  share: of the radius that is taken."""

    first: int = 200
    share: float = 1.0


class TruncatedCoverage(_FiniteSample[TruncatedSetting]):
    """Reconstructed. The set of `weighted-coverage` around a subspace from 200 answers, the refit from 10,000: what
    truncation drops is larger than the noise then, and the radius's share (b_rms / 4) |Q|^(1/2) is most of it. Loose,
    at three tenths of the radius: contexts and differences are alike in all directions, so that what is dropped hardly
    moves what is kept; without its share the error would be four fifths of the radius. Control: a fifth of the
    radius."""

    right_side = "code"
    claim_id, source = "truncated-coverage", f"{RECONSTRUCTED}: confidence sets"
    statement = "The weighted radius has room for what a poor subspace drops."
    cost = 3.0
    SETTINGS = {"as_stated": Variant(TruncatedSetting(mode="weighted", n=10_000, replicates=90), attained=(0.18, 0.45))}

    def premises(self, setting: TruncatedSetting, stream: Stream) -> tuple[Premise, ...]:
        return ()

    def draw(self, setting: TruncatedSetting, stream: Stream) -> float:
        world = replace(setting.size.world(stream.child("theta"), setting.bounded), flips=setting.flips)
        first = world.comparisons(setting.first, stream.child("answers"))
        second = world.comparisons(setting.n, stream.child("answers/second"))
        found = learn_reward(
            *first, setting.fitted, second=second, mode=setting.mode, ridge=1e-6, tolerance=1e-11, truth=world.theta
        )
        return Learned(found.subspace, found.ellipsoid, world.theta).error / setting.share

    def control(self, setting: TruncatedSetting) -> tuple[Control[TruncatedSetting], ...]:
        return (Control("a fifth of the radius", replace(setting, share=0.2, replicates=40)),)


class WaldCoverage(Theorem[CoverageSetting]):
    """Reconstructed. M the Hessian at the refit, f^2 = chi2_{k, .9} / n: n |theta_tilde - theta|_M^2 is asymptotically
    chi2_k, the subspace from other answers. Value: 1 where the set misses; mean within .04 of delta = .1. Unit spheres,
    (5, 6, 1), |Theta| = 2, 2,000 answers a stage. Control: 20 % of the answers turned round."""

    claim_id, paper, source = "wald-coverage", PAPER.name, f"{RECONSTRUCTED}: confidence sets"
    statement = "With a split, the Wald set of level 1 - delta misses with frequency delta."
    cost = 6.0
    SETTINGS = {"as_stated": Variant(CoverageSetting(n=2000, replicates=1500))}

    def bound(self, setting: CoverageSetting) -> Bound:
        return Equivalent(DELTA, 0.04)

    def draw(self, setting: CoverageSetting, stream: Stream) -> float:
        return float(learned(setting, stream).error > 1.0)

    def control(self, setting: CoverageSetting) -> tuple[Control[CoverageSetting], ...]:
        return (Control("20 % of the answers turned round", replace(setting, flips=0.2, replicates=300)),)


class WaldReuse(WaldCoverage):
    """Reconstructed. The same answers twice: the refit changes nothing (the gradient of a rank-constrained maximum
    vanishes on the tangent space), and the set still covers, since the subspace's error enters by its square. Gaussian
    contexts and differences, (8, 10, 2), |Theta| = 1.5, 2,000 answers. Value as in `wald-coverage`. Control: Theta of
    rank 2 taken for rank 1."""

    claim_id, source = "wald-coverage-reuse", f"{RECONSTRUCTED}: confidence sets"
    statement = "On the answers that chose the subspace, the Wald set of level 1 - delta misses with frequency delta."
    cost = 6.0
    SETTINGS = {
        "as_stated": Variant(
            CoverageSetting(size=GAUSSIAN, fitted=2, n=2000, bounded=False, split=False, replicates=2000)
        )
    }

    def control(self, setting: CoverageSetting) -> tuple[Control[CoverageSetting], ...]:
        return (Control("rank 1 assumed", replace(setting, fitted=1, replicates=1500)),)


@dataclass(frozen=True)
class GaussianSetting(Setting):
    """n: answers."""

    replicates: int = 60
    n: int = 4000


class GaussianRadius(Theorem[GaussianSetting]):
    """Reconstructed. Gaussian contexts and differences have no longest margin, only a longest one in the sample: with
    kappa there, the radius of `theory-coverage` is of the order of 10^10 at (8, 10, 2), |Theta| = 1.5, 4,000 answers.
    Even at the root-mean-square lengths |x| |z| = (d_x d_phi)^(1/2), as here, it is over 500, and no estimate inside
    the ball |Theta| <= B is further than 2 B = 3 away from the truth: the bound is vacuous, and only Wald's radius is
    of use. Value: |Theta_tilde - Theta|_F, Theta_tilde projected on that ball.

    Control: 20 answers for 32 coefficients, which have no maximum of the likelihood."""

    claim_id, paper, source = "theory-radius-gaussian", PAPER.name, f"{RECONSTRUCTED}: confidence sets"
    statement = "By the radius with the least curvature of a Gaussian sample the estimate is within f of the truth."
    cost = 1.0
    SETTINGS = {"as_stated": Variant(GaussianSetting(), Verdict.VACUOUS)}

    def premises(self, setting: GaussianSetting, stream: Stream) -> tuple[Premise, ...]:
        x, z = GAUSSIAN.world(stream.child("pilot")).comparisons(setting.n, stream.child("pilot"))
        separable = fit_low_rank(x, z, GAUSSIAN.rank, method="quasi_newton").separable
        return (Premise("a maximum exists", not separable, float(separable), "answers that are not separable"),)

    def bound(self, setting: GaussianSetting) -> Bound:
        steepest = GAUSSIAN.norm / np.sqrt(GAUSSIAN.rank)
        kappa = float(curvature(np.array(steepest * np.sqrt(GAUSSIAN.d_x * GAUSSIAN.d_phi))))
        k, L = manifold_dimension(GAUSSIAN.d_x, GAUSSIAN.d_phi, GAUSSIAN.rank), np.log(1.0 / DELTA)
        return EveryDraw(float(0.5 * np.sqrt((k + 2 * np.sqrt(k * L) + 2 * L) / setting.n) / kappa))

    def largest_possible(self, setting: GaussianSetting) -> float:
        return 2.0 * GAUSSIAN.norm

    def draw(self, setting: GaussianSetting, stream: Stream) -> float:
        found = learn(GAUSSIAN.world(stream.child("theta")), setting.n, GAUSSIAN.rank, stream, ridge=1e-6)
        theta = found.theta
        theta *= min(1.0, GAUSSIAN.norm / float(np.linalg.norm(theta)))
        return float(np.linalg.norm(theta - found.truth))

    def control(self, setting: GaussianSetting) -> tuple[Control[GaussianSetting], ...]:
        return (Control("answers that are separable", replace(setting, n=20)),)


THEOREMS = (TheoryCoverage(), WeightedCoverage(), TruncatedCoverage(), WaldCoverage(), WaldReuse(), GaussianRadius())
