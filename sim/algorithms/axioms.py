"""Axioms of reward aggregation as objects: each looks for a violation and hands it back.

An axiom knows nothing of the rules, and a rule nothing of the axioms: any ordering of reward profiles can be tested.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sim.algorithms.orderings import Ordering, Welfare, aggregation_rule, rounding, sizes
from sim.arguments import require_count
from sim.preferences import BoolArray, FloatArray
from sim.streams import Stream

# How far every reward is moved to see whether a strict preference survives: one that is of a small difference need only
# survive the smaller.
_NUDGES = (1e-9, 1e-13)
# Share of how much a rule's values differ that it may still change by over a distance of 1e-11: see `Continuity`.
_JUMP = 1e-6


@dataclass(frozen=True)
class Lexicographic:
    """The first annotator decides, the second where she is indifferent, and so on; no welfare function does that.

    ascending: after sorting each profile, worst off first (leximin, the limit of Agg_alpha as alpha -> -inf).
    """

    ascending: bool = False

    @property
    def name(self) -> str:
        return "leximin" if self.ascending else "lexicographic"

    def sign(self, first: FloatArray, second: FloatArray) -> FloatArray:
        a, b = (np.sort(first, axis=1), np.sort(second, axis=1)) if self.ascending else (first, second)
        gap = a - b
        decided = gap != 0
        place = decided.argmax(axis=1)
        return np.asarray(np.where(decided.any(axis=1), np.sign(gap[np.arange(len(gap)), place]), 0.0))


@dataclass(frozen=True, eq=False)
class AxiomResult:
    """satisfied: (n,) whether each trial obeyed; witness: the profiles of the first that did not."""

    axiom: str
    rule: str
    satisfied: BoolArray
    witness: dict[str, Any] | None

    @property
    def score(self) -> float:
        return float(self.satisfied.mean())


@dataclass(frozen=True)
class Axiom(abc.ABC):
    """One axiom. `trial` returns the mask of obeying trials and the profiles by name, (n, N) each."""

    name: ClassVar[str]
    statement: ClassVar[str]

    @abc.abstractmethod
    def trial(self, rule: Ordering, r: FloatArray, stream: Stream) -> tuple[BoolArray, dict[str, FloatArray]]:
        """(n,) whether each trial obeyed, and the profiles that were compared, (n, N) each."""

    def check(
        self, rule: Ordering, stream: Stream, *, trials: int = 3000, n_annotators: int = 4, positive: bool = False
    ) -> AxiomResult:
        """`trials` profiles with N(0, 1) rewards (their exponentials if `positive`)."""
        require_count("trials", trials)
        require_count("n_annotators", n_annotators, 2)
        r = stream.child("profiles").normals((trials, n_annotators))
        satisfied, profiles = self.trial(rule, np.exp(r) if positive else r, stream)
        bad = np.flatnonzero(~satisfied)
        witness = None if len(bad) == 0 else {key: np.asarray(v)[bad[0]].tolist() for key, v in profiles.items()}
        return AxiomResult(self.name, rule.name, satisfied, witness)


class Monotonicity(Axiom):
    name = "monotonicity"
    statement = "If one annotator's reward falls and no other's changes, the profile is strictly worse."

    def trial(self, rule: Ordering, r: FloatArray, stream: Stream) -> tuple[BoolArray, dict[str, FloatArray]]:
        n, N = r.shape
        who, lower = stream.child("who").integers(N, n), r.copy()
        lower[np.arange(n), who] -= np.abs(r[np.arange(n), who]) * (0.05 + 0.9 * stream.child("by").uniforms(n))
        return rule.sign(r, lower) > 0, {"better": r, "worse": lower}


class Symmetry(Axiom):
    name = "symmetry"
    statement = "Renaming the annotators changes nothing."

    def trial(self, rule: Ordering, r: FloatArray, stream: Stream) -> tuple[BoolArray, dict[str, FloatArray]]:
        order = stream.child("order").uniforms(r.shape).argsort(axis=1)
        renamed = np.take_along_axis(r, order, axis=1)
        return rule.sign(r, renamed) == 0, {"profile": r, "renamed": renamed}


class Continuity(Axiom):
    """A strict preference survives a change of every reward by 1e-9, or one of a small difference by 1e-13 (half the
    trials share some rewards, where lexicographic rules jump). Where the rule has a value, also: halving a segment
    forty times towards its larger change leaves no change that shows beside how much values differ, as a jump would."""

    name = "continuity"
    statement = "The profiles at least as good as a given one, and those at most as good, form closed sets."

    def trial(self, rule: Ordering, r: FloatArray, stream: Stream) -> tuple[BoolArray, dict[str, FloatArray]]:
        n = len(r)
        s = (
            stream.child("second").normals(r.shape)
            if (r < 0).any()
            else np.exp(stream.child("second").normals(r.shape))
        )
        shared = (stream.child("shared").uniforms(r.shape) < 0.5) & (stream.child("half").uniforms(n) < 0.5)[:, None]
        s = np.where(shared, r, s)
        direction = 2.0 * stream.child("nudge").uniforms(r.shape) - 1.0
        nudged = s + _NUDGES[0] * direction
        # Of what a rule can order beyond its values' rounding, nothing survives a change that these can see.
        order = rule.by_values if isinstance(rule, Welfare) else rule.sign
        before = order(r, s)
        satisfied = (before == 0) | (before == order(r, nudged)) | (before == order(r, s + _NUDGES[1] * direction))
        if isinstance(rule, Welfare):
            low, high = r.copy(), s.copy()
            ends = rule.values(low), rule.values(high)
            for _ in range(40):
                middle = 0.5 * (low + high)
                value = rule.values(middle)
                first = np.abs(value - rule.values(low)) >= np.abs(rule.values(high) - value)
                low, high = np.where(first[:, None], low, middle), np.where(first[:, None], middle, high)
            a, b = rule.values(low), rule.values(high)
            # Forty halvings leave a distance of about 1e-11, over which a steep but continuous rule may still change.
            satisfied &= np.abs(b - a) <= _JUMP * sizes(*ends) + rounding(a, b)
        return satisfied, {"first": r, "second": s, "second_nudged": nudged}


class UnconcernedAgents(Axiom):
    name = "unconcerned-agents"
    statement = "An annotator indifferent between two profiles does not decide between them."

    def trial(self, rule: Ordering, r: FloatArray, stream: Stream) -> tuple[BoolArray, dict[str, FloatArray]]:
        n, N = r.shape
        other = np.take_along_axis(r, stream.child("second").permutation(n)[:, None], axis=0)
        row, who = np.arange(n), stream.child("who").integers(N, n)
        fresh = stream.child("common").permutation(2 * n).reshape(2, n) % n
        variants = []
        for values in (r[fresh[0], who], r[fresh[1], who]):
            first, second = r.copy(), other.copy()
            first[row, who] = values
            second[row, who] = values
            variants.append((first, second))
        (a, b), (c, d) = variants
        return rule.sign(a, b) == rule.sign(c, d), {"first": a, "second": b, "first_other": c, "second_other": d}


@dataclass(frozen=True)
class TranslationIndependence(Axiom):
    """vector: as printed, a constant of one's own for each annotator. Only the mean has that."""

    vector: bool = False
    name = "translation"
    statement = "Adding one constant to every reward of both profiles does not change their order."

    def trial(self, rule: Ordering, r: FloatArray, stream: Stream) -> tuple[BoolArray, dict[str, FloatArray]]:
        n = len(r)
        other = r[stream.child("second").permutation(n)]
        shift = stream.child("shift").normals((n, r.shape[1] if self.vector else 1))
        moved = r + shift, other + shift
        before, after = rule.sign(r, other), rule.sign(*moved)
        # Shifting rounds: what ties on one side of it need not on the other.
        obeyed = (before == after) | (before * after == 0)
        return obeyed, {"first": r, "second": other, "first_shifted": moved[0], "second_shifted": moved[1]}


