"""Answers that are no pairs, row by row: choices out of sets, rankings, ratings, grades of one item.

Columns: `responses` (a list of texts, numbers or lists of numbers) with `choice` (index of the response taken, from 0;
-1 for none of them), `ranking` (of each response, 1 the best; equal numbers tie; null: offered and not ranked, hence
below those that are) or `scores` (a number each); or `response` and `score`; `prompt`, `annotator_id`; optional
`features` (one list or object a response), `weight`, `split`, `group_id`, `annotator_features`.

A ranking is taken apart into choices: the best out of all, the second out of the rest (Plackett-Luce).  Of equal ranks
each is a choice out of itself and those below; nothing is said of their order.  Scores are compared within annotator
and prompt, so that the use of the scale cancels; equal ones tie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError, short
from sim.files.answer_cells import cell_prompt, cell_weight
from sim.files.answer_checks import check_answer
from sim.files.conversations import Forms, rendering_of
from sim.files.file_rows import decoded, named_group, read_name, require_persons
from sim.files.item_features import AnnotatorTable, ItemTable, OtherFeaturesError
from sim.files.pair_table import OF_WEIGHT_ZERO, SPLITS, AnswerKind, PairTable
from sim.files.set_answers import NO_ORDER, TWICE, SetAnswers
from sim.files.taken_apart import UNRANKED

# Where a row is found: its file and number.
Place = Callable[[int], Mapping[str, Any]]


@dataclass(eq=False)
class _Reading:
    """Everything read so far."""

    kind: AnswerKind
    items: ItemTable
    people: AnnotatorTable
    place: Place
    chats: bool
    offered: list[list[int]] = field(default_factory=list)
    said: list[float] = field(default_factory=list)
    forms: Forms = field(default_factory=Forms)
    prompts: dict[tuple[str, str], int] = field(default_factory=dict)
    annotators: dict[str, int] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    held: dict[str, list[Any]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def add(self, number: int, row: Mapping[str, Any], columns: Mapping[str, str]) -> None:
        """One row; what is wrong is said with its place."""

        def at(name: str) -> dict[str, Any]:
            return {**self.place(number), "field": name}

        canonical = {
            **{name: value for name, value in row.items() if value is not None or name == "ranking"},
            "annotator_id": row.get(columns["annotator_id"]),
        }  # fmt: skip
        if "prompt" in columns:
            canonical["prompt"] = row.get(columns["prompt"])
        check_answer({k: v for k, v in canonical.items() if k not in ("chosen", "rejected")}, dict(self.place(number)))
        weight = cell_weight(row.get("weight", 1.0), at("weight"))
        if weight == 0.0:
            self._leave(OF_WEIGHT_ZERO)
            return
        asked = cell_prompt(canonical.get("prompt"), at("prompt"), self.forms)
        split = row.get("split")
        if split is not None and split not in SPLITS:
            raise InputError(
                f"expected train, test or unseen, got {short(split)}", fix="use one of them", **at("split")
            )
        places = self._places(row, asked, at)
        if len(set(places)) < len(places):
            self._leave(TWICE)
            return
        if not self._says_something(row):
            self._leave(NO_ORDER)
            return
        beside = rendering_of(row, at) if self.chats or self.forms.any() else ""
        who = read_name(canonical["annotator_id"], at(columns["annotator_id"]))
        person = self.annotators.setdefault(who, len(self.annotators))
        self.people.add(person, who, row.get("annotator_features"), at("annotator_features"))
        self._group(person, who, row.get("group_id"), at("group_id"))
        own = {
            "annotator": person, "prompt": self.prompts.setdefault((asked, beside), len(self.prompts)),
            "weight": weight, "split": SPLITS.index(split) if split is not None else -1, "number": number,
        }  # fmt: skip
        for name, value in own.items():
            self.held.setdefault(name, []).append(value)
        self.offered.append(places)
        self.said += self._said(row)

    def _leave(self, why: str) -> None:
        self.left_out[why] = self.left_out.get(why, 0) + 1

    def _group(self, person: int, who: str, group: Any, where: dict[str, Any]) -> None:
        if (named := named_group(group, where)) and self.groups.setdefault(person, named) != named:
            problem = f"annotator {who} was in group {self.groups[person]} before"
            raise InputError(problem, fix="give her one group", **where)

    def _places(self, row: Mapping[str, Any], asked: str, at: Callable[[str], dict[str, Any]]) -> list[int]:
        """The items of a row's responses."""
        one = self.kind == "grades"
        responses = [row["response"]] if one else row["responses"]
        where, features = at("response" if one else "responses"), row.get("features")
        if features is not None and not one and (not isinstance(features, list) or len(features) != len(responses)):
            raise InputError(
                f"expected features of each of {len(responses)} responses, got {short(features)}",
                fix="give one list or object of numbers a response", **at("features"),
            )  # fmt: skip
        listed = [features] if one else features
        found: list[int] = []
        named: list[Any] = []
        for j, response in enumerate(responses):
            value = decoded(response, where) if isinstance(response, bytes) else response
            value = self.forms.text(value, "answers", where)
            try:
                found.append(self.items.add(value, None if listed is None else listed[j], where, "features", asked))
            except OtherFeaturesError as error:
                if value not in named:
                    raise
                # No prompt tells these apart.
                raise InputError(
                    f"responses {named.index(value) + 1} and {j + 1} are both called {short(value)} and have different "
                    "features", fix="give each response of a question a name of its own", **where,
                ) from error  # fmt: skip
            named.append(value)
        return found

    def _says_something(self, row: Mapping[str, Any]) -> bool:
        """Whether anything is above anything."""
        if self.kind == "rankings":
            return len(set(row["ranking"])) > 1
        return self.kind != "ratings" or len(row["scores"]) > 1

    def _said(self, row: Mapping[str, Any]) -> list[float]:
        """As `SetAnswers` has it; of ranks and scores no more than their order within the row counts."""
        if self.kind == "grades":
            return [float(row["score"])]
        if self.kind == "choices":
            return [int(row["choice"])]
        numbers = row["ranking"] if self.kind == "rankings" else row["scores"]
        place = {number: k for k, number in enumerate(sorted({own for own in numbers if own is not None}), start=1)}
        return [place.get(own, UNRANKED) for own in numbers]


