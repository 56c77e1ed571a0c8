"""Where a number that looks right is not: the start's length, the radius's degrees of freedom."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.estimators.low_rank import fit_low_rank, spectral_start
from sim.estimators.low_rank_descent import balanced_factors
from sim.estimators.reduced_confidence import reduced_confidence, scaled_error
from sim.estimators.reduced_subspace import reduced_subspace
from sim.streams import Stream
from theory.engine.judges import Bound, Frequency, MeanAtMost
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, Size


@dataclass(frozen=True)
class StartSetting(Setting):
    """whole: the start's own error, in place of its subspaces'."""

    replicates: int = 40
    whole: bool = False


class SpectralStart(Theorem[StartSetting]):
    """Reconstructed: the spectral start is one step of a linearised link. As answers get surer it shrinks,
    to .53, .32 and .09 of the truth's length at |Theta|_F = 2, 4, 16, but x z' is still weighted along Theta's
    directions: |Theta - P Theta Q|_F, P and Q the projections on its subspaces, is at most .1 |Theta|_F. Value: the
    largest of that share over the three lengths; (8, 10, 2), n = 20,000. Control: the start's own error as a share,
    which is why it serves as a start and not as an estimate."""

    claim_id, paper, source = "spectral-start", PAPER.name, f"{RECONSTRUCTED}: spectral start"
    statement = "However sure the answers, the spectral start's subspaces are close to the true ones."
    cost = 3.0
    SETTINGS = {"as_stated": Variant(StartSetting(), attained=(0.4, 0.95))}

    def bound(self, setting: StartSetting) -> Bound:
        return MeanAtMost(0.1)

    def draw(self, setting: StartSetting, stream: Stream) -> float:
        found = []
        for length in (2.0, 4.0, 16.0):
            theta = Size(norm=length).theta(stream)
            x, z = Size(norm=length).world(stream).comparisons(20_000, stream.child(f"answers/{length:g}"))
            left, right = balanced_factors(spectral_start(x, z), 2)
            start = left @ right.T
            if not setting.whole:
                u, v = np.linalg.qr(left)[0], np.linalg.qr(right)[0]
                start = u @ (u.T @ theta @ v) @ v.T
            found.append(float(np.linalg.norm(start - theta)) / length)
        return max(found)

    def control(self, setting: StartSetting) -> tuple[Control[StartSetting], ...]:
        return (Control("the start itself", replace(setting, whole=True)),)


@dataclass(frozen=True)
class RadiusSetting(Setting):
    """factors: the factors' (d_x + d_phi) r numbers as degrees of freedom."""

    replicates: int = 700
    factors: bool = True


class RadiusDimension(Theorem[RadiusSetting]):
    """Reconstructed: the rate's (d_x + d_phi) r bounds k = (d_x + d_phi) r - r^2 from above; as degrees of
    freedom of a Wald radius it over-covers, so that a set of level .9 misses in at most 5 %. (6, 7, 3): 39 against
    k = 30, missing .011 by the chi2 law. Value: squared error over squared radius, n = 1,500, the same answers twice.
    Control: k degrees of freedom, which misses in 10 %."""

    right_side = "code"
    claim_id, paper, source = "radius-dimension", PAPER.name, f"{RECONSTRUCTED}: confidence sets"
    statement = "A Wald radius with (d_x + d_phi) r degrees of freedom covers more than it says."
    cost = 4.0
    SETTINGS = {"as_stated": Variant(RadiusSetting(), attained=(0.75, 1.0))}

    def bound(self, setting: RadiusSetting) -> Bound:
        return Frequency(0.05, threshold=1.0)

    def draw(self, setting: RadiusSetting, stream: Stream) -> float:
        size = Size(6, 7, 3)
        world = size.world(stream)
        x, z = world.comparisons(1500, stream.child("answers"))
        space = reduced_subspace(fit_low_rank(x, z, size.rank, ridge=1e-9, method="quasi_newton").theta, size.rank)
        counted = (size.d_x + size.d_phi) * size.rank if setting.factors else space.dimension
        covering = reduced_confidence(space, x, z, ridge=1e-9, dimension=counted)
        return scaled_error(covering, space.vector(world.theta))

    def control(self, setting: RadiusSetting) -> tuple[Control[RadiusSetting], ...]:
        return (Control("k degrees of freedom", replace(setting, factors=False)),)


THEOREMS = (SpectralStart(), RadiusDimension())
