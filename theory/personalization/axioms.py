"""The axioms of reward aggregation, as printed and as corrected (arXiv 2405.00254, appendix H.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from sim.algorithms.aggregation import aggregate, aggregate_prime
from sim.algorithms.axioms import AXIOMS, Axiom, Lexicographic, known_rules
from sim.algorithms.orderings import Ordering, aggregation_rule, power_sign
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.engine.judges import Bound, EveryDraw, MeanAtLeast
from theory.engine.theorem import Control, Json, Measurement, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from theory.personalization import PAPER
from theory.personalization._instances import ARXIV

_NEGATIVE, _REAL = (-3.0, -1.0, -0.3), (-3.0, -1.0, -0.3, 0.0, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class AxiomSetting(Setting):
    """axiom: its key in `sim.algorithms.axioms.AXIOMS`.  alphas: the family is cycled through, a trial each.
    rule: another rule by name instead."""

    replicates: int = 2100
    axiom: str = ""
    alphas: tuple[float, ...] = _REAL
    rule: str = ""


class _OfTheFamily(Theorem[AxiomSetting]):
    """Agg_alpha under one axiom, 4 annotators with N(0, 1) rewards. Value: 1 where a trial disobeys."""

    paper = PAPER.name
    rules_that_break: ClassVar[tuple[str, ...]] = ()

    def bound(self, setting: AxiomSetting) -> Bound:
        return EveryDraw(0.0)

    def _rules(self, setting: AxiomSetting) -> tuple[Ordering, ...]:
        if not setting.rule:
            return tuple(aggregation_rule(alpha) for alpha in setting.alphas)
        return (next(rule for rule in known_rules() if rule.name == setting.rule),)

    def _trials(self, setting: AxiomSetting, axiom: Axiom, stream: Stream) -> tuple[FloatArray, dict[int, Any]]:
        rules = self._rules(setting)
        each = -(-setting.replicates // len(rules))
        values, profiles = np.empty(each * len(rules)), {}
        for number, rule in enumerate(rules):
            result = axiom.check(rule, stream.child(rule.name), trials=each)
            values[number :: len(rules)] = ~result.satisfied
            if result.witness is not None:
                # The first trial of this rule that disobeyed is the first replicate of its that is 1.
                place = int(np.flatnonzero(~result.satisfied)[0]) * len(rules) + number
                profiles[place] = {"rule": rule.name, **result.witness}
        return values[: setting.replicates], profiles

    def measure(self, setting: AxiomSetting, stream: Stream) -> Measurement:
        return Measurement(self._trials(setting, AXIOMS[setting.axiom], stream)[0])

    def draw(self, setting: AxiomSetting, stream: Stream) -> float:
        values, _ = self._trials(setting, AXIOMS[setting.axiom], stream.at(replicate=0))
        return float(values[stream.replicate])

    def witness(self, setting: AxiomSetting, stream: Stream) -> Json:
        _, profiles = self._trials(setting, AXIOMS[setting.axiom], stream.at(replicate=0))
        first = profiles.get(stream.replicate, next(iter(profiles.values()), {}))
        return dict(first)

    def control(self, setting: AxiomSetting) -> tuple[Control[AxiomSetting], ...]:
        return tuple(Control(name, replace(setting, rule=name)) for name in self.rules_that_break)


class Monotone(_OfTheFamily):
    """One annotator's reward falls by 5 to 95 % of its size: the aggregate falls, for every real alpha. The limits and
    the median look at one annotator only, and are the controls."""

    claim_id, source = "axiom-monotonicity", f"{ARXIV}, appendix H.1"
    statement = "Agg_alpha falls when one annotator's reward falls."
    SETTINGS = {"as_stated": Variant(AxiomSetting(axiom="monotonicity"))}
    rules_that_break = ("median", "Agg[-inf]", "Agg[inf]")


class Symmetric(_OfTheFamily):
    """A random renaming leaves the aggregate where it is. Control: a mean with weights 1, 2, 3, 4."""

    claim_id, source = "axiom-symmetry", f"{ARXIV}, appendix H.1"
    statement = "Agg_alpha does not depend on who is who."
    SETTINGS = {"as_stated": Variant(AxiomSetting(axiom="symmetry"))}
    rules_that_break = ("weighted mean",)


class Continuous(_OfTheFamily):
    """Strict preferences survive nudges of 1e-9, and no jump is left after forty halvings. Controls: the lexicographic
    orders, which jump where rewards coincide."""

    claim_id, source = "axiom-continuity", f"{ARXIV}, appendix H.1"
    statement = "Agg_alpha is continuous."
    SETTINGS = {"as_stated": Variant(AxiomSetting(axiom="continuity"))}
    rules_that_break = ("lexicographic", "leximin")


class Unconcerned(_OfTheFamily):
    """The reward of somebody who is indifferent is set to one value, then to another: the order of the two profiles
    stays. Not so for the limits and the median, the controls."""

    claim_id, source = "axiom-unconcerned-agents", f"{ARXIV}, appendix H.1"
    statement = "Under Agg_alpha an indifferent annotator does not decide."
    SETTINGS = {"as_stated": Variant(AxiomSetting(axiom="unconcerned-agents"))}
    rules_that_break = ("median", "Agg[-inf]", "Agg[inf]")


class Translation(_OfTheFamily):
    """The printed axiom adds a constant of her own to each annotator's rewards (c in R^N): only the mean has that. The
    corrected one adds the same to all."""

    claim_id, source = "axiom-translation", f"{ARXIV}, appendix H.1"
    statement = "Adding one constant to all rewards does not change Agg_alpha's ordering."
    SETTINGS = {
        "as_printed": Variant(
            AxiomSetting(axiom="translation (printed: vector)"), Verdict.VIOLATED, "c in R^N, one constant each."
        ),
        "as_corrected": Variant(AxiomSetting(axiom="translation"), Verdict.HOLDS, "c in R, the same for all."),
    }
    rules_that_break = ("sum of cubes",)


class Transfer(_OfTheFamily):
    """Pigou-Dalton, strict: exp(alpha r) / alpha is strictly concave iff alpha < 0. The paper's family is all real
    alpha, whose experiments use 1 and inf; these reward the already better off.

    The printed condition of the axiom, r'_i + r_j = r'_j + r_i, is a slip of its own: it keeps the gap and moves both
    alike, which is no transfer, and no rule obeys it. Read with r'_i + r'_j = r_i + r_j it is Pigou and Dalton's.
    Controls: either slip alone."""

    claim_id, source = "axiom-pigou-dalton", f"{ARXIV}, appendix H.1"
    statement = "Agg_alpha rewards a transfer from a better-off to a worse-off annotator."
    SETTINGS = {
        "as_printed": Variant(AxiomSetting(axiom="pigou-dalton"), Verdict.VIOLATED, "For every real alpha."),
        "as_corrected": Variant(AxiomSetting(axiom="pigou-dalton", alphas=_NEGATIVE), Verdict.HOLDS, "For alpha < 0."),
    }
    rules_that_break = ("Agg[0]", "Agg[1]")

    def control(self, setting: AxiomSetting) -> tuple[Control[AxiomSetting], ...]:
        # One slip at a time: the printed condition for the family that obeys the corrected one.
        printed = replace(setting, axiom="pigou-dalton (printed)", alphas=_NEGATIVE)
        return (*super().control(setting), Control("the printed condition, alpha < 0", printed))


class TransferWeak(_OfTheFamily):
    """Pigou-Dalton, weak: exp(alpha r) / alpha is concave iff alpha <= 0; at 0 a transfer changes nothing. Controls: 1,
    inf."""

    claim_id, source = "axiom-pigou-dalton-weak", f"{ARXIV}, appendix H.1"
    statement = "For alpha <= 0 no such transfer makes things worse."
    SETTINGS = {
        "as_corrected": Variant(AxiomSetting(axiom="pigou-dalton (weak)", alphas=(-3.0, -1.0, -0.3, 0.0))),
    }
    rules_that_break = ("Agg[1]", "Agg[inf]")


class NotScale(_OfTheFamily):
    """Of the variant axiom (Zhong et al. 2024), for the two members that have it: the mean, and with it the limits. For
    other alpha it fails, which is the control."""

    claim_id, source = "axiom-scale", f"{ARXIV}, appendix H.1 (variant)"
    statement = "The mean's ordering does not change when all rewards are multiplied by one number."
    SETTINGS = {"as_stated": Variant(AxiomSetting(axiom="scale", alphas=(0.0,)))}
    rules_that_break = ("Agg[1]", "Agg[-1]")


@dataclass(frozen=True)
class LeximinSetting(Setting):
    """tied: profiles that share their minimum, where the min rule stops and leximin goes on."""

    replicates: int = 400
    alpha: float = -500.0
    tied: bool = True


class Leximin(Theorem[LeximinSetting]):
    """alpha = -inf is called Leximin-based; the min rule is maximin. Leximin is the limit of the orderings: on profiles
    of four N(0, 1) rewards that share their smallest one, Agg_alpha at -500 ranks as sorted lexicographic comparison
    does (by `power_sign`, in which what they share cancels), and min says "equal". Value: 1 where the rankings agree;
    mean at least .97."""

    claim_id, paper, source = "leximin-limit", PAPER.name, f"{ARXIV}, section 4 (names of the rules)"
    statement = "For alpha -> -inf the ordering of Agg_alpha is leximin."
    constant = True  # Two rankings of a profile agree or do not.
    SETTINGS = {
        "as_printed": Variant(LeximinSetting(alpha=-np.inf), Verdict.VIOLATED, "At alpha = -inf, the min rule."),
        "as_corrected": Variant(LeximinSetting(), Verdict.HOLDS, "As a limit of orderings."),
    }

    def bound(self, setting: LeximinSetting) -> Bound:
        return MeanAtLeast(0.97)

    def _profiles(self, setting: LeximinSetting, stream: Stream) -> tuple[FloatArray, FloatArray]:
        r, s = stream.child("profiles").normals((2, 4))
        if setting.tied:
            r[r.argmin()] = s[s.argmin()] = min(r.min(), s.min())
        return r, s

    def draw(self, setting: LeximinSetting, stream: Stream) -> float:
        r, s = self._profiles(setting, stream)
        sign = power_sign(r[None], s[None], setting.alpha)[0]
        return float(sign == Lexicographic(ascending=True).sign(r[None], s[None])[0])

    def witness(self, setting: LeximinSetting, stream: Stream) -> Json:
        r, s = self._profiles(setting, stream)
        return {"first": r.tolist(), "second": s.tolist()}

    def control(self, setting: LeximinSetting) -> tuple[Control[LeximinSetting], ...]:
        return (Control("alpha = -1", replace(setting, alpha=-1.0)),)


@dataclass(frozen=True)
class LotterySetting(Setting):
    """sure: both options are certain.  prime: the alpha of Agg'."""

    replicates: int = 400
    sure: bool = True
    prime: float = -1.0


