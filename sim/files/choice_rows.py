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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError, short
from sim.files.answer_cells import cell_prompt, cell_weight
from sim.files.answer_checks import check_answer
from sim.files.conversations import Forms
from sim.files.file_rows import decoded, read_name
from sim.files.item_features import AnnotatorTable, ItemTable
from sim.files.pair_table import NONE_OF_THEM, OF_WEIGHT_ZERO, SCALE, SPLITS, AnswerKind, Offered, PairTable
from sim.preferences import FloatArray

# Where a row is found: its file and number.
Place = Callable[[int], Mapping[str, Any]]
# Columns that together say that an answer is not a pair.
KINDS: tuple[tuple[set[str], AnswerKind], ...] = (
    ({"responses", "choice"}, "choices"),
    ({"responses", "ranking"}, "rankings"),
    ({"responses", "scores"}, "ratings"),
    ({"response", "score"}, "grades"),
)
NO_ORDER, TWICE = "that order nothing", "that offer a response twice"
# More are no levels that anybody told apart.
_MOST_GRADES = 50


def kind_of_columns(present: set[str], source: str | Path) -> AnswerKind:
    """What the answers of a file with these columns are; pairs where no other column says more.

    Errors: InputError where a file mixes kinds.
    """
    found = [(columns, kind) for columns, kind in KINDS if columns <= present]
    if not found:
        return "pairs"
    others = [columns for columns, _ in found[1:]] + [{"chosen", "rejected"}] * ({"chosen", "rejected"} <= present)
    if others:
        first, second = (" and ".join(sorted(columns)) for columns in (found[0][0], others[0]))
        raise InputError(
            f"columns {first} are of one kind of answer, {second} of another", file=source,
            field=sorted(others[0] - found[0][0])[0], fix="write one kind a file",
        )  # fmt: skip
    return found[0][1]


@dataclass(eq=False)
class _Choices:
    """Choices so far, as `Offered` holds them."""

    answer: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    others: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    tie: list[bool] = field(default_factory=list)

    def add(self, answer: int, taken: int, others: Sequence[int], weight: float = 1.0, tie: bool = False) -> None:
        self.answer.append(answer)
        self.taken.append(taken)
        self.sizes.append(len(others))
        self.others += others
        self.weight.append(weight)
        self.tie.append(tie)

    def offered(self) -> Offered:
        return Offered(
            np.array(self.answer, dtype=np.int64), np.array(self.taken, dtype=np.int64),
            np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64), np.array(self.others, dtype=np.int64),
            np.array(self.weight), np.array(self.tie, dtype=np.bool_),
        )  # fmt: skip


def ranked_choices(ranking: Sequence[int | None]) -> list[tuple[int, list[int]]]:
    """(place taken, places it was taken from) of a ranking, best first; equal ranks are not chosen from each other."""
    placed = [place for place, rank in enumerate(ranking) if rank is not None]
    found = []
    for place in sorted(placed, key=lambda place: ranking[place]):  # type: ignore[arg-type, return-value]
        own = ranking[place]
        below = [other for other, rank in enumerate(ranking) if rank is None or rank > own]  # type: ignore[operator]
        if below:
            found.append((place, below))
    return found


def compared(scores: Sequence[float]) -> list[tuple[int, int, bool]]:
    """(better place, worse place, tie) of every two scores."""
    found = []
    for first in range(len(scores)):
        for second in range(first + 1, len(scores)):
            better = (first, second) if scores[first] >= scores[second] else (second, first)
            found.append((*better, scores[first] == scores[second]))
    return found


