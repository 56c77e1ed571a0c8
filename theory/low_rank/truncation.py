"""What truncation drops of the true reward is of second order in the estimate's error."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace

import numpy as np

from sim.estimators.reduced_subspace import ReducedSubspace, reduced_subspace
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Slope
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, Size, tight_fit


@dataclass(frozen=True)
class SureSetting(Setting):
    """extra: true directions beyond the two that are fitted."""

    replicates: int = 200
    extra: int = 0


class _SureTruncation(Theorem[SureSetting]):
    """(5, 6), fits of rank 2 to n = 300, 1,000, 4,000 answers in turn and, fourth, a fit of rank 1 to 16,000, whose
    second direction is arbitrary; singular values 4:1."""

    paper, source = PAPER.name, f"{RECONSTRUCTED}: truncation bias"
    cost = 2.0

    def bound(self, setting: SureSetting) -> Bound:
        return EveryDraw(1.0 + 1e-9)

    @abc.abstractmethod
    def _ratio(self, theta: FloatArray, weakest: float, error: float, space: ReducedSubspace) -> float:
        """Left over right; weakest: sigma_r of theta.  error: |Delta|_F."""
        ...

    def draw(self, setting: SureSetting, stream: Stream) -> float:
        number = stream.replicate % 4
        world = Size(5, 6, 2 + setting.extra, ratio=4.0).world(stream)
        x, z = world.comparisons((300, 1000, 4000, 16_000)[number], stream.child("answers"))
        estimate = tight_fit(x, z, 1 if number == 3 else 2)
        weakest = float(np.linalg.svd(world.theta, compute_uv=False)[1])
        error = float(np.linalg.norm(estimate - world.theta))
        return self._ratio(world.theta, weakest, error, reduced_subspace(estimate, 2))

    def control(self, setting: SureSetting) -> tuple[Control[SureSetting], ...]:
        return (Control("a true direction more than is fitted", replace(setting, extra=1)),)


class TruncationSure(_SureTruncation):
    """Reconstructed, without an eigengap: if Theta* has rank r then |U_perp' Theta* V_perp|_F <= |Delta|_F^2 /
    sigma_r, sigma_r its smallest singular value. For U_perp' Theta_hat = 0 gives U_perp' U* D V*' = -U_perp' Delta, so
    that |U_perp' U*|_F <= |Delta|_F / sigma_r, the same for V, and Theta*'_22 = (U_perp' U*) D (V*' V_perp) with D V*'
    V_perp = -U*' Delta V_perp. Value: left over right, about .2, and .97 where it is nearly attained. (5, 6), fits of
    rank 2 to n = 300, 1,000, 4,000 answers in turn and, fourth, a fit of rank 1 to 16,000, whose second direction is
    arbitrary; singular values 4:1.

    Control: a Theta* of rank 3, sigma_r its second singular value. (With three equal singular values the inequality is
    nearly attained, .98, but not violated.)"""

    right_side = "draw"
    claim_id = "truncation-sure"
    statement = "The dropped block of the true Theta is at most the squared error over its least singular value."
    SETTINGS = {"as_stated": Variant(SureSetting(), attained=(0.8, 1.0))}

    def _ratio(self, theta: FloatArray, weakest: float, error: float, space: ReducedSubspace) -> float:
        return float(np.linalg.norm(space.tail(theta)) * weakest / error**2)


class SubspaceSure(_SureTruncation):
    """Reconstructed: |U_perp' U*|_F <= |Delta|_F / sigma_r and |V_perp' V*|_F <= |Delta|_F /
    sigma_r (`truncation-sure` has the proof and the setting). Value: the larger of left over right, about .6. Control:
    a Theta* of rank 3, sigma_r its second singular value."""

    right_side = "draw"
    claim_id = "subspace-sure"
    statement = "Either subspace's distance from the true one is at most the error over the least singular value."
    SETTINGS = {"as_stated": Variant(SureSetting(), attained=(0.9, 1.0))}

    def _ratio(self, theta: FloatArray, weakest: float, error: float, space: ReducedSubspace) -> float:
        u, values, vt = np.linalg.svd(theta)
        rank = int((values > 1e-9).sum())
        left = np.linalg.norm(space.left[:, space.rank :].T @ u[:, :rank])
        right = np.linalg.norm(space.right[:, space.rank :].T @ vt[:rank].T)
        return float(max(left, right) * weakest / error)


@dataclass(frozen=True)
class TailSetting(Setting):
    """rank of the truth; ratio of its singular values. Fits have rank 2."""

    replicates: int = 45
    rank: int = 2
    ratio: float = 1.5


class TruncationRate(Theorem[TailSetting]):
    """Reconstructed: |Theta*'_22|_F falls as 1 / n, so that the truncation's bias is negligible beside the
    n^(-1/2) of the rest: slope in [-1.15, -.85] over n = 700 ... 70,000, (4, 5, 2), singular values 3:2.

    Controls: a Theta* of rank 3, whose third direction stays in the dropped block; singular values 40:1, the weak one
    below its noise at all but the largest n, where the slope is shallower."""

    claim_id, paper, source = "truncation-rate", PAPER.name, f"{RECONSTRUCTED}: truncation bias"
    statement = "The dropped block of the true Theta falls as 1 / n."
    cost = 5.0
    full_factor = 3
    axes = ("answers", "dropped block of Theta")
    SETTINGS = {"as_stated": Variant(TailSetting())}
    _ANSWERS = (700, 2214, 7000, 22_136, 70_000)

    def bound(self, setting: TailSetting) -> Bound:
        return Slope(-0.85, lowest=-1.15)

    def grid(self, setting: TailSetting) -> FloatArray:
        return np.array(self._ANSWERS, dtype=np.float64)

    def draw(self, setting: TailSetting, stream: Stream) -> FloatArray:
        world = Size(4, 5, setting.rank, ratio=setting.ratio).world(stream)
        x, z = world.comparisons(self._ANSWERS[-1], stream.child("answers"))
        spaces = [reduced_subspace(tight_fit(x[:n], z[:n], 2), 2) for n in self._ANSWERS]
        return np.array([np.linalg.norm(space.tail(world.theta)) for space in spaces])

    def control(self, setting: TailSetting) -> tuple[Control[TailSetting], ...]:
        return (
            Control("a true direction more than is fitted", replace(setting, rank=3, replicates=15)),
            Control("a weak last singular value", replace(setting, ratio=40.0, replicates=15)),
        )


THEOREMS = (TruncationSure(), SubspaceSure(), TruncationRate())
