"""How the pessimism gap of Theorems 2 and 6 (arXiv 2403.05006) falls with answers and grows with parties."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from sim.estimators.party_confidence import PartyConfidence
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, Slope
from theory.engine.kept import kept
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.multi_party import PAPER
from theory.multi_party._instances import ARXIV, Parties, parties


@dataclass(frozen=True)
class GapSetting(Setting):
    """frozen: a radius that does not shrink with the answers, None for the trial's own error."""

    replicates: int = 80
    frozen: float | None = None


class NashGapRate(Theorem[GapSetting]):
    """Theorem 2's rate, relative to the best: 1 - E_s prod_m Lcb_m / E_s V at the optimum falls as n^(-1/2), slope at
    most -.4 over n = 1,000 ... 100,000 (4 states, 4 actions, d = 4, r = 2, two parties). Fewer answers and the product
    of lower bounds is still near zero, where the gap cannot fall; the loss itself falls faster than any power on a
    fixed instance with finitely many actions. Where answers are few a draw is the mean over several samples of them.
    Parties who all but oppose each other are drawn again (one world in eleven): their best welfare is so near zero that
    the product of bounds stays there at 100,000 answers. Control: a radius that stays where it is."""

    claim_id, paper, source = "nash-gap-rate", PAPER.name, f"{ARXIV}, Theorem 2"
    statement = "The relative gap of the pessimistic Nash welfare falls as n^(-1/2)."
    cost = 6.0
    full_factor = 3
    axes = ("answers a party", "1 - (pessimistic welfare) / (welfare) at the optimum")
    SETTINGS = {"as_stated": Variant(GapSetting())}
    # Answers a party, samples of so many in a draw: more where they are cheap.
    _ANSWERS = (1000, 3162, 10_000, 31_623, 100_000)
    _SAMPLES = (8, 3, 1, 1, 1)
    _LEAST_WELFARE = 0.02

    def bound(self, setting: GapSetting) -> Bound:
        return Slope(-0.4)

    def grid(self, setting: GapSetting) -> FloatArray:
        return np.array(self._ANSWERS, dtype=np.float64)

    def drawn_as(self, setting: GapSetting) -> GapSetting:
        # The control has a quarter of the replicates.
        fixed = setting.frozen is not None
        return replace(setting, frozen=None, replicates=4 * setting.replicates) if fixed else setting

    @staticmethod
    @kept
    def _learned(stream: Stream) -> tuple[Parties, list[list[PartyConfidence]]]:
        """The parties, and of each number of answers the samples' confidence sets, radii the trial's own errors."""
        drawn = (parties(4, 4, 4, 2, 2, stream.child(f"world/{i}"), sharpness=16.0) for i in count())
        least = NashGapRate._LEAST_WELFARE
        world = next(own for own in drawn if own.gains.prod(axis=0).max(axis=1).mean() >= least)
        return world, [
            [world.learn(n, 2, stream.child(f"answers/{n}/{i}")) for i in range(samples)]
            for n, samples in zip(NashGapRate._ANSWERS, NashGapRate._SAMPLES, strict=True)
        ]

    def draw(self, setting: GapSetting, stream: Stream) -> FloatArray:
        world, learned = self._learned(stream)
        welfare = world.gains.prod(axis=0)
        states, best = np.arange(4), welfare.argmax(axis=1)
        found = []
        for samples in learned:
            sets = [
                own if setting.frozen is None else replace(own, radius=np.full(2, setting.frozen)) for own in samples
            ]
            promised = [own.gain_bounds(world.features) for own in sets]
            kept = [own.prod(axis=0)[states, best].sum() / welfare[states, best].sum() for own in promised]
            found.append(1.0 - np.mean(kept))
        return np.array(found)

    def control(self, setting: GapSetting) -> tuple[Control[GapSetting], ...]:
        return (Control("a radius that does not shrink", replace(setting, frozen=5.0, replicates=20)),)


@dataclass(frozen=True)
class PartiesSetting(Setting):
    """welfare: min (Leximin), mean (Utilitarian per party) or sum."""

    replicates: int = 60
    welfare: str = "min"


def _together(gains: FloatArray, welfare: str) -> FloatArray:
    """(M, A) -> (A,)."""
    if welfare == "min":
        return np.asarray(gains.min(axis=0))
    return np.asarray(gains.sum(axis=0) if welfare == "sum" else gains.mean(axis=0))


class PartyScaling(Theorem[PartiesSetting]):
    """Every party's set has the same radius (.02) and covariance (I), M = 2 ... 200, eight actions in one state, d = 6,
    r = 3. Value: welfare minus pessimistic welfare at the optimum. The factor M of Theorems 5 and 6 comes from adding
    parties up: it does not grow at all, slope in M at most 0, where the printed factor is 1. (It falls a little: the
    more parties, the shorter what the optimum differs by from what is worst for them.) Control: the sum over
    parties."""

    paper = PAPER.name
    axes = ("parties", "welfare minus pessimistic welfare at the optimum")
    _PARTIES = (2, 6, 20, 63, 200)

    def bound(self, setting: PartiesSetting) -> Bound:
        return Slope(0.0, lowest=-0.25)

    def grid(self, setting: PartiesSetting) -> FloatArray:
        return np.array(self._PARTIES, dtype=np.float64)

    def draw(self, setting: PartiesSetting, stream: Stream) -> FloatArray:
        found = []
        for M in self._PARTIES:
            world = parties(1, 8, 6, 3, M, stream.child(f"parties/{M}"))
            sets = PartyConfidence(world.theta, np.broadcast_to(np.eye(6), (M, 6, 6)).copy(), np.full(M, 0.02))
            true, promised = world.gains[:, 0], sets.gain_bounds(world.features)[:, 0]
            value, guaranteed = (_together(own, setting.welfare) for own in (true, promised))
            best = int(value.argmax())
            found.append(value[best] - guaranteed[best])
        return np.array(found)

    def control(self, setting: PartiesSetting) -> tuple[Control[PartiesSetting], ...]:
        return (Control("the sum over parties", replace(setting, welfare="sum")),)


class LeximinParties(PartyScaling):
    __doc__ = f"Theorem 6 without its factor M. {PartyScaling.__doc__}"
    claim_id, source = "leximin-parties", f"{ARXIV}, Theorem 6"
    statement = "The Leximin gap does not grow with the number of parties."
    SETTINGS = {"as_stated": Variant(PartiesSetting())}


class UtilitarianParties(PartyScaling):
    __doc__ = f"Theorem 5 per party. {PartyScaling.__doc__}"
    claim_id, source = "utilitarian-parties", f"{ARXIV}, Theorem 5"
    statement = "The Utilitarian gap per party does not grow with the number of parties."
    SETTINGS = {"as_stated": Variant(PartiesSetting(welfare="mean"))}


THEOREMS = (NashGapRate(), LeximinParties(), UtilitarianParties())