@dataclass(frozen=True)
class PigouDalton(Axiom):
    """strict: the transfer makes the profile better; else not worse.  printed: the paper's condition
    r'_i + r_j = r'_j + r_i, which keeps the gap and raises both, so that a transfer is never made."""

    strict: bool = True
    printed: bool = False
    name = "pigou-dalton"
    statement = "A transfer from a better-off annotator to a worse-off one that narrows their gap is an improvement."

    def trial(self, rule: Ordering, r: FloatArray, stream: Stream) -> tuple[BoolArray, dict[str, FloatArray]]:
        n = len(r)
        row = np.arange(n)
        who = stream.child("who").uniforms(r.shape).argsort(axis=1)[:, :2]
        a, b = r[row, who[:, 0]], r[row, who[:, 1]]
        poor, rich = np.where(a < b, who[:, 0], who[:, 1]), np.where(a < b, who[:, 1], who[:, 0])
        amount = 0.5 * stream.child("share").uniforms(n) * np.abs(a - b)
        after = r.copy()
        if self.printed:
            # Both change alike; the condition does not say in which direction.
            move = amount * np.where(stream.child("direction").uniforms(n) < 0.5, 1.0, -1.0)
            after[row, poor] += move
            after[row, rich] += move
        else:
            after[row, poor] += amount
            after[row, rich] -= amount
        sign = rule.sign(after, r)
        return (sign > 0) if self.strict else (sign >= 0), {"before": r, "after": after}


