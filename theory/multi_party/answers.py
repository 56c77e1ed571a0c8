"""How parties are asked (arXiv 2403.05006, section 3): the two actions of a comparison come from the state's law."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sim.environments.contextual_pool import ContextualPool
from sim.streams import Stream
from theory.engine.judges import Bound, Equivalent
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.multi_party import PAPER
from theory.multi_party._instances import ARXIV


@dataclass(frozen=True)
class LawSetting(Setting):
    """second: the first action's law in the second state."""

    replicates: int = 130
    second: tuple[float, ...] = (0.8, 0.1, 0.1)


class PairLaws(Theorem[LawSetting]):
    """A party's comparisons at s are of (a1, a0) ~ g_a(. | s): with states of law (.4, .6), three actions, the first
    drawn by (1/3, 1/3, 1/3) in one state and (.8, .1, .1) in the other and the second uniform, action 0 of the second
    state stands in a comparison of two different actions with chance .6 (.8 x 2/3 + .2 x 1/3) = .36. Value: its share
    of 2,000 comparisons, read from the differences of features that tell each state and action. Control: the first
    state's law in both."""

    claim_id, paper, source = "pair-laws", PAPER.name, f"{ARXIV}, section 3"
    statement = "Each state's pairs are drawn by the state's own law."
    SETTINGS = {"as_stated": Variant(LawSetting())}

    def bound(self, setting: LawSetting) -> Bound:
        return Equivalent(0.36, 0.005)

    def draw(self, setting: LawSetting, stream: Stream) -> float:
        uniform = np.full((2, 3), 1.0 / 3.0)
        first = np.array([[1.0 / 3.0] * 3, setting.second])
        pool = ContextualPool(np.eye(6).reshape(2, 3, 6), np.array([0.4, 0.6]), first, uniform)
        return float(np.abs(pool.collect(np.zeros((1, 6)), 2000, stream)[0, :, 3]).mean())

    def control(self, setting: LawSetting) -> tuple[Control[LawSetting], ...]:
        return (Control("the first state's law in both", replace(setting, second=(1.0 / 3.0,) * 3)),)


THEOREMS = (PairLaws(),)
