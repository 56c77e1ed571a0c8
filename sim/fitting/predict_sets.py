"""A fit on sets of responses: how likely each of them is to be taken, and none of them where the fit has that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.answer_kinds.events import Events, events_of
from sim.errors import InputError
from sim.files.pair_table import NONE_OF_THEM, PairTable
from sim.files.preference_files import ALIASES, table_of_rows
from sim.fitting.chances import log_chances
from sim.fitting.saved import SavedFit, answers_to
from sim.preferences import BoolArray, FloatArray, IntArray

# What a file of answers says beside whom it asked what; a set that is to be predicted needs no answer.
_ANSWERS = ("choice", "ranking", "scores", "weight", "split", "group_id")
_NOBODY = "somebody"


def are_sets(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the columns say sets of responses, whatever was answered."""
    return "responses" in {name for row in rows for name in row}


def sets_of_rows(
    rows: Sequence[Mapping[str, Any]], source: str | Path, names: tuple[str, ...] | None = None,
    annotator_names: tuple[str, ...] | None = None, place: Any = None,
) -> tuple[PairTable, bool]:  # fmt: skip
    """Rows with `responses` and perhaps `prompt`, `features` and `annotator_id`, as choices of the first response each;
    and whether the rows name whom they ask.  place: where each row is found, None for its number in `source`.

    Errors: InputError with file, row and field.
    """
    named = any(name in row for row in rows for name in ALIASES["annotator_id"])
    asked = [
        {**({} if named else {"annotator_id": _NOBODY}), **{k: v for k, v in row.items() if k not in _ANSWERS}}
        | {"choice": 0} for row in rows
    ]  # fmt: skip
    table = table_of_rows(asked, source, names, annotator_names, place)
    if table.left_out:
        told = ", ".join(f"{count} rows {why}" for why, count in table.left_out)
        raise InputError(f"has {told}", file=source, field="responses", fix="give each response of a set once")
    return table, named


def shares_of(
    fit: SavedFit, table: PairTable, features: FloatArray, annotator: Sequence[str | None], told: FloatArray | None
) -> tuple[FloatArray, tuple[int, ...]]:
    """(P(a response is taken) of all responses, set by set and none of them last; how many each set has).

    table: choices, of which only the sets count.  features: (n_items, d_file) in the user's units.  annotator: a name a
    set, None for somebody who has answered nothing.  told: (n, d_x) of strangers, for methods that serve them by these.

    P(j) = sum_k gamma_k exp(r_kj) / sum_l exp(r_kl)  (McFadden 1974), gamma what the fit knows of the annotator; none
    of them is worth its constant.  A fit of pairs, ratings or levels is taken at its rewards.
    """
    if not fit.method.takes_choices:
        raise InputError(
            f"{fit.method.name} says how likely pairs are, and not choices out of sets", file=table.source,
            fix="give pairs (chosen, rejected), or fit by another method",
        )  # fmt: skip
    if table.answers != "choices":
        raise InputError(
            f"the answers are {table.answers}", file=table.source, fix="give choices, or a file or frame of sets"
        )
    standard = fit.scales.standard("features", features)
    own = table.offered
    assert own is not None
    if own.none >= 0:
        standard[own.none] = 0.0
    further = fit.further
    bare = standard[:, : standard.shape[1] - len(further)]
    if own.none >= 0 and NONE_OF_THEM not in further:
        raise InputError(
            "somebody took none of those offered, which nobody did in the fit", file=table.source, field="choice",
            fix="leave these choices out",
        )  # fmt: skip
    events, names = events_of(table, bare, none=NONE_OF_THEM in further)
    events = with_columns(events, names, further)
    differences = standard[table.chosen] - standard[table.rejected]
    places = (table.chosen, table.rejected)
    sizes = np.diff(events.starts) + 1
    found = np.zeros((len(table), int(sizes.max())))
    for number in range(found.shape[1]):
        outcome, possible = events.outcome(number)

        def of(part: SavedFit, model: Any, rows: BoolArray, who: IntArray, n: int, contexts: FloatArray | None,
               taken: Events = outcome) -> FloatArray:  # fmt: skip
            answers = answers_to(
                differences[rows], standard, (places[0][rows], places[1][rows]), who, n, np.ones(len(who)), contexts
            )
            return np.asarray(log_chances(part.method, model, replace(answers, events=taken.of(rows))))

        found[:, number] = np.where(possible, np.exp(fit.by_annotator(annotator, told, of)), 0.0)
    return found[np.arange(found.shape[1]) < sizes[:, None]], tuple(sizes.tolist())


def alternatives_of(table: PairTable, n_each: Sequence[int]) -> list[str]:
    """Names of the alternatives of every set, in the order of `shares_of`."""
    own = table.offered
    assert own is not None
    found: list[str] = []
    for j, n in enumerate(n_each):
        items = [int(own.taken[j]), *own.others[own.starts[j] : own.starts[j + 1]].tolist()]
        found += [table.items[item] for item in items] + [NONE_OF_THEM] * (n - len(items))
    return found


def with_columns(events: Events, names: tuple[str, ...], further: tuple[str, ...]) -> Events:
    """With a column for every further coefficient of the fit, zero for those that these answers do not touch."""
    if names == further:
        return events
    d = events.rows.shape[1] - len(names)
    rows = np.pad(events.rows[:, :d], ((0, 0), (0, len(further))))
    for number, name in enumerate(names):
        rows[:, d + further.index(name)] = events.rows[:, d + number]
    return replace(events, rows=rows)