class PrimeRanksAlike(Theorem[LotterySetting]):
    """Agg' is an increasing transform of Agg, so both rank sure outcomes alike. Not lotteries: at alpha = -1, for two
    identical annotators, 0 for sure against +1.2 or -1 at even odds, E Agg = .10 takes the lottery and E Agg' = -.51
    does not. Value: 1 where the two choose differently among 3 options (4 annotators, alpha = -1; an option is one
    profile, or two at even odds). Control: sure options, Agg' of alpha = 1."""

    claim_id, paper, source = "prime-ranks-alike", PAPER.name, f"{ARXIV}, section 4 (Agg and Agg')"
    statement = "Agg and Agg' choose the same."
    SETTINGS = {
        "as_printed": Variant(LotterySetting(sure=False), Verdict.VIOLATED, "Also under randomness."),
        "as_corrected": Variant(LotterySetting(), Verdict.HOLDS, "Among sure outcomes."),
    }

    def bound(self, setting: LotterySetting) -> Bound:
        return EveryDraw(0.0)

    def _options(self, setting: LotterySetting, stream: Stream) -> FloatArray:
        """(options, outcomes, annotators)"""
        return stream.child("options").normals((3, 1 if setting.sure else 2, 4))

    def draw(self, setting: LotterySetting, stream: Stream) -> float:
        r = np.swapaxes(self._options(setting, stream), -1, -2)
        first = aggregate(r, -1.0).mean(axis=-1).argmax()
        second = aggregate_prime(r, setting.prime).mean(axis=-1).argmax()
        return float(first != second)

    def witness(self, setting: LotterySetting, stream: Stream) -> Json:
        r = self._options(setting, stream)
        values = {of.__name__: of(np.swapaxes(r, -1, -2), -1.0).mean(axis=-1).tolist()
                  for of in (aggregate, aggregate_prime)}  # fmt: skip
        return {"options": r.tolist(), **values}

    def control(self, setting: LotterySetting) -> tuple[Control[LotterySetting], ...]:
        return (Control("Agg' of another alpha", replace(setting, sure=True, prime=1.0)),)


THEOREMS = (
    Monotone(),
    Symmetric(),
    Continuous(),
    Unconcerned(),
    Translation(),
    Transfer(),
    TransferWeak(),
    NotScale(),
    Leximin(),
    PrimeRanksAlike(),
)
