"""Error of the rank-constrained maximum likelihood: a certified bound, its rate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.estimators.low_rank import spectral_start
from sim.estimators.low_rank_descent import balanced_factors
from sim.estimators.reduced_confidence import curvature
from sim.estimators.unidentified import screen_columns
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Slope
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, Size, tight_fit

# From 50 answers a free number on; (4, 5, 2) has k = 14 of them.
_SMALL = Size(4, 5, 2)
_ANSWERS = (700, 2214, 7000, 22_136, 70_000)


def certified_error(theta: FloatArray, estimate: FloatArray, rank: int, x: FloatArray, z: FloatArray) -> float:
    """|Delta|_F / (2 (2 r)^(1/2) |G(Theta*)|_op / lambda_min(H)), Delta = estimate - theta; at most one for every
    estimate of rank <= r that is at least as likely as theta, whatever the answers.   [reconstructed]

    G: the gradient of the mean loss at theta.  H = (1 / n) sum kappa_i vec(x_i z_i') vec(x_i z_i')', kappa_i the least
    curvature between the two margins. x (n, d_x), z (n, d_phi), signed.
    """
    true, fitted = ((x @ theta) * z).sum(axis=1), ((x @ estimate) * z).sum(axis=1)
    kappa = curvature(np.maximum(np.abs(true), np.abs(fitted)))
    product = (x[:, :, None] * z[:, None, :]).reshape(len(x), -1)
    least = float(np.linalg.eigvalsh((product * kappa[:, None]).T @ product / len(x))[0])
    gradient = (x / (1.0 + np.exp(true))[:, None]).T @ z / len(x)
    radius = 2.0 * np.sqrt(2.0 * rank) * np.linalg.norm(gradient, 2)
    return float(np.linalg.norm(estimate - theta) * least / radius)


@dataclass(frozen=True)
class CertificateSetting(Setting):
    """estimate: maximum, of the likelihood at the true rank; short, at one less; start, of the descent."""

    replicates: int = 200
    estimate: str = "maximum"


class EstimationCertified(Theorem[CertificateSetting]):
    """Reconstructed: L_n(Theta_hat) <= L_n(Theta*) and a second-order expansion give
    (1/2) lambda_min(H) |Delta|_F^2 <= |<G(Theta*), Delta>| <= |G|_op |Delta|_*, and rank(Delta) <= 2 r turns the
    nuclear norm into (2 r)^(1/2) |Delta|_F: so |Delta|_F <= 2 (2 r)^(1/2) |G(Theta*)|_op / lambda_min(H) in every
    sample. Value: left over right (a certificate of the sample, so both come from it), at most about .18: true, and
    five times loose. (4, 4, 2), singular values 3:2, n = 300, 1,000, 4,000, 16,000 in turn.

    Controls, both of which are not at least as likely as the truth, and whose error stays while the right side falls:
    the maximum over rank r - 1; the spectral start taken as the estimate."""

    right_side = "code"
    claim_id, paper, source = "estimation-certified", PAPER.name, f"{RECONSTRUCTED}: estimation error"
    statement = "The error is at most 2 (2r)^(1/2) |G(Theta*)|_op / lambda_min(H), sample by sample."
    cost = 2.0
    SETTINGS = {"as_stated": Variant(CertificateSetting(), attained=(0.12, 0.25))}

    def bound(self, setting: CertificateSetting) -> Bound:
        return EveryDraw(1.0)

    def draw(self, setting: CertificateSetting, stream: Stream) -> float:
        world = Size(4, 4, 2, ratio=1.5).world(stream)
        x, z = world.comparisons((300, 1000, 4000, 16_000)[stream.replicate % 4], stream.child("answers"))
        if setting.estimate == "start":
            left, right = balanced_factors(spectral_start(x, z), 2)
            estimate = left @ right.T
        else:
            estimate = tight_fit(x, z, 1 if setting.estimate == "short" else 2)
        return certified_error(world.theta, estimate, 2, x, z)

    def control(self, setting: CertificateSetting) -> tuple[Control[CertificateSetting], ...]:
        return (
            Control("a fit of one direction fewer", replace(setting, estimate="short")),
            Control("the spectral start as the estimate", replace(setting, estimate="start")),
        )


@dataclass(frozen=True)
class ErrorSetting(Setting):
    """rank of the fit; flips and probit: how answers break the model; covered: every feature varies in training."""

    replicates: int = 30
    rank: int = 2
    flips: float = 0.0
    probit: bool = False
    covered: bool = True


def _errors(setting: ErrorSetting, stream: Stream, identified: bool) -> FloatArray:
    """|Theta_hat - Theta|_F at each of _ANSWERS, of the columns that are identified or of all; nested samples."""
    world = _SMALL.world(stream)
    sd = np.ones(_SMALL.d_phi)
    sd[-1] = 1.0 if setting.covered else 0.0
    world = replace(world, flips=setting.flips, probit=setting.probit, feature_sd=sd)
    x, z = world.comparisons(_ANSWERS[-1], stream.child("answers"))
    kept = screen_columns(z[:700]).kept
    found = []
    for n in _ANSWERS:
        estimate = np.zeros(world.theta.shape)
        estimate[:, kept] = tight_fit(x[:n], z[:n, kept], setting.rank)
        gap = estimate - world.theta
        found.append(float(np.linalg.norm(gap[:, kept] if identified else gap)))
    return np.array(found)


class EstimationRate(Theorem[ErrorSetting]):
    """Reconstructed, after the rate (((d_x + d_phi) r + log(1 / delta)) / N)^(1/2) that a published
    summary of the paper gives for the policy's loss. |Theta_hat - Theta*|_F falls as n^(-1/2): slope in [-.6, -.42]
    over n = 700 ... 70,000, (4, 5, 2), so k = 14 and n >= 50 k (below, the likelihood's maximum is still inflated and
    the slope too steep). The root alone over n, slope -1, is excluded by the lower end.

    Controls, in all of which the error stays: a fit of rank 1; a feature that no two answers differ in, on which Theta
    is not zero; 10 % of answers turned round (the fitted Theta is shrunken); answers by the normal distribution
    function."""

    claim_id, paper, source = "estimation-rate", PAPER.name, f"{RECONSTRUCTED}: estimation error"
    statement = "The error of the rank-constrained maximum likelihood falls as n^(-1/2), and no faster."
    cost = 6.0
    full_factor = 3
    axes = ("answers", "error of Theta")
    SETTINGS = {"as_stated": Variant(ErrorSetting())}

    def bound(self, setting: ErrorSetting) -> Bound:
        return Slope(-0.42, lowest=-0.6)

    def grid(self, setting: ErrorSetting) -> FloatArray:
        return np.array(_ANSWERS, dtype=np.float64)

    def draw(self, setting: ErrorSetting, stream: Stream) -> FloatArray:
        return _errors(setting, stream, identified=False)

    def control(self, setting: ErrorSetting) -> tuple[Control[ErrorSetting], ...]:
        return (
            Control("a fit of one direction fewer", replace(setting, rank=1, replicates=12)),
            Control("a feature that never varies", replace(setting, covered=False, replicates=12)),
            Control("a tenth of the answers turned round", replace(setting, flips=0.1, replicates=12)),
            Control("answers by the normal distribution function", replace(setting, probit=True, replicates=12)),
        )


@dataclass(frozen=True)
class ColumnSetting(Setting):
    """identified: the error is that of the columns some answer says something about."""

    replicates: int = 30
    identified: bool = True


class UnidentifiedColumn(Theorem[ColumnSetting]):
    """A feature that is the same in both items of every comparison (an intercept) leaves its column of Theta free; no
    choice depends on it. Reconstructed: leaving it out, the other columns' error falls as n^(-1/2), slope in
    [-.6, -.42] over n = 700 ... 70,000 ((4, 5, 2), the last feature without variation, Theta not zero on it).
    Control: the error of the whole matrix, which stays at the length of that column."""

    claim_id, paper, source = "unidentified-column", PAPER.name, RECONSTRUCTED
    statement = "With a feature that never varies left out, the other columns' error falls as n^(-1/2)."
    cost = 3.0
    full_factor = 3
    axes = ("answers", "error over identified columns")
    SETTINGS = {"as_stated": Variant(ColumnSetting())}

    def bound(self, setting: ColumnSetting) -> Bound:
        return Slope(-0.42, lowest=-0.6)

    def grid(self, setting: ColumnSetting) -> FloatArray:
        return np.array(_ANSWERS, dtype=np.float64)

    def draw(self, setting: ColumnSetting, stream: Stream) -> FloatArray:
        return _errors(ErrorSetting(covered=False), stream, setting.identified)

    def control(self, setting: ColumnSetting) -> tuple[Control[ColumnSetting], ...]:
        return (Control("the whole matrix", replace(setting, identified=False)),)


THEOREMS = (EstimationCertified(), EstimationRate(), UnidentifiedColumn())
