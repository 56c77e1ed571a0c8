"""Whether what was answered was the most probable answer, for every kind of answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from sim.answer_kinds.events import chances_by_coin
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.scores import COIN, HeldOut, hits
from sim.preferences import BoolArray, FloatArray

_EQUAL = 1e-12
# Comparisons within ratings that are scored together, at least.
_TOGETHER = 1 << 14


def right_of(score: Callable[[Answers], FloatArray], answers: Answers, scores: FloatArray) -> FloatArray:
    """1 where the answer was the most probable one, 1/2 where another was as probable; (n,).

    score: log-likelihoods of answers, (n,); scores: of these.  Of a ranking, whether its first place was; of a rating,
    the share of its comparisons.
    """
    if answers.events is None and answers.levels is None:
        return hits(scores)
    if not len(answers):
        return np.ones(0)
    events = answers.events
    if events is None or answers.levels is not None or not events.whole:
        return _right_in(score, answers, scores)
    # Each comparison once, as an answer: one of 100 responses has 4,950, the others that many times none.
    part, found = max(len(answers), _TOGETHER), np.empty(len(events.answer))
    for low in range(0, len(found), part):
        own = slice(low, low + part)
        apart = answers.again(events.answer[own], events.apart(own))
        found[own] = _right_in(score, apart, found[own])
    return np.bincount(events.answer, found, len(answers)) / np.bincount(events.answer, minlength=len(answers))


def _right_in(score: Callable[[Answers], FloatArray], answers: Answers, scores: FloatArray) -> FloatArray:
    """The same for the first choice of each answer."""
    own, best = scores, np.full(len(answers), -np.inf)
    for number, (other, possible) in enumerate(_others(answers)):
        found = score(other)
        if number == 0:
            own = found
        else:
            best = np.maximum(best, np.where(possible, found, -np.inf))
    return np.where(np.abs(own - best) < _EQUAL, 0.5, (own > best).astype(np.float64))


def _others(answers: Answers) -> Iterator[tuple[Answers, BoolArray]]:
    """The answers as they were, then each other outcome, and of which of them it is one."""
    everywhere = np.ones(len(answers), dtype=np.bool_)
    levels = answers.levels
    if levels is None:
        assert answers.events is not None
        most = int(np.diff(answers.events.starts).max())
        for number in range(most + 1):
            events, possible = answers.events.outcome(number)
            yield replace(answers, events=events, learned=None), possible
        return
    yield answers, everywhere

    def at(other: Answers) -> Answers:
        return other if levels.thresholds is None else other.at(levels.thresholds)

    for code in range(levels.n):
        as_if = replace(answers, levels=replace(levels, code=np.full(len(answers), code)))
        yield at(as_if), levels.code != code
        if levels.around_zero and not (levels.ties and code == 0):
            yield at(replace(as_if, differences=-answers.differences)), everywhere


def coin_of(prepared: Prepared) -> HeldOut:
    """Every outcome as likely as another."""
    if prepared.events is not None:
        scores = chances_by_coin(prepared.events)
        first = np.searchsorted(prepared.events.answer, np.arange(len(scores)))
        right = 1.0 / (1.0 + np.diff(prepared.events.starts)[first])
    else:
        levels = prepared.levels
        outcomes = 2.0
        if levels is not None:
            outcomes = 2.0 * levels.n - levels.ties if levels.around_zero else float(levels.n)
        scores = np.full(len(prepared.annotator), COIN if outcomes == 2.0 else -np.log(outcomes))
        right = np.full(len(scores), 1.0 / outcomes)
    test, unseen = prepared.test, prepared.unseen
    return HeldOut(scores[test], scores[unseen], right[test], right[unseen])
