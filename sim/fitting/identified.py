"""Whether the answers could tell types of annotators apart at all, and sizes and ridges."""

from __future__ import annotations

import numpy as np

from sim.fitting.method import Choice
from sim.fitting.prepare import Prepared


def one_binary_answer_each(prepared: Prepared) -> bool:
    """Whether everybody who trains has one answer, and that has two outcomes.

    Such answers do not identify a law over rewards: rewards b and -b by halves make every answer as likely as none at
    all [arXiv 2405.15065, later version, Lemma 4.1].  A second answer of the same annotator does, and so does one
    choice out of three or more.
    """
    counts = np.bincount(prepared.annotator[prepared.train], minlength=prepared.n_annotators)
    if counts.max(initial=0) > 1:
        return False
    if prepared.levels is not None:
        levels = prepared.levels
        # Of pairs a level but the tie is on either side.
        return levels.n <= 2 if not levels.around_zero else levels.n == 1 and not levels.ties
    if prepared.events is None:
        return True
    own = prepared.events.of(prepared.train)
    return len(own.rows) == len(own.constant)


def unidentified(n_types: int, counts: str, *, asked: bool) -> str:
    """What is said of it; counts: what `n_types` are.  asked: whether their number was asked for."""
    found = (
        "everybody who trains has one answer, of two possible ones: such answers do not identify types, however many "
        "there are (later version of arXiv 2405.15065, Lemma 4.1)"
    )
    if not asked:
        return f"{found}, and none were looked for; with two answers each, or choices out of three, they would be"
    return f"{found}: the {n_types} {counts} asked for are the random start's and the ridge's, not the people's"


def unchosen(choice: Choice, held_out: str, *, features: bool = False) -> str | None:
    """That nothing told sizes and ridges apart, where nothing could be held out to choose by; None where they were
    chosen.  held_out: what was to be.  features: whether their number was to be chosen so, and was not."""
    scored = any(np.isfinite(candidate.held_out) for candidate in (*choice.tried, *choice.chosen.values()))
    if scored and not features:
        return None
    what = "the number of directions is" if scored else "sizes and ridges are"
    return (
        f"no training {held_out} could be held out: {what} not chosen but assumed; give more answers, or hold out "
        "something else"
    )


def untested(prepared: Prepared) -> str | None:
    """Why no answer of a known annotator is held out; None where some is, or none was to be."""
    if prepared.test.any() or (prepared.hold_out == "people" and not prepared.own_split):
        return None
    if prepared.own_split:
        return "no held-out answers of known annotators: no row's split is 'test'"
    counts = np.bincount(prepared.annotator[prepared.train], minlength=prepared.n_annotators)
    if counts.max(initial=0) <= 1 and not prepared.table.set_aside:
        return "no held-out answers of known annotators: nobody has two answers"
    return "no held-out answers of known annotators: give a split or more answers each"
