"""Policies trained with and without a region of the items, and what people's own answers say of their choices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sim.algorithms.reduced_pessimism import Kind
from sim.errors import InputError
from sim.estimators.bootstrap import GAP, SHARE, annotator_interval
from sim.fitting.common_rewards import choose_pooled, choose_strengths, item_strengths
from sim.fitting.contexts import context_answers
from sim.fitting.diagnostics.serving import (
    CONSTANTS,
    LEAST_ANSWERS,
    PER_SIDE,
    CandidateSets,
    Confidence,
    candidate_sets,
    judged,
    region_of,
    weighted_confidence,
)
from sim.fitting.diagnostics.serving_results import FAMILIES, GREEDY, Scenario, ServedPolicy, ServingTest, Shown
from sim.fitting.low_rank_choice import LowRankChoice, choose_low_rank, fit_chosen, folds_of
from sim.fitting.prepare import Prepared
from sim.fitting.reward_model import pooled_reward
from sim.preferences import BoolArray, FloatArray, IntArray
from sim.running.threads import one_thread
from sim.streams import Stream

_PESSIMISTIC: tuple[tuple[str, Kind], ...] = (("pointwise", "pointwise"), ("distributional", "distributional"))


# The same steps twice, with the region left out and without: what differs is which answers.
@one_thread()
def pessimism_test(
    prepared: Prepared, choice: LowRankChoice, ranks: tuple[int, ...], ridge: float | None, asked: str,
    stream: Stream, say: Callable[[str], None],
) -> ServingTest:  # fmt: skip
    """Everything chosen and trained on answers about items outside the region `asked`, and again on all training
    answers (the control, in which pessimism has nothing to protect from), then serving sets that mix both sides.

    choice: made on all training answers.  ranks, ridge: what the choice without the region may try, see
    `choose_low_rank`.
    """
    inside = region_of(prepared.table, asked)
    outside = ~inside[prepared.table.chosen] & ~inside[prepared.table.rejected]
    covered = prepared.train & outside
    sets = candidate_sets(prepared, prepared.test | prepared.unseen, inside, stream.child("sets"))
    if not len(sets.annotator) or not covered.any():
        problem = (
            f"nobody has {PER_SIDE} items with {LEAST_ANSWERS} held-out answers each on both sides of '{asked}'"
            if covered.any()
            else f"no training answer is left without '{asked}'"
        )
        raise InputError(f"shift: {problem}", file=prepared.table.source, fix="name another region")
    unseen = np.zeros(prepared.n_annotators, dtype=np.bool_)
    unseen[prepared.annotator[prepared.unseen]] = True
    groups = {"known_users": sets.of(~unseen), "unseen_users": sets.of(unseen)}
    scenarios: dict[str, Scenario] = {}
    for name, rows in (("with_shift", covered), ("without_shift", prepared.train)):
        own = replace(prepared, train=rows)
        fold = folds_of(context_answers(own.answers(rows)), stream.child("people"))
        say(f"serving {name.replace('_', ' ')}: {int(rows.sum())} training answers")
        chosen = choice
        if name == "with_shift":
            chosen = choose_low_rank(context_answers(own.answers(rows)), fold, ranks, ridge, lambda _: None)
        tuning = _tuning(own, chosen, fold == 0, inside, stream.child("tuning"))
        tuned = {policy: _best(worths) for policy, worths in tuning.items()}
        confidences = _confidences(own, chosen, rows, rows)
        policies = _policies(own, confidences, fold, sets)
        shown = _with_tuned(policies, tuned)
        scenarios[name] = Scenario(
            pairs=int(rows.sum()),
            rank=chosen.low.size,
            ridge=chosen.low.ridge,
            full_rank_ridge=chosen.full.ridge,
            design_effect={name: confidence.effect for name, confidence in confidences.items()},
            tuned_constants=tuned,
            tuning=tuning,
            policies=tuple(_scored(row, shown, sets, groups, stream.child("bootstrap")) for row in shown),
        )
    return ServingTest(
        region=asked,
        items_inside=int(inside.sum()),
        items=len(inside),
        people={name: len(np.unique(sets.annotator[mask])) for name, mask in groups.items()},
        sets={name: int(mask.sum()) for name, mask in groups.items()},
        worth={
            name: {"inside": _mean(sets.worth[mask][sets.inside[mask]]),
                   "outside": _mean(sets.worth[mask][~sets.inside[mask]])}
            for name, mask in groups.items()
        },
        scenarios=scenarios,
    )  # fmt: skip


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if len(values) else None


def _confidences(
    prepared: Prepared, choice: LowRankChoice, rows: BoolArray, chosen_on: BoolArray
) -> dict[str, Confidence]:
    """chosen_on: the answers whose margins by fits to other people the choice holds."""
    answers = context_answers(prepared.answers(rows))
    low, full = fit_chosen(answers, choice)

    def crossed(margins: FloatArray | None) -> FloatArray | None:
        return None if margins is None else margins[rows[chosen_on]]

    return {
        "low-rank": weighted_confidence(answers, low.theta, low.rank, choice.low.ridge, crossed(choice.low_margins)),
        "full-rank": weighted_confidence(
            answers, full, min(full.shape), choice.full.ridge, crossed(choice.full_margins)
        ),
    }


def _centred(prepared: Prepared, rows: BoolArray) -> FloatArray:
    """Items' features from the mean item of the masked answers, which a policy that knows nothing more would show."""
    used = np.concatenate([prepared.table.chosen[rows], prepared.table.rejected[rows]])
    return np.asarray(prepared.features - prepared.features[used].mean(axis=0))