class ScaleIndependence(Axiom):
    """Of the variant for positive rewards (sum r_i^alpha / alpha): Agg_alpha must fail it for alpha other than 0."""

    name = "scale"
    statement = "Multiplying every reward of both profiles by one positive number does not change their order."

    def trial(self, rule: Ordering, r: FloatArray, stream: Stream) -> tuple[BoolArray, dict[str, FloatArray]]:
        n = len(r)
        other, factor = r[stream.child("second").permutation(n)], np.exp(2.0 * stream.child("factor").normals((n, 1)))
        before, after = rule.sign(r, other), rule.sign(factor * r, factor * other)
        obeyed = (before == after) | (before * after == 0)
        return obeyed, {"first": r, "second": other, "first_scaled": factor * r, "second_scaled": factor * other}


AXIOMS: Mapping[str, Axiom] = {
    "monotonicity": Monotonicity(),
    "symmetry": Symmetry(),
    "continuity": Continuity(),
    "unconcerned-agents": UnconcernedAgents(),
    "translation": TranslationIndependence(),
    "pigou-dalton": PigouDalton(),
    "pigou-dalton (weak)": PigouDalton(strict=False),
    "translation (printed: vector)": TranslationIndependence(vector=True),
    "pigou-dalton (printed)": PigouDalton(printed=True),
    "scale": ScaleIndependence(),
}


def known_rules() -> tuple[Ordering, ...]:
    """Agg_alpha along its range, and rules that each break an axiom."""

    def weighted(r: FloatArray) -> FloatArray:
        unequal = np.arange(1.0, r.shape[1] + 1.0)
        return np.asarray(r @ unequal / unequal.sum())

    return (
        *(aggregation_rule(alpha) for alpha in (-np.inf, -2.0, -1.0, 0.0, 1.0, 2.0, np.inf)),
        Welfare("median", lambda r: np.median(r, axis=1)),
        Welfare("weighted mean", weighted),
        Welfare("sum of cubes", lambda r: (r**3).sum(axis=1)),
        Lexicographic(),
        Lexicographic(ascending=True),
    )


def axiom_table(
    rules: Sequence[Ordering], stream: Stream, *, trials: int = 3000, n_annotators: int = 4
) -> list[AxiomResult]:
    """Every axiom on every rule, the same profiles for all rules."""
    return [
        axiom.check(rule, stream.child(key), trials=trials, n_annotators=n_annotators)
        for rule in rules
        for key, axiom in AXIOMS.items()
    ]
