"""How many types there are, by the Bayesian criterion and by held-out answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.algorithms.em_log_linear import em_log_linear
from sim.algorithms.model_selection import choose_n_types_by_bic, choose_n_types_by_held_out
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, Frequency
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.unobserved_types import PAPER
from theory.unobserved_types._instances import ARXIV, bandit_differences, bandit_pairs
from theory.unobserved_types.recovery import Recovery, RecoverySetting


class NumberOfTypes(Recovery):
    """Share of samples in which BIC over K = 1..4 does not choose 3: at most .2. 8 identified coefficients a type
    (a vector added to every arm's block is invisible), K - 1 shares, log of the 2,000 answers.
    """

    claim_id, source = "bic-chooses-k", f"{ARXIV}, section 5.1 (K is given there)"
    statement = "BIC finds the number of types from the answers."
    cost = 4.5
    constant = True  # An error or none: there may be none in any sample.
    SETTINGS = {"as_stated": Variant(RecoverySetting(replicates=60))}

    def bound(self, setting: RecoverySetting) -> Bound:
        return Frequency(0.2, threshold=0.5)

    def draw(self, setting: RecoverySetting, stream: Stream) -> float:
        pairs = bandit_pairs(stream, 200, setting.per_annotator, setting.shares, setting.scale)
        selection = choose_n_types_by_bic(
            bandit_differences(pairs),
            pairs.annotator,
            200,
            (1, 2, 3, 4),
            n_free=8,
            restarts=3,
            stream=stream.child("em"),
        )
        return float(selection.chosen != 3)

    def control(self, setting: RecoverySetting) -> tuple[Control[RecoverySetting], ...]:
        return (Control("one answer each", replace(setting, per_annotator=1)),)


@dataclass(frozen=True)
class CriterionSetting(Setting):
    """criterion: what is held against the library's numbers."""

    replicates: int = 150
    criterion: Literal["bic", "aic"] = "bic"


class CriterionFormula(Theorem[CriterionSetting]):
    """BIC = -2 log-likelihood + p log n with p = 8 K + K - 1 for K types of 8 identified coefficients each, n the
    number of answers (Schwarz 1978). On this bandit AIC, 2 for log n, chooses the same K, so the numbers are compared.

    30 annotators with 5 answers each; log-likelihoods of one and two types from the same fits, summed here annotator by
    annotator. Value: the largest difference from the library's criterion, relative.
    """

    claim_id, paper, source = "bic-formula", PAPER.name, f"{ARXIV}, section 5.1 (K is given there)"
    statement = "The criterion that chooses the number of types is BIC of the mixture."
    SETTINGS = {"as_stated": Variant(CriterionSetting())}

    def bound(self, setting: CriterionSetting) -> Bound:
        return EveryDraw(1e-9)

    def draw(self, setting: CriterionSetting, stream: Stream) -> float:
        pairs, own = bandit_pairs(stream, 30, 5), stream.child("em")
        rows, n = bandit_differences(pairs), len(pairs)
        found = choose_n_types_by_bic(rows, pairs.annotator, 30, (1, 2), n_free=8, restarts=1, stream=own).criterion
        each = np.log(n) if setting.criterion == "bic" else 2.0
        worst = 0.0
        for K, value in zip((1, 2), found, strict=True):
            fitted = em_log_linear(rows, pairs.annotator, 30, K, restarts=1, stream=own.child(f"K/{K}"))
            chances = 1.0 / (1.0 + np.exp(-rows @ fitted.theta.T))
            likelihood = sum(
                float(np.log(fitted.mixture @ chances[pairs.annotator == i].prod(axis=0))) for i in range(30)
            )
            worst = max(worst, abs(float(value) / (-2.0 * likelihood + (9 * K - 1) * each) - 1.0))
        return worst

    def control(self, setting: CriterionSetting) -> tuple[Control[CriterionSetting], ...]:
        return (Control("AIC", replace(setting, criterion="aic")),)


@dataclass(frozen=True)
class HeldOutSetting(Setting):
    """scale: of the rewards (10 in the paper)."""

    replicates: int = 40
    scale: float = 10.0


class HeldOutTypes(Theorem[HeldOutSetting]):
    """Share of samples in which held-out likelihood over K = 1, 3, 8 does not choose 3: at most a half. A fifth of the
    answers is left out of the fit; eight types fit the others better and mostly these worse, if by little: the choice
    is a noisier one than BIC's. Rewards fifty times smaller leave no types to be seen, and one is chosen.
    """

    claim_id, paper, source = "held-out-chooses-k", PAPER.name, f"{ARXIV}, section 5.1 (K is given there)"
    statement = "In most samples held-out answers tell too few and too many types from the right number."
    cost = 3.0
    constant = True  # An error or none: there may be none in any sample.
    SETTINGS = {"as_stated": Variant(HeldOutSetting())}

    def bound(self, setting: HeldOutSetting) -> Bound:
        return Frequency(0.5, threshold=0.5, departure=0.9)

    def draw(self, setting: HeldOutSetting, stream: Stream) -> float:
        pairs = bandit_pairs(stream, 200, 10, scale=setting.scale)
        selection = choose_n_types_by_held_out(
            bandit_differences(pairs), pairs.annotator, 200, (1, 3, 8), restarts=3, stream=stream.child("em")
        )
        return float(selection.chosen != 3)

    def control(self, setting: HeldOutSetting) -> tuple[Control[HeldOutSetting], ...]:
        return (Control("rewards fifty times smaller", replace(setting, scale=0.2)),)


THEOREMS = (NumberOfTypes(), CriterionFormula(), HeldOutTypes())