def _pessimistic(
    confidences: dict[str, Confidence], contexts: FloatArray | None, features: FloatArray, sets: CandidateSets
) -> dict[tuple[str, float | None], FloatArray]:
    """(name, constant) -> probabilities, greedy ones with constant None."""
    assert contexts is not None
    found: dict[tuple[str, float | None], FloatArray] = {}
    for family, confidence in confidences.items():
        seen = judged(confidence, contexts, features, sets)
        found[f"greedy {family}", None] = seen.policy("greedy")
        for name, kind in _PESSIMISTIC:
            for constant in CONSTANTS:
                found[f"{FAMILIES[family]} {name}", constant] = seen.policy(kind, constant)
    return found


def _best(worths: dict[float, float]) -> float:
    """The constant of the largest worth, the middle one where there is none."""
    return max(worths, key=lambda constant: worths[constant]) if worths else CONSTANTS[len(CONSTANTS) // 2]


def _tuning(
    prepared: Prepared, choice: LowRankChoice, held: BoolArray, inside: BoolArray, stream: Stream
) -> dict[str, dict[float, float]]:
    """policy -> constant -> worth on held-out training people, by their own training answers: those about the region
    are not among them where it is not covered."""
    own = held[prepared.annotator]
    sets = candidate_sets(prepared, prepared.train & own, inside, stream)
    kept = prepared.train & ~own
    found: dict[str, dict[float, float]] = {
        f"{label} {name}": {} for label in FAMILIES.values() for name, _ in _PESSIMISTIC
    }
    if not len(sets.annotator) or not kept.any():
        return found
    confidences = _confidences(prepared, choice, kept, prepared.train)
    for (name, constant), policy in _pessimistic(
        confidences, prepared.contexts, _centred(prepared, kept), sets
    ).items():
        if constant is not None:
            found[name][constant] = float((policy * sets.worth).sum(axis=1).mean())
    return found


def _policies(
    prepared: Prepared, confidences: dict[str, Confidence], fold: IntArray, sets: CandidateSets
) -> dict[tuple[str, float | None], FloatArray]:
    rows = prepared.train
    features = _centred(prepared, rows)
    found = _pessimistic(confidences, prepared.contexts, features, sets)
    A = sets.item.shape[1]
    pooled = features @ pooled_reward(prepared.answers(rows), choose_pooled(prepared, fold).ridge)
    strength = item_strengths(prepared.table, rows, choose_strengths(prepared, fold).ridge)
    for name, score in (("pooled", pooled), ("popularity", strength)):
        # Equal scores share the choice: an item nobody has answered about is as strong as the next one.
        best = score[sets.item] == score[sets.item].max(axis=1, keepdims=True)
        found[name, None] = best / best.sum(axis=1, keepdims=True)
    found["random", None] = np.full(sets.item.shape, 1.0 / A)
    return found


def _with_tuned(
    policies: dict[tuple[str, float | None], FloatArray], tuned: dict[str, float]
) -> dict[tuple[str, float | None, bool], FloatArray]:
    shown = {(name, constant, False): policy for (name, constant), policy in policies.items()}
    return shown | {(name, constant, True): policies[name, constant] for name, constant in tuned.items()}


def _scored(
    row: tuple[str, float | None, bool],
    shown: dict[tuple[str, float | None, bool], FloatArray],
    sets: CandidateSets,
    groups: dict[str, BoolArray],
    stream: Stream,
) -> ServedPolicy:
    name, constant, tuned = row
    against = "greedy full-rank" if name.startswith("full-rank") else GREEDY
    value = (shown[row] * sets.worth).sum(axis=1)
    gain = value - (shown[against, None, False] * sets.worth).sum(axis=1)
    within = (shown[row] * sets.inside).sum(axis=1)
    found: dict[str, Shown | None] = {}
    for group, mask in groups.items():
        if not mask.any():
            found[group] = None
            continue
        person = sets.annotator[mask]
        # Who is shown the same by both gains nothing by construction, and not by chance.
        same = np.array_equal(shown[row][mask], shown[against, None, False][mask])
        found[group] = Shown(
            value=float(value[mask].mean()),
            value_interval=annotator_interval(value[mask], person, stream, within=SHARE),
            difference=float(gain[mask].mean()),
            difference_interval=None if same else annotator_interval(gain[mask], person, stream, within=GAP),
            share_inside=float(within[mask].mean()),
        )
    return ServedPolicy(name, constant, tuned, against, found)