def choice_table(
    rows: Sequence[Mapping[str, Any]], source: str | Path, kind: AnswerKind, columns: Mapping[str, str],
    items: ItemTable, people: AnnotatorTable, place: Place, chats: bool,
) -> tuple[PairTable, list[int]]:  # fmt: skip
    """The answers of these rows, all of one kind, and the numbers of the rows that say something.

    columns: ours -> the file's, of the required ones.  chats: whether texts are turns of conversations too.
    """
    reading = _Reading(kind, items, people, place, chats)
    for number, row in enumerate(rows):
        reading.add(number, row, columns)
    if not reading.offered:
        told = ", ".join(f"{count} rows {why}" for why, count in reading.left_out.items())
        raise InputError(f"no answer is left ({told})", file=source, fix="give answers that say which is better")
    require_persons(reading.annotators, lambda who: {
        **place(reading.held["number"][reading.held["annotator"].index(reading.annotators[who])]),
        "field": columns["annotator_id"],
    })  # fmt: skip
    known, known_names = people.matrix(tuple(reading.annotators))
    features, feature_names = items.matrix(source)
    held = {name: np.array(values) for name, values in reading.held.items()}
    split_in_all = bool((held["split"] >= 0).all())
    if not split_in_all and (held["split"] >= 0).any():
        where = {**place(reading.held["number"][int(np.flatnonzero(held["split"] < 0)[0])]), "field": "split"}
        raise InputError("is empty here and not in other rows", fix="use train, test or unseen in all rows", **where)
    answers = SetAnswers(
        kind,
        np.concatenate([[0], np.cumsum([len(offered) for offered in reading.offered])]),
        np.array([item for offered in reading.offered for item in offered], dtype=np.int64),
        np.array(reading.said, dtype=np.int64 if kind == "choices" else np.float64),
        items.labels,
        features,
        feature_names,
        tuple(asked for asked, _ in reading.prompts),
        held["prompt"],
        tuple(reading.annotators),
        held["annotator"],
        held["weight"],
        held["split"] if split_in_all else None,
        tuple(reading.groups.get(i, "") for i in range(len(reading.annotators))) if reading.groups else None,
        known,
        known_names,
        tuple(reading.left_out.items()),
        "conversation" if reading.forms.conversations("answers") else items.kind,
        "conversation" if reading.forms.conversations("prompt") else "text",
        str(source),
        rendering=tuple(beside for _, beside in reading.prompts) if any(b for _, b in reading.prompts) else None,
    )
    return answers.table(), reading.held["number"]
