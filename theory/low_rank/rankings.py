"""Rankings of several items: the whole ranking's likelihood against its pairs'."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.estimators.low_rank_rankings import fit_low_rank_rankings, pairs_of_rankings
from sim.populations.choice import PlackettLuce
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, MeanAtMost, Slope
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.low_rank import PAPER
from theory.low_rank._instances import RECONSTRUCTED, Size, tight_fit
from theory.low_rank.constants import EachEquivalent

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
    SETTINGS = {"as_stated": Variant(SplitSetting(), attained=(0.8, 0.96))}

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
            Control("a fit of rank 1", replace(setting, rank=1, replicates=12)),
            Control("a tenth of the rankings turned round", replace(setting, reversed=0.1, replicates=12)),
        )


class RankingPairsRate(RankingRate):
    """Split into pairs, rankings give the same rate, with a larger constant (`ranking-against-pairs`). Reconstructed;
    value, setting and controls as in `ranking-rate`."""

    claim_id = "ranking-pairs-rate"
    statement = "From rankings split into pairs the low-rank error falls as n^(-1/2)."
    cost = 4.0
    SETTINGS = {"as_stated": Variant(RankingSetting(method="pairs"))}


@dataclass(frozen=True)
class LawSetting(Setting):
    """scale: of the utilities that the drawn orders have, in multiples of those their chances are taken at."""

    scale: float = 1.0
    replicates: int = 100


def order_chances(utility: FloatArray) -> FloatArray:
    """prod_j e^u_j / sum_{l >= j} e^u_l, the chance of the order in which the columns of (n, K) stand; (n,)."""
    rest = np.cumsum(np.exp(utility)[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(np.exp(utility.sum(axis=1) - np.log(rest).sum(axis=1)))


class RankingLaw(Theorem[LawSetting]):
    """The chances of all K! orders sum to one, so that E[1 / P(order)] = K! for orders drawn by the law itself; a draw
    that knows the first place only never gives some of them. Extension, Plackett-Luce. Values, three columns: the mean
    of 1 / (6 P) over 1,500 orders of three items by `PlackettLuce.order`, utilities N(0, .5^2); the same for a world's
    rankings, |Theta|_F = .7; and the mean squared difference of ranked items' features over that of a comparison's
    (both are answers about the same law of differences). Each mean within .05 of 1. Control: orders by utilities twice
    as large."""

    claim_id, paper, source = "ranking-law", PAPER.name, EXTENSION
    statement = "Orders are drawn with the chances of Plackett and Luce, of items as far apart as in comparisons."
    SETTINGS = {"as_stated": Variant(LawSetting())}

    def bound(self, setting: LawSetting) -> Bound:
        return EachEquivalent(1.0, 0.05)

    def draw(self, setting: LawSetting, stream: Stream) -> FloatArray:
        n, K = 1500, 3
        utility = 0.5 * stream.child("utility").normals((n, K))
        order = PlackettLuce().order(setting.scale * utility, stream.child("order"))
        own = order_chances(np.take_along_axis(utility, order, axis=1))
        world = Size(4, 5, 2, norm=0.7).world(stream)
        x, ranked = world.with_theta(setting.scale * world.theta).rankings(n, K, stream.child("answers"))
        theirs = order_chances(np.einsum("nd,nkd->nk", x @ world.theta, ranked))
        first, second = np.triu_indices(K, 1)
        apart = float(((ranked[:, first] - ranked[:, second]) ** 2).mean())
        compared = float((world.comparisons(3 * n, stream.child("pairs"))[1] ** 2).mean())
        return np.array([(1.0 / own).mean() / 6.0, (1.0 / theirs).mean() / 6.0, apart / compared])

    def control(self, setting: LawSetting) -> tuple[Control[LawSetting], ...]:
        return (Control("utilities twice as large", replace(setting, scale=2.0)),)


@dataclass(frozen=True)
class StationarySetting(Setting):
    """counted: the ridge that the objective is taken to have, in multiples of the one that was asked for."""

    replicates: int = 150
    counted: float = 1.0


class RankingStationary(Theorem[StationarySetting]):
    """The fit of rankings is where the objective it states is flat: -(1 / n) sum_i sum_{j < K} log(e^u_ij /
    sum_{l >= j} e^u_il) + lambda / 2 |Theta|_F^2, u_ij = x_i' Theta phi_ij, [extension]. Value: the largest entry of
    its gradient, written out here with the chances of every remaining set, at the fit without a rank constraint
    (lambda = .1, n = 200, K = 4, (3, 4)). The fit stops where a round gains less than 1e-13 nats. Control: the
    objective with a ridge a tenth larger."""

    claim_id, paper, source = "ranking-stationary", PAPER.name, EXTENSION
    statement = "The fit of rankings is a stationary point of the likelihood and the ridge it states."
    SETTINGS = {"as_stated": Variant(StationarySetting())}

    def bound(self, setting: StationarySetting) -> Bound:
        return EveryDraw(1e-5)

    def draw(self, setting: StationarySetting, stream: Stream) -> float:
        ridge, K = 0.1, 4
        x, ranked = Size(3, 4, 2).world(stream).rankings(200, K, stream.child("answers"))
        theta = fit_low_rank_rankings(x, ranked, ridge=ridge, tolerance=1e-13).theta
        u, gradient = np.einsum("nd,nkd->nk", x @ theta, ranked), setting.counted * ridge * theta
        for j in range(K - 1):
            chances = np.exp(u[:, j:] - u[:, j:].max(axis=1, keepdims=True))
            chances /= chances.sum(axis=1, keepdims=True)
            mean = np.einsum("nk,nkd->nd", chances, ranked[:, j:])
            gradient = gradient + x.T @ (mean - ranked[:, j]) / len(x)
        return float(np.abs(gradient).max())

    def control(self, setting: StationarySetting) -> tuple[Control[StationarySetting], ...]:
        return (Control("a ridge a tenth larger", replace(setting, counted=1.1)),)


THEOREMS = (RankingStationary(), RankingAgainstPairs(), RankingRate(), RankingPairsRate(), RankingLaw())
