"""Pairs that are asked about: one value a row, where a file of answers would leave out rows that say nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.files.choice_rows import Place
from sim.files.pair_table import PairTable
from sim.files.preference_files import table_of_rows

# What a row says of an answer, beside which pair it is about; and what stands there where nothing is said.
OF_ANSWERS: Mapping[str, Any] = {"weight": 1.0, "split": "train", "group_id": None, "tie": None, "strength": None}


def pairs_of_rows(
    rows: Sequence[Mapping[str, Any]], source: str | Path, names: tuple[str, ...] | None = None,
    annotator_names: tuple[str, ...] | None = None, place: Place | None = None,
) -> PairTable:  # fmt: skip
    """A pair a row, in their order: its two sides may be the same, and weights, splits, groups, ties and strengths,
    which are of answers, are not read.  place: where each row is found, None for its number in `source`.

    Errors: InputError with file, row and field.
    """
    # In their place rather than left out: the names of the other columns are held against those that are there.
    bare = [{name: OF_ANSWERS.get(name, value) for name, value in row.items()} for row in rows]
    return table_of_rows(bare, source, names, annotator_names, place, asked=True)
