"""Choices, rankings, ratings and grades as they were read, by rows or by columns, and the table they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sim.errors import InputError
from sim.files.pair_table import NONE_OF_THEM, SCALE, AnswerKind, ItemKind, Offered, PairTable
from sim.files.taken_apart import UNRANKED, by_size, taken_apart
from sim.preferences import AnyArray, FloatArray, IntArray

# What of an answer that is here says nothing, in `noted`.
EQUAL_RANKS = "rankings with equal ranks, among which no order is used"
NO_ORDER, TWICE = "that order nothing", "that offer a response twice"
# More are no levels that anybody told apart.
_MOST_GRADES = 50


@dataclass(frozen=True, eq=False)
class SetAnswers:
    """n answers that say something: answer j is about items[starts[j]:starts[j + 1]], numbers of `labels`.

    said: (n,) the place taken, -1 for none; of a ranking or rating (m,) a number an item; of grades (n,) scores.
    split: (n,), or None.  The rest as in `PairTable`.
    """

    answers: AnswerKind
    starts: IntArray
    items: IntArray
    said: AnyArray
    labels: Sequence[str]
    features: FloatArray | None
    feature_names: tuple[str, ...]
    prompts: tuple[str, ...]
    prompt: IntArray
    annotators: tuple[str, ...]
    annotator: IntArray
    weight: FloatArray
    split: IntArray | None
    group: tuple[str, ...] | None
    annotator_features: FloatArray | None
    annotator_feature_names: tuple[str, ...]
    left_out: tuple[tuple[str, int], ...]
    kind: ItemKind
    prompt_kind: Literal["text", "conversation"]
    source: str
    rendering: tuple[str, ...] | None = None

    def table(self) -> PairTable:
        """Taken apart; InputError where grades are no levels."""
        labels, features, offered, grade = list(self.labels), self.features, None, None
        grades: tuple[str, ...] = ()
        if self.answers == "grades":
            grades, grade = _grades(self.said, self.source)
            chosen, rejected = self.items, np.full(len(self.items), len(labels))
            labels.append(SCALE)
            features = None if features is None else np.vstack([features, features.mean(axis=0)])
        else:
            offered = taken_apart(self.answers, self.starts, self.items, self.said)
            offered, labels, features = _none_of_them(offered, labels, features)
            first = np.searchsorted(offered.answer, np.arange(len(self.prompt)))
            chosen, rejected = offered.taken[first], offered.others[offered.starts[first]]
        return PairTable(
            items=tuple(labels),
            features=features,
            feature_names=self.feature_names,
            prompts=self.prompts,
            prompt=self.prompt,
            chosen=chosen,
            rejected=rejected,
            annotators=self.annotators,
            annotator=self.annotator,
            weights=self.weight if (self.weight != 1.0).any() else None,
            split=self.split,
            group=self.group,
            annotator_features=self.annotator_features,
            annotator_feature_names=self.annotator_feature_names,
            left_out=self.left_out,
            noted=self._noted(),
            kind=self.kind,
            prompt_kind=self.prompt_kind,
            rendering=self.rendering,
            answers=self.answers,
            offered=offered,
            grade=grade,
            grades=grades,
            source=self.source,
        )

    def _noted(self) -> tuple[tuple[str, int], ...]:
        if self.answers != "rankings":
            return ()
        tied = 0
        for _, places in by_size(self.starts):
            ranks = np.sort(self.said[places], axis=1)
            tied += int(((ranks[:, 1:] == ranks[:, :-1]) & (ranks[:, 1:] < UNRANKED)).any(axis=1).sum())
        return ((EQUAL_RANKS, tied),) if tied else ()


def _grades(scores: FloatArray, source: str) -> tuple[tuple[str, ...], IntArray]:
    """(names of the levels, the level of each answer), the lowest first."""
    levels, grade = np.unique(scores, return_inverse=True)
    if len(levels) > _MOST_GRADES:
        raise InputError(
            f"has {len(levels)} different values, and at most {_MOST_GRADES} are levels of a scale", file=source,
            field="score", fix="round the scores",
        )  # fmt: skip
    return tuple(repr(float(level)).removesuffix(".0") for level in levels), grade


def _none_of_them(
    offered: Offered, labels: list[str], features: FloatArray | None
) -> tuple[Offered, list[str], FloatArray | None]:
    """Where somebody took none of those offered, none is an item of its own in every set; where nobody ever did, it was
    not offered.  It has no features: what it is worth is a constant of the model (`sim.answer_kinds.events`)."""
    if not (offered.taken == -1).any():
        return offered, labels, features
    none = len(labels)
    taken, others = (np.where(places == -1, none, places) for places in (offered.taken, offered.others))
    if features is not None:
        features = np.vstack([features, np.zeros(features.shape[1])])
    return replace(offered, taken=taken, others=others, none=none), [*labels, NONE_OF_THEM], features
