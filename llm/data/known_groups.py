"""The groups that a file names, where a method needs to know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm.data.answer_sets import AnswerSet
from llm.data.data_settings import DataSettings
from sim.errors import InputError
from sim.files.preference_files import place_of, read_pairs
from sim.preferences import IntArray


@dataclass(frozen=True, eq=False)
class KnownGroups:
    """names: (G,) of groups with people, sorted, at least two.  of_annotator: (n_annotators,) in 0..G-1."""

    names: tuple[str, ...]
    of_annotator: IntArray


def known_groups(answers: AnswerSet, settings: DataSettings) -> KnownGroups:
    """Of the annotators of the training answers, by the column `group_id`.

    Errors: InputError where nobody has a group, where somebody has none (with the row of her first answer), and where
    all are of one.
    """
    missing = [who for who, name in zip(answers.annotators, answers.group, strict=True) if not name]
    if len(missing) == len(answers.annotators):
        raise InputError(
            "method group-dpo needs known groups, and there are none", file=settings.train, field="group_id",
            fix="give each annotator a group_id, or find groups: method em-dpo",
        )  # fmt: skip
    if missing:
        others = f" (nor have {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise InputError(
            f"method group-dpo needs everybody's group, and annotator {missing[0]} has none{others}", field="group_id",
            fix="give each annotator a group_id", **_first_row(missing[0], settings),
        )  # fmt: skip
    names = sorted(set(answers.group))
    if len(names) == 1:
        raise InputError(
            f"method group-dpo needs two groups, and everybody who trains is of '{names[0]}'", file=settings.train,
            field="group_id", fix="give another group's answers too, or train with method dpo",
        )  # fmt: skip
    place = {name: g for g, name in enumerate(names)}
    return KnownGroups(tuple(names), np.array([place[name] for name in answers.group], dtype=np.int64))


def _first_row(annotator: str, settings: DataSettings) -> Mapping[str, Any]:
    """Where her first answer stands."""
    table = read_pairs(settings.train, chats=settings.chat)
    rows = np.flatnonzero(table.annotator == table.annotators.index(annotator))
    return place_of(table, int(rows[0]))
