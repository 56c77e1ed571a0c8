"""Rankings of several items: the whole ranking's likelihood against its pairs'."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.estimators.low_rank_rankings import fit_low_rank_rankings, pairs_of_rankings
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, MeanAtMost, Slope
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, Size, tight_fit

EXTENSION = f"{RECONSTRUCTED}: rankings, an extension, not known to be in the paper"


@dataclass(frozen=True)
class SplitSetting(Setting):
    """items in a ranking."""

    replicates: int = 120
    items: int = 10


class RankingAgainstPairs(Theorem[SplitSetting]):
    """Reconstructed: a ranking of K items says as much as its Plackett-Luce likelihood; its K (K - 1) / 2 pairs,
    taken for independent answers, are consistent too but less efficient. Value: squared error of the former over the
    latter, rank 2; mean at most .95 at K = 10, n = 500, (6, 7, 2), where it is about .82 (K = 4: .93, K = 6: .89).
    Control: K = 2, where they are the same."""

    claim_id, paper, source = "ranking-against-pairs", PAPER.name, EXTENSION
    statement = "The likelihood of whole rankings estimates better than that of their pairs."
    cost = 2.0
    SETTINGS = {"as_stated": Variant(SplitSetting())}

    def bound(self, setting: SplitSetting) -> Bound:
        return MeanAtMost(0.95)

    def draw(self, setting: SplitSetting, stream: Stream) -> float:
        world = Size(6, 7, 2).world(stream)
        x, ranked = world.rankings(500, setting.items, stream.child("answers"))
        whole = fit_low_rank_rankings(x, ranked, 2, ridge=1e-9, tolerance=1e-12).theta
        split = tight_fit(*pairs_of_rankings(x, ranked), 2)
        return float(((whole - world.theta) ** 2).sum() / ((split - world.theta) ** 2).sum())

    def control(self, setting: SplitSetting) -> tuple[Control[SplitSetting], ...]:
        return (Control("rankings of two", replace(setting, items=2)),)


@dataclass(frozen=True)
class RankingSetting(Setting):
    """rank of the fit; method: whole rankings or their pairs; reversed: share of rankings that are turned round."""

    replicates: int = 30
    rank: int = 2
    method: Literal["whole", "pairs"] = "whole"
    reversed: float = 0.0


class RankingRate(Theorem[RankingSetting]):
    """Reconstructed: |Theta_hat - Theta|_F falls as n^(-1/2), slope in [-.6, -.42] over n = 250 ... 25,000
    rankings of three items, (4, 5, 2), singular values alike. Controls: a fit of rank 1; a tenth of the rankings turned
    round."""

    claim_id, paper, source = "ranking-rate", PAPER.name, EXTENSION
    statement = "From whole rankings the low-rank error falls as n^(-1/2)."
    cost = 5.0
    full_factor = 3
    axes = ("rankings", "error of Theta")
    SETTINGS = {"as_stated": Variant(RankingSetting())}
    _RANKINGS = (250, 791, 2500, 7906, 25_000)

    def bound(self, setting: RankingSetting) -> Bound:
        return Slope(-0.42, lowest=-0.6)

    def grid(self, setting: RankingSetting) -> FloatArray:
        return np.array(self._RANKINGS, dtype=np.float64)

    def draw(self, setting: RankingSetting, stream: Stream) -> FloatArray:
        world = Size(4, 5, 2).world(stream)
        x, ranked = world.rankings(self._RANKINGS[-1], 3, stream.child("answers"))
        turned = stream.child("reversed").uniforms(len(x)) < setting.reversed
        ranked = np.where(turned[:, None, None], ranked[:, ::-1], ranked)
        found = []
        for n in self._RANKINGS:
            if setting.method == "pairs":
                estimate = tight_fit(*pairs_of_rankings(x[:n], ranked[:n]), setting.rank)
            else:
                estimate = fit_low_rank_rankings(x[:n], ranked[:n], setting.rank, ridge=1e-9, tolerance=1e-12).theta
            found.append(float(np.linalg.norm(estimate - world.theta)))
        return np.array(found)

    def control(self, setting: RankingSetting) -> tuple[Control[RankingSetting], ...]:
        return (
            Control("a fit of rank 1", replace(setting, rank=1)),
            Control("a tenth of the rankings turned round", replace(setting, reversed=0.1)),
        )


class RankingPairsRate(RankingRate):
    """Split into pairs, rankings give the same rate, with a larger constant (`ranking-against-pairs`). Reconstructed;
    value, setting and controls as in `ranking-rate`."""

    claim_id = "ranking-pairs-rate"
    statement = "From rankings split into pairs the low-rank error falls as n^(-1/2)."
    cost = 4.0
    SETTINGS = {"as_stated": Variant(RankingSetting(method="pairs"))}


THEOREMS = (RankingAgainstPairs(), RankingRate(), RankingPairsRate())
