"""Claims of the twin about what is made of fitted types: the min-max optimum, and pooled opinions with their costs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pluralign.twin_models import BETA, RATE, REPLICATES, FittedTypes, expected_rewards, fitted_types, tables_of
from sim.algorithms.mechanism import Mechanism, floored
from sim.algorithms.minmax_dpo import minmax_dpo
from sim.algorithms.regret import discrepancy, regret_matrix
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant

# Between draws of one replicate: further than any number of replicates.
_AGAIN = 1_000_000


def _at_odds(stream: Stream) -> FittedTypes:
    """Two opposed types, drawn again until each has at least a tenth of the other's regret under the other's policy.

    A type of few annotators may have a policy so near the reference that the other's is no worse for it: then there is
    nothing to mix. And the error that Hedge's gap leaves grows with the square of the regrets' ratio.
    """
    while True:
        fitted = fitted_types(stream, 2, opposed=True)
        regrets = regret_matrix(discrepancy(tables_of(fitted), np.arange(2)), BETA).values[1:]
        low, high = sorted((regrets[0, 1], regrets[1, 0]))
        if low > 0.1 * high > 0:
            return fitted
        stream = stream.at(replicate=stream.replicate + _AGAIN)


@dataclass(frozen=True)
class EqualSetting(Setting):
    """weights: of the game, equal ones, or the game's with each priority on a policy and not on a type."""

    replicates: int = REPLICATES
    weights: Literal["game", "equal", "on columns"] = "game"


class TwinEqualLosses(Theorem[EqualSetting]):
    """Where each of two types is served better by its own policy, the min-max optimum mixes both, and the weighted
    regrets c_z (R_z(pi_z) - R_z(pi)) are equal: else weight moved to the worse-off type would lower the larger.

    Two adapters fitted to opposed tastes, priorities (1, 3); `minmax_dpo` by optimistic Hedge on what `llm` scores.
    Regrets by the chain rule on each type's implied reward. Value: the difference of the two, relative to the larger.
    Controls: equal weights; priorities that multiply the policies' columns.
    """

    claim_id, paper, source = "twin-equal-losses", "twin", "arXiv 2405.15065, Algorithm 2, on a language model"
    statement = "At the min-max optimum of two opposed types their weighted regrets are equal."
    cost = 8.0
    SETTINGS = {"as_stated": Variant(EqualSetting())}

    def bound(self, setting: EqualSetting) -> Bound:
        return EveryDraw(1e-2, RATE)

    def draw(self, setting: EqualSetting, stream: Stream) -> float:
        fitted, priorities = _at_odds(stream), np.array([1.0, 3.0])
        weights = self._weights(tables_of(fitted), priorities, setting.weights)
        rewards = BETA * (fitted.log_p - fitted.reference)
        reached = np.stack([expected_rewards(own, rewards) for own in fitted.log_p], axis=1)
        regrets = priorities * (np.diag(reached) - reached @ weights)
        return float(np.ptp(regrets) / np.abs(regrets).max())

    def _weights(self, tables: list[SoftmaxTable], priorities: FloatArray, form: str) -> FloatArray:
        if form == "equal":
            return np.full(2, 0.5)
        played = minmax_dpo(
            tables, np.arange(2), beta=BETA, priorities=priorities if form == "game" else None, rounds=100_000
        )
        if form == "game":
            return played.weights
        moved = played.weights / priorities
        return np.asarray(moved / moved.sum())

    def control(self, setting: EqualSetting) -> tuple[Control[EqualSetting], ...]:
        return (
            Control("equal weights", replace(setting, weights="equal")),
            Control("priorities on policies", replace(setting, weights="on columns")),
        )


@dataclass(frozen=True)
class OpinionSetting(Setting):
    """charged: with the costs; mismatched: the distance of another alpha."""

    replicates: int = REPLICATES
    charged: bool = True
    mismatched: bool = False


class TwinMechanism(Theorem[OpinionSetting]):
    """An opinion is what a model would answer: pi_k(. | x) over all its responses. With the costs of a Clarke pivot no
    report is worth more than the truth.

    Three adapters of three types, one prompt, all 156 responses, alpha = -1, 0, 1/2, 1, 2 in turn.
    Value: the largest of what each gains by reporting another's opinion, the reference's, her own sharpened or an even
    one, and of the certificate (no report at all gains more than it), nats. Controls: no costs; the distance of another
    alpha.
    """

    claim_id, paper, source = "twin-mechanism", "twin", "arXiv 2405.00254, Theorem 5.1, on opinions of language models"
    statement = "With the costs no model gains by an opinion that is not its own."
    cost = 8.0
    SETTINGS = {"as_stated": Variant(OpinionSetting())}

    def bound(self, setting: OpinionSetting) -> Bound:
        return EveryDraw(1e-8, RATE)

    def draw(self, setting: OpinionSetting, stream: Stream) -> float:
        fitted = fitted_types(stream, 3)
        space = fitted.twin.space
        opinions = np.exp([space.log_probabilities(policy)[0] for policy in fitted.policies])
        alpha = (-1.0, 0.0, 0.5, 1.0, 2.0)[stream.replicate % 5]
        mechanism = Mechanism(alpha, alpha + 1.0 if setting.mismatched else None, setting.charged)
        truth, gains = floored(opinions), []
        for agent, own in enumerate(truth):
            sharp = own**3 / (own**3).sum()
            for report in (
                *np.delete(truth, agent, axis=0),
                space.reference()[0],
                sharp,
                np.full_like(own, 1 / len(own)),
            ):
                gains.append(float(mechanism.gain_of(truth, truth, agent, report)))
        return max(*gains, float(mechanism.largest_gain(truth, truth).max()))

    def control(self, setting: OpinionSetting) -> tuple[Control[OpinionSetting], ...]:
        return (
            Control("no costs", replace(setting, charged=False)),
            Control("the distance of another alpha", replace(setting, mismatched=True)),
        )
