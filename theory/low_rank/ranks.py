"""Choosing the rank by information criteria."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.estimators.low_rank import fit_low_rank
from sim.estimators.rank_choice import Criterion, choose_rank
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Frequency
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, Size

SIBLING = f"{RECONSTRUCTED}: rank choice; a generalised information criterion is the sibling paper's, arXiv 2404.17592"


@dataclass(frozen=True)
class ChoiceSetting(Setting):
    """n answers; ratio of the true singular values, two of them."""

    replicates: int = 200
    criterion: Criterion = "bic"
    n: int = 1500
    ratio: float = 1.0


def chosen_rank(setting: ChoiceSetting, stream: Stream) -> int:
    """Among 1 to 4, (8, 10), truth 2, |Theta|_F = 1.5."""
    x, z = Size(ratio=setting.ratio).world(stream).comparisons(setting.n, stream.child("answers"))
    return choose_rank(x, z, (1, 2, 3, 4), setting.criterion).rank


class BicConsistent(Theorem[ChoiceSetting]):
    """Reconstructed: with penalty a_n k(r), a_n = log n, the chosen rank is the true one once n sigma_r^2 is well
    above a_n (d_x + d_phi). Value: |r_hat - 2|; (8, 10), equal singular values, n = 1,500, ranks 1 to 4; wrong in at
    most 5 % of draws. Along n the chance of the right rank is .00, .31, 1.00 at 300, 600, 1,200.

    Controls: AIC (a_n = 2), which goes on choosing too many whatever n; n = 500; singular values 10:3, for which 5,000
    answers are needed."""

    claim_id, paper, source = "rank-bic", PAPER.name, SIBLING
    statement = "The Bayesian information criterion chooses the true rank."
    cost = 2.0
    SETTINGS = {"as_stated": Variant(ChoiceSetting())}

    def bound(self, setting: ChoiceSetting) -> Bound:
        return Frequency(0.05, threshold=0.5)

    def draw(self, setting: ChoiceSetting, stream: Stream) -> float:
        return float(abs(chosen_rank(setting, stream) - 2))

    def control(self, setting: ChoiceSetting) -> tuple[Control[ChoiceSetting], ...]:
        return (
            Control("AIC", replace(setting, criterion="aic")),
            Control("a third of the answers", replace(setting, n=500)),
            Control("a weak last singular value", replace(setting, ratio=10.0 / 3.0)),
        )


class GicConsistent(BicConsistent):
    """The same for a generalised criterion, a_n = log(log n) log(d_x d_phi), here 8.7 against BIC's 7.3: it needs
    somewhat more answers. Reconstructed; value and setting as in `rank-bic`. Control: AIC."""

    claim_id = "rank-gic"
    statement = "A generalised information criterion chooses the true rank."
    cost = 1.0
    SETTINGS = {"as_stated": Variant(ChoiceSetting(criterion="gic"))}

    def control(self, setting: ChoiceSetting) -> tuple[Control[ChoiceSetting], ...]:
        return (Control("AIC", replace(setting, criterion="aic")),)


class RankUnderSelected(Theorem[ChoiceSetting]):
    """Reconstructed: at few answers BIC errs downwards. At n = 450 (14 a free number of the true rank)
    it finds both directions, r_hat >= 2, in at most 20 % of draws; value: r_hat. A low chosen rank is then no evidence
    for a low rank. By simulation it finds both in .005, .02, .04, .10 of draws at n = 300, 400, 450, 500: at 300 most
    runs would see no draw that does. Control: AIC, which finds both."""

    claim_id, paper, source = "rank-under-selected", PAPER.name, SIBLING
    statement = "At few answers the Bayesian information criterion misses a direction."
    SETTINGS = {"as_stated": Variant(ChoiceSetting(n=450, replicates=300))}

    def bound(self, setting: ChoiceSetting) -> Bound:
        return Frequency(0.2, threshold=1.5)

    def draw(self, setting: ChoiceSetting, stream: Stream) -> float:
        return float(chosen_rank(setting, stream))

    def control(self, setting: ChoiceSetting) -> tuple[Control[ChoiceSetting], ...]:
        return (Control("AIC", replace(setting, criterion="aic")),)


@dataclass(frozen=True)
class ScoreSetting(Setting):
    """free: the two factors' numbers are counted as if they were free."""

    free: bool = False
    replicates: int = 160


