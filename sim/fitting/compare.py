"""Fitted methods beside each other: held-out scores, differences, new annotators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.estimators.bootstrap import annotator_interval
from sim.fitting.chances import of_answers, require_chances
from sim.fitting.method import Fits, Method
from sim.fitting.outcomes import coin_of, right_of
from sim.fitting.prepare import Prepared
from sim.fitting.scores import (
    LEAST_RESERVED,
    SHOWN,
    Difference,
    HeldOut,
    NewAnnotators,
    NewAnnotatorScore,
    Score,
    longer_wins,
    no_rows,
    score,
    scored,
)
from sim.fitting.splits import reserve_new_annotators
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream
from sim.weighted_means import joined, mean_of

# Not fitted: what everything must beat. No method may have such a name.
PLAIN: Mapping[str, Callable[[Prepared], HeldOut]] = {"coin": coin_of, "length": longer_wins}


@dataclass(frozen=True, eq=False)
class Comparison:
    """test, baselines: scores of the method asked for and of all others; differences: it minus each; against_common:
    each fitted method minus the common one; new_annotators: after 0, 5, 10, ... answers of theirs."""

    test: Mapping[str, Score]
    baselines: Mapping[str, Mapping[str, Score]]
    differences: Mapping[str, Mapping[str, Difference]]
    against_common: Mapping[str, Mapping[str, Difference]]
    new_annotators: tuple[NewAnnotators, ...]


def held_out_by(method: Method[Any], model: Any, prepared: Prepared) -> HeldOut:
    """Known annotators by their own answers, unseen ones as somebody who has answered nothing."""
    stranger = method.adapt(model, prepared.answers(no_rows(prepared)))
    test, unseen = prepared.answers(prepared.test), prepared.answers(prepared.unseen)
    by_model, by_stranger = (of_answers(method, own, prepared.table) for own in (model, stranger))
    known, of_strangers = by_model(test), by_stranger(unseen)
    if prepared.is_plain:
        require_chances(method, model, test, known, prepared.table)
        return HeldOut(known, of_strangers)
    return HeldOut(
        known, of_strangers,
        right_of(by_model, test, known),
        right_of(by_stranger, unseen, of_strangers),
    )  # fmt: skip


def compare(fits: Fits, prepared: Prepared, stream: Stream) -> Comparison:
    """Every method's held-out scores; test answers and unseen annotators are read here, once."""
    predicted = {name: held_out_by(method, model, prepared) for name, (method, model) in fits.fitted.items()}
    # Which of several responses is the longest is no rule anybody would guess by.
    beside = PLAIN if prepared.is_plain else {"coin": coin_of}
    predicted |= {name: plain(prepared) for name, plain in beside.items()}
    ours = fits.asked.name
    others = [name for name in predicted if name != ours]
    later = [name for name in fits.fitted if name != fits.common]
    found = scored(
        predicted, [*((ours, name) for name in others), *((name, fits.common) for name in later)], prepared, stream
    )
    return Comparison(
        test=found.scores[ours],
        baselines={name: found.scores[name] for name in others},
        differences={name: found.differences[ours, name] for name in others},
        against_common=found.against(fits.common, later),
        new_annotators=new_annotators(fits, prepared, stream),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class ScoredAfter:
    """Reserved answers of new annotators after `shown` answers of theirs.

    annotator: (n,).  scores, right: method -> (n,) log-likelihoods, and whether the answer was the likeliest.  weights:
    (n,) the file's own, None where it has none.
    """

    shown: int
    annotator: IntArray
    scores: Mapping[str, FloatArray]
    right: Mapping[str, FloatArray]
    weights: FloatArray | None = None

    @staticmethod
    def together(rows: Sequence[ScoredAfter]) -> ScoredAfter:
        """Of several fits, each of other people."""
        names = [name for name in rows[0].scores if all(name in row.scores for row in rows)]
        return ScoredAfter(
            rows[0].shown,
            np.concatenate([row.annotator for row in rows]),
            {name: np.concatenate([row.scores[name] for row in rows]) for name in names},
            {name: np.concatenate([row.right[name] for row in rows]) for name in names},
            joined([row.weights for row in rows]),
        )

    def summary(self, common: str, gains: Stream, scoring: Stream) -> NewAnnotators:
        """Every method's score, and its gain over the method `common`, with intervals over people."""
        rows = {}
        for name, scores in self.scores.items():
            gain = scores - self.scores[common]
            interval = annotator_interval(gain, self.annotator, gains.child("bootstrap"), weights=self.weights)
            own = score(scores, self.annotator, scoring, self.right[name], self.weights)
            rows[name] = NewAnnotatorScore(own, mean_of(gain, self.weights), interval)
        return NewAnnotators(self.shown, rows)


def numbers_shown(fits: Fits, prepared: Prepared, stream: Stream) -> tuple[int, ...]:
    """Of 0, 5, 10, 20 and 40 answers those that some unseen annotator has, beside answers to be scored on."""
    reserving, _ = fits.asked.new_annotator_streams(stream)
    return reserve_new_annotators(prepared.table, prepared.unseen, reserving, SHOWN, LEAST_RESERVED, prepared.hold_out)[
        0
    ]


def scored_after(
    fits: Fits, prepared: Prepared, stream: Stream, numbers: tuple[int, ...] = SHOWN
) -> tuple[ScoredAfter, ...]:
    """Unseen annotators after 0, 5, 10, 20 and 40 of their answers, each method adapted to these alone by its own
    `adapt`, scored on the answers `reserve_new_annotators` sets aside: those who have the largest of `numbers`."""
    names = fits.asked.compared_on_new(fits)
    reserving, _ = fits.asked.new_annotator_streams(stream)
    steps, rest, first = reserve_new_annotators(
        prepared.table, prepared.unseen, reserving, numbers, LEAST_RESERVED, prepared.hold_out
    )
    if len(steps) < 2 or not names:
        return ()
    reserved, out = prepared.answers(rest), []
    for shown in steps:
        seen = prepared.answers(first(shown))
        scores, right = {}, {}
        for name, (method, model) in fits.fitted.items():
            if name in names:
                adapted = of_answers(method, method.adapt(model, seen), prepared.table)
                scores[name] = adapted(reserved)
                right[name] = right_of(adapted, reserved, scores[name])
        in_order = {name: scores[name] for name in names}
        out.append(ScoredAfter(shown, reserved.annotator, in_order, right, prepared.given_weights(rest)))
    return tuple(out)


def new_annotators(fits: Fits, prepared: Prepared, stream: Stream) -> tuple[NewAnnotators, ...]:
    """`scored_after`, with intervals over people."""
    gains, scoring = fits.asked.new_annotator_streams(stream)
    return tuple(row.summary(fits.common, gains, scoring) for row in scored_after(fits, prepared, stream))