@dataclass(eq=False)
class _Reading:
    """Everything read so far."""

    kind: AnswerKind
    items: ItemTable
    people: AnnotatorTable
    place: Place
    choices: _Choices = field(default_factory=_Choices)
    forms: Forms = field(default_factory=Forms)
    prompts: dict[str, int] = field(default_factory=dict)
    annotators: dict[str, int] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    held: dict[str, list[Any]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    graded: list[tuple[int, float]] = field(default_factory=list)
    told: int = 0

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
        if not self._choose(row, places):
            self._leave(NO_ORDER)
            return
        who = read_name(canonical["annotator_id"], at(columns["annotator_id"]))
        person = self.annotators.setdefault(who, len(self.annotators))
        self.people.add(person, who, row.get("annotator_features"), at("annotator_features"))
        self._group(person, who, row.get("group_id"), at("group_id"))
        own = {
            "annotator": person, "prompt": self.prompts.setdefault(asked, len(self.prompts)), "weight": weight,
            "split": SPLITS.index(split) if split is not None else -1, "number": number,
        }  # fmt: skip
        for name, value in own.items():
            self.held.setdefault(name, []).append(value)
        self.told += 1

    def _leave(self, why: str) -> None:
        self.left_out[why] = self.left_out.get(why, 0) + 1

    def _group(self, person: int, who: str, group: Any, where: dict[str, Any]) -> None:
        if group is not None and self.groups.setdefault(person, str(group)) != str(group):
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
        found = []
        for j, response in enumerate(responses):
            value = decoded(response, where) if isinstance(response, bytes) else response
            value = self.forms.text(value, "answers", where)
            found.append(self.items.add(value, None if listed is None else listed[j], where, "features", asked))
        return found

    def _choose(self, row: Mapping[str, Any], places: list[int]) -> bool:
        """What the row says, as choices; whether it says anything."""
        if self.kind == "grades":
            self.graded.append((places[0], float(row["score"])))
            return True
        if self.kind == "choices":
            taken = int(row["choice"])
            # -1 stands for an item that gets its number when all are known.
            self.choices.add(self.told, places[taken] if taken >= 0 else -1, [
                *(place for j, place in enumerate(places) if j != taken), *([-1] if taken >= 0 else [])
            ])  # fmt: skip
            return True
        if self.kind == "rankings":
            for place, below in ranked_choices(row["ranking"]):
                self.choices.add(self.told, places[place], [places[j] for j in below])
            return bool(self.choices.answer) and self.choices.answer[-1] == self.told
        pairs = compared(row["scores"])
        for better, worse, tie in pairs:
            # m scores hold at most m - 1 independent comparisons.
            share = (len(places) - 1) / len(pairs)
            self.choices.add(self.told, places[better], [places[worse]], share, tie)
        return bool(pairs)


def choice_table(
    rows: Sequence[Mapping[str, Any]], source: str | Path, kind: AnswerKind, columns: Mapping[str, str],
    items: ItemTable, people: AnnotatorTable, place: Place,
) -> tuple[PairTable, list[int]]:  # fmt: skip
    """The answers of these rows, all of one kind, and the numbers of the rows that say something.

    columns: ours -> the file's, of the required ones.
    """
    reading = _Reading(kind, items, people, place)
    for number, row in enumerate(rows):
        reading.add(number, row, columns)
    if not reading.told:
        told = ", ".join(f"{count} rows {why}" for why, count in reading.left_out.items())
        raise InputError(f"no answer is left ({told})", file=source, fix="give answers that say which is better")
    known, known_names = people.matrix(tuple(reading.annotators))
    features, feature_names = items.matrix(source)
    held = {name: np.array(values) for name, values in reading.held.items()}
    split_in_all = bool((held["split"] >= 0).all())
    if not split_in_all and (held["split"] >= 0).any():
        where = {**place(reading.held["number"][int(np.flatnonzero(held["split"] < 0)[0])]), "field": "split"}
        raise InputError("is empty here and not in other rows", fix="use train, test or unseen in all rows", **where)
    labels, offered, grade = list(items.labels), None, None
    grades: tuple[str, ...] = ()
    if kind == "grades":
        levels, grade = np.unique([score for _, score in reading.graded], return_inverse=True)
        grades = tuple(repr(float(level)).removesuffix(".0") for level in levels)
        if len(grades) > _MOST_GRADES:
            raise InputError(
                f"has {len(grades)} different values, and at most {_MOST_GRADES} are levels of a scale", file=source,
                field="score", fix="round the scores",
            )  # fmt: skip
        chosen, rejected = np.array([item for item, _ in reading.graded]), np.full(reading.told, len(labels))
        labels.append(SCALE)
        features = None if features is None else np.vstack([features, features.mean(axis=0)])
    else:
        offered = reading.choices.offered()
        if kind == "choices":
            offered, labels, features = _none_of_them(offered, labels, features)
        first = np.searchsorted(offered.answer, np.arange(reading.told))
        chosen, rejected = offered.taken[first], offered.others[offered.starts[first]]
    table = PairTable(
        items=tuple(labels),
        features=features,
        feature_names=feature_names,
        prompts=tuple(reading.prompts),
        prompt=held["prompt"],
        chosen=chosen,
        rejected=rejected,
        annotators=tuple(reading.annotators),
        annotator=held["annotator"],
        weights=held["weight"] if (held["weight"] != 1.0).any() else None,
        split=held["split"] if split_in_all else None,
        group=tuple(reading.groups.get(i, "") for i in range(len(reading.annotators))) if reading.groups else None,
        annotator_features=known,
        annotator_feature_names=known_names,
        left_out=tuple(reading.left_out.items()),
        kind="conversation" if reading.forms.conversations("answers") else items.kind,
        prompt_kind="conversation" if reading.forms.conversations("prompt") else "text",
        answers=kind,
        offered=offered,
        grade=grade,
        grades=grades,
        source=str(source),
    )
    return table, reading.held["number"]


def _none_of_them(
    offered: Offered, labels: list[str], features: FloatArray | None
) -> tuple[Offered, list[str], FloatArray | None]:
    """Where somebody took none of those offered, none is an item of its own in every set; where nobody ever did, it was
    not offered.  It has no features: what it is worth is a constant of the model (`sim.answer_kinds.events`)."""
    if not (offered.taken == -1).any():
        kept = offered.others >= 0
        sizes = np.add.reduceat(kept.astype(np.int64), offered.starts[:-1])
        starts = np.concatenate([[0], np.cumsum(sizes)])
        return replace(offered, starts=starts, others=offered.others[kept]), labels, features
    none = len(labels)
    taken, others = (np.where(places == -1, none, places) for places in (offered.taken, offered.others))
    if features is not None:
        features = np.vstack([features, np.zeros(features.shape[1])])
    return replace(offered, taken=taken, others=others, none=none), [*labels, NONE_OF_THEM], features