class RankScores(Theorem[ScoreSetting]):
    """What is minimised over r is 2 n L_n(Theta_r) + a_n k(r), k(r) = (d_x + d_phi) r - r^2, a_n = log n (BIC),
    log(log n) log(d_x d_phi) (generalised), 2 (AIC). Reconstructed. Value: the largest difference between the scores
    that are told and these formulas at the same fits, per unit of the largest; the three criteria in turn; (4, 5),
    ranks 1 and 2, n = 400. Control: (d_x + d_phi) r in place of k."""

    claim_id, paper, source = "rank-scores", PAPER.name, SIBLING
    statement = "Criteria are twice the loss and the penalty that bears their name."
    SETTINGS = {"as_stated": Variant(ScoreSetting())}

    def bound(self, setting: ScoreSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: ScoreSetting, stream: Stream) -> float:
        n, d_x, d_phi = 400, 4, 5
        x, z = Size(d_x, d_phi, 2).world(stream).comparisons(n, stream.child("answers"))
        criteria: tuple[Criterion, ...] = ("bic", "gic", "aic")
        own = stream.replicate % 3
        told = choose_rank(x, z, (1, 2), criteria[own]).scores
        a_n = (np.log(n), np.log(np.log(n)) * (np.log(d_x) + np.log(d_phi)), 2.0)[own]
        expected = []
        for r in (1, 2):
            # By the method that is chosen with: at rank 1 of two equal values another one may end elsewhere.
            theta = fit_low_rank(x, z, r, ridge=1e-6, method="quasi_newton").theta
            deviance = 2.0 * float(np.logaddexp(0.0, -((x @ theta) * z).sum(axis=1)).sum())
            expected.append(deviance + a_n * ((d_x + d_phi) * r - (0 if setting.free else r * r)))
        return float(np.abs(told - expected).max() / np.max(expected))

    def control(self, setting: ScoreSetting) -> tuple[Control[ScoreSetting], ...]:
        return (Control("(d_x + d_phi) r in place of k", replace(setting, free=True)),)


class HeldOutRank(Theorem[ChoiceSetting]):
    """Reconstructed: the likelihood of answers that were held out (five folds) does not go on rising with the rank, as
    that of the fitted ones does: it chooses the true rank in at least two draws of three. Value: |r_hat - 2|; (4, 5),
    ranks 1 to 3, equal singular values, n = 1,000. Control: 60 answers, where a direction is missed."""

    claim_id, paper, source = "rank-held-out", PAPER.name, SIBLING
    statement = "The likelihood of held-out answers chooses the true rank in most draws."
    SETTINGS = {"as_stated": Variant(ChoiceSetting(criterion="held_out", n=1000, replicates=60))}

    def bound(self, setting: ChoiceSetting) -> Bound:
        return Frequency(1.0 / 3.0, threshold=0.5)

    def draw(self, setting: ChoiceSetting, stream: Stream) -> float:
        x, z = Size(4, 5, 2, ratio=setting.ratio).world(stream).comparisons(setting.n, stream.child("answers"))
        return float(abs(choose_rank(x, z, (1, 2, 3), setting.criterion).rank - 2))

    def control(self, setting: ChoiceSetting) -> tuple[Control[ChoiceSetting], ...]:
        return (Control("60 answers", replace(setting, n=60)),)


THEOREMS = (BicConsistent(), GicConsistent(), RankUnderSelected(), RankScores(), HeldOutRank())
