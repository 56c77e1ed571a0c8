"""Pairwise answers in files: Parquet, JSONL and CSV (also .gz and .zst), several shards, folders of `datasets`.

Columns: `prompt` (or `context`), `chosen`, `rejected`, `annotator_id` (or `user_id`, `annotator`, `worker`); optional
`tie` (true: neither is better), `strength` (a whole number from 1 to 100), `group_id`, `weight` (0 leaves a row out),
`split` (train, test, unseen), `chosen_features`, `rejected_features` (numbers in a list, or in JSONL an object name ->
number; Parquet keeps the names in its schema under `pluralign.feature_names`).
`chosen` and `rejected` may themselves be lists of numbers; these are then the features. `annotator_features` tells, in
the same form, who the annotator is (names under `pluralign.annotator_feature_names`).
`prompt`, `chosen` and `rejected` may be conversations, lists of messages (`sim.files.conversations`); `tools` and
`chat_template_kwargs` then go to the chat template with them, of choices and rankings, too.

Files are read by columns (`sim.files.answer_columns`); where that pass gives up, row by row, here.
"""

from __future__ import annotations

import difflib
import gzip
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.distinct import present
from sim.errors import InputError, short
from sim.files.answer_cells import cell_prompt, cell_strength, cell_tie, cell_weight
from sim.files.answer_checks import kind_of_columns
from sim.files.answer_columns import table_of_columns
from sim.files.answer_sources import ANNOTATOR_NAMES_KEY, NAMES_KEY, RowSet, parts_of, read_row_set
from sim.files.atomic import replacing
from sim.files.choice_rows import Place, choice_table
from sim.files.conversations import RENDERING, Forms, rendering_of
from sim.files.file_rows import decoded, known_ending, named_group, read_name, require_persons
from sim.files.item_features import AnnotatorTable, ItemTable, OtherFeaturesError
from sim.files.item_numbers import with_item_numbers
from sim.files.pair_columns import columns_of, rows_of
from sim.files.pair_table import OF_WEIGHT_ZERO, SAME_ANSWERS, SPLITS, PairTable
from sim.files.recognise import hint_of, how_to_convert, told_beside

ALIASES = {
    "prompt": ("prompt", "context"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "annotator_id": ("annotator_id", "user_id", "annotator", "worker"),
}


KNOWN = frozenset({
    *(name for names in ALIASES.values() for name in names), "group_id", "weight", "split", "chosen_features",
    "rejected_features", "annotator_features", "tie", "strength", "responses", "response", "choice", "ranking",
    "scores", "score", "features", *RENDERING,
})  # fmt: skip


def read_pairs(path: str | Path, *, chats: bool = False, judged: bool = False) -> PairTable:
    """Read and check pairwise answers; the first problem is reported with file, row and field.

    path: a file, a folder of shards, or a folder that `datasets` saved.  chats: texts are turns of conversations too,
    so that the columns for a chat template go with them.  judged: all answers are judged on, and a column `split`,
    which is of training, is not read.
    """
    parts, names = parts_of(path), set[str]()

    def required(present: set[str]) -> dict[str, str]:
        names.update(present)
        return required_columns(present, path)

    found = table_of_columns(parts, required, str(path))
    if judged and "split" in names:
        return table_of_row_set(_without_split(read_row_set(path)), path, chats)
    if found is None or (chats and names.intersection(RENDERING)):
        return table_of_row_set(read_row_set(path), path, chats)
    return found


def place_of(table: PairTable, answer: int) -> dict[str, Any]:
    """Where an answer (from 0) of a table as it was read stands, file and row, for a message: the files are read again,
    since a table does not keep what lies between its answers (blank lines, shards, rows that say nothing)."""
    path = Path(table.source)
    if not path.exists():
        return {"file": table.source, "row": answer + 1}
    # Whatever splits it has, the same answers are kept.
    found = _without_split(read_row_set(path))
    _, numbers = _numbered(found.rows, path, found.names, found.annotator_names, found.where, False)
    return found.where(numbers[answer])


def _without_split(found: RowSet) -> RowSet:
    rows = [{name: value for name, value in row.items() if name != "split"} for row in found.rows]
    return replace(found, rows=rows)


def table_of_row_set(found: RowSet, path: str | Path, chats: bool = False) -> PairTable:
    """The answers in rows of files; `path` is what messages name that are about no single row; chats: see
    `read_pairs`."""
    return table_of_rows(found.rows, path, found.names, found.annotator_names, found.where, chats)


def required_columns(present: set[str], path: str | Path, first: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Canonical name -> the file's name, for the required columns; first: a row, by which a public set is known.

    Pairs need chosen and rejected; what other kinds need is what they are known by.
    """
    pairs = kind_of_columns(present, path) == "pairs"
    found = {}
    for canonical, names in ALIASES.items():
        if not pairs and canonical in ("chosen", "rejected"):
            continue
        here = [name for name in names if name in present]
        if len(here) > 1:
            raise InputError(
                f"columns {' and '.join(here)} say the same thing", file=path, field=here[0], fix="keep one of them"
            )
        if not here and canonical == "prompt":
            continue  # one question for everybody needs no prompt
        if not here:
            hint = hint_of(canonical, names, present, first or {})
            raise InputError("the column is missing", file=path, field=canonical, fix=hint)
        found[canonical] = here[0]
    if pairs and (beside := told_beside(present)) is not None:
        converter, (first_column, *_) = beside
        raise InputError(
            f"columns {' and '.join(beside[1])} tell ties, and are not read here", file=path, field=first_column,
            fix=f"keep them by {how_to_convert(converter)}, give a column tie, or leave these columns out",
        )  # fmt: skip
    for name in sorted(present - KNOWN):
        # Other columns are nobody's concern; one that is all but one of ours would be left out without a word.
        near = difflib.get_close_matches(name, KNOWN - present, n=1, cutoff=0.85)
        if near:
            raise InputError(
                "a column of that name is not read", file=path, field=name,
                fix=f"rename it if '{near[0]}' is meant, else give it another name",
            )  # fmt: skip
    return found


def _sides(row: Mapping[str, Any], at: Callable[[str], dict[str, Any]], forms: Forms) -> list[Any]:
    """chosen and rejected, of one type, each a text, a number or a list."""
    found = []
    for name in ("chosen", "rejected"):
        value = row.get(name)
        if isinstance(value, bytes):
            value = decoded(value, at(name))
        value = forms.text(value, "answers", at(name))
        if value is None or isinstance(value, dict | bool):
            raise InputError(f"expected text, a number or a list of numbers, got {short(value)}",
                             fix="fill it in or drop the row", **at(name))  # fmt: skip
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"is not finite ({value})", fix="drop the row", **at(name))
        found.append(value)
    if type(found[0]) is not type(found[1]):
        raise InputError(
            f"chosen is {type(found[0]).__name__} and rejected is {type(found[1]).__name__}",
            fix="give both the same type", **at("rejected"),
        )  # fmt: skip
    return found


def table_of_rows(
    rows: Sequence[Mapping[str, Any]],
    path: str | Path,
    names: tuple[str, ...] | None = None,
    annotator_names: tuple[str, ...] | None = None,
    place: Place | None = None,
    chats: bool = False,
    asked: bool = False,
) -> PairTable:
    """The same checks for rows that are in memory; `path` is what messages name, `names` those of the features; place:
    where each row is found, None for its number in `path`; chats: see `read_pairs`; asked: pairs to be predicted, of
    which one with two sides that are the same is kept.

    Where one answer has other features under another prompt, an item is a pair of prompt and answer.
    """
    return _numbered(rows, path, names, annotator_names, place, chats, asked)[0]


def _numbered(
    rows: Sequence[Mapping[str, Any]], path: str | Path, names: tuple[str, ...] | None,
    annotator_names: tuple[str, ...] | None, place: Place | None, chats: bool, asked: bool = False,
) -> tuple[PairTable, list[int]]:  # fmt: skip
    """`table_of_rows`, and the number of the row that each of its answers stands in."""
    if not rows:
        raise InputError("the file holds no preferences", file=path, fix="write one preference a row")
    present = {name for row in rows for name in row}
    kind = kind_of_columns(present, path)
    columns = required_columns(present, path, rows[0])
    find = place or (lambda number: {"file": path, "row": number + 1})
    if kind == "pairs":
        rows = with_item_numbers(rows)

    def made(items: ItemTable) -> tuple[PairTable, list[int]]:
        people = AnnotatorTable(annotator_names)
        if kind == "pairs":
            return _table(rows, path, columns, items, people, find, chats, asked)
        table, numbers = choice_table(rows, path, kind, columns, items, people, find, chats)
        _check_split(table, path, [find(number) for number in numbers] if table.split is not None else ())
        return table, numbers

    apart = "where a name stands for another response in each question"
    try:
        return made(ItemTable(names, fix=f"{apart}, add a column prompt that numbers the questions"))
    except OtherFeaturesError:
        if "prompt" not in columns:
            raise
        return made(ItemTable(names, by_prompt=True, fix=f"{apart}, give every question a prompt of its own"))


# One pass over the rows: what is wrong is said with its row and field, in the order a reader meets it.
def _table(
    rows: Sequence[Mapping[str, Any]], path: str | Path, columns: Mapping[str, str], items: ItemTable,
    people: AnnotatorTable, place: Place, chats: bool, asked_about: bool,
) -> tuple[PairTable, list[int]]:  # fmt: skip
    """The table, and the numbers of the rows that say something."""
    forms = Forms()
    prompts: dict[tuple[str, str], int] = {}
    annotators: dict[str, int] = {}
    groups: dict[int, str] = {}
    left_out: dict[str, int] = {}
    held: dict[str, list[Any]] = {}
    kept: list[int] = []
    present = {name for row in rows for name in row}
    for number, row in enumerate(rows):

        def at(field: str, number: int = number) -> dict[str, Any]:
            return {**place(number), "field": field}

        first, second = _sides(row, at, forms)
        weight = cell_weight(row.get("weight"), at("weight")) if "weight" in present else 1.0
        if weight == 0.0 or (first == second and not asked_about):
            why = OF_WEIGHT_ZERO if weight == 0.0 else SAME_ANSWERS
            left_out[why] = left_out.get(why, 0) + 1
            continue
        asked = cell_prompt(row.get(columns["prompt"]), at("prompt"), forms) if "prompt" in columns else ""
        beside = rendering_of(row, at) if chats or forms.any() else ""
        a = items.add(first, row.get("chosen_features"), at("chosen"), "chosen_features", asked)
        b = items.add(second, row.get("rejected_features"), at("rejected"), "rejected_features", asked)
        who = read_name(row.get(columns["annotator_id"]), at(columns["annotator_id"]))
        person = annotators.setdefault(who, len(annotators))
        people.add(person, who, row.get("annotator_features"), at("annotator_features"))
        if "split" in present and row.get("split") not in SPLITS:
            raise InputError(f"expected train, test or unseen, got {short(row.get('split'))}", fix="use one of them",
                             **at("split"))  # fmt: skip
        group = named_group(row.get("group_id"), at("group_id"))
        if group and groups.setdefault(person, group) != group:
            raise InputError(
                f"annotator {who} was in group {groups[person]} before", fix="give her one group", **at("group_id")
            )
        own = {
            "chosen": a, "rejected": b, "annotator": person,
            "prompt": prompts.setdefault((asked, beside), len(prompts)),
            "weight": weight, "split": SPLITS.index(row["split"]) if "split" in present else 0,
            "tie": cell_tie(row.get("tie"), at("tie")),
            "strength": cell_strength(row["strength"], at("strength")) if row.get("strength") is not None else 0,
        }  # fmt: skip
        for name, value in own.items():
            held.setdefault(name, []).append(value)
        kept.append(number)
    if not kept:
        told = ", ".join(f"{count} rows {why}" for why, count in left_out.items())
        raise InputError(f"no answer is left ({told})", file=path, fix="give answers that say which is better")
    require_persons(annotators, lambda who: {
        **place(kept[held["annotator"].index(annotators[who])]), "field": columns["annotator_id"],
    })  # fmt: skip
    strength = np.array(held["strength"], dtype=np.int64)
    # A tie has no strength, whether a file leaves it empty or not.
    lacking = (strength == 0) & ~np.array(held["tie"], dtype=np.bool_)
    if strength.any() and lacking.any():
        empty = kept[int(np.flatnonzero(lacking)[0])]
        raise InputError(
            "is empty here and not in other rows", fix="say in every row how much chosen is above rejected, or in none",
            **{**place(empty), "field": "strength"},
        )  # fmt: skip
    known, known_names = people.matrix(tuple(annotators))
    features, feature_names = items.matrix(path)
    numbers = ("chosen", "rejected", "annotator", "prompt", "split")
    whole = {name: np.array(held[name], dtype=np.int64) for name in numbers}
    tie = np.array(held["tie"], dtype=np.bool_)
    table = PairTable(
        items=tuple(items.labels),
        features=features,
        feature_names=feature_names,
        prompts=tuple(asked for asked, _ in prompts),
        prompt=whole["prompt"],
        chosen=whole["chosen"],
        rejected=whole["rejected"],
        annotators=tuple(annotators),
        annotator=whole["annotator"],
        weights=np.array(held["weight"]) if "weight" in present else None,
        split=whole["split"] if "split" in present else None,
        group=tuple(groups.get(i, "") for i in range(len(annotators))) if groups else None,
        annotator_features=known,
        annotator_feature_names=known_names,
        tie=tie if tie.any() else None,
        strength=strength if strength.any() else None,
        left_out=tuple(left_out.items()),
        kind="conversation" if forms.conversations("answers") else items.kind,
        prompt_kind="conversation" if forms.conversations("prompt") else "text",
        rendering=tuple(beside for _, beside in prompts) if any(beside for _, beside in prompts) else None,
        source=str(path),
    )
    _check_split(table, path, [place(number) for number in kept])
    return table, kept


def _check_split(table: PairTable, path: str | Path, places: Sequence[Mapping[str, Any]]) -> None:
    """People of `unseen` are nowhere else; `test` asks for later answers of people in `train`."""
    if table.split is None:
        return
    people = [set(present(table.annotator[table.rows_of(name)], table.n_annotators).tolist()) for name in SPLITS]
    leaked = (people[0] | people[1]) & people[2]
    if leaked:
        who = table.annotators[min(leaked)]
        row = int(np.flatnonzero((table.annotator == min(leaked)) & table.rows_of("unseen"))[0])
        raise InputError(
            f"annotator {who} is in train or test and in unseen", field="split", fix="move all her rows to one side",
            **places[row],
        )  # fmt: skip
    if not people[0]:
        raise InputError("no row is in train", file=path, field="split", fix="mark the training rows")
    strangers = people[1] - people[0]
    if strangers:
        row = int(np.flatnonzero((table.annotator == min(strangers)) & table.rows_of("test"))[0])
        raise InputError(
            f"annotator {table.annotators[min(strangers)]} is in test and not in train", field="split",
            fix="mark her rows unseen", **places[row],
        )  # fmt: skip


def write_pairs(path: str | Path, table: PairTable) -> None:
    """Write a table to .parquet, .jsonl or .jsonl.gz, whole or not at all."""
    table.require_pairs("a file of pairs")
    target = Path(path)
    ending = known_ending(target)
    if ending == ".parquet":
        import pyarrow.parquet as pq

        written = columns_of(table)
        keys = {} if table.features is None else {NAMES_KEY: json.dumps(table.feature_names).encode()}
        if table.annotator_features is not None:
            keys[ANNOTATOR_NAMES_KEY] = json.dumps(table.annotator_feature_names).encode()
        if keys:
            written = written.replace_schema_metadata(keys)
        with replacing(target) as temporary:
            pq.write_table(written, temporary, compression="zstd")
        return
    with replacing(target) as temporary:
        opener = gzip.open if ending.endswith(".gz") else open
        with opener(temporary, "wt", encoding="utf-8") as lines:
            for row in rows_of(table):
                for name in ("chosen_features", "rejected_features", "annotator_features"):
                    if name in row:
                        of = table.annotator_feature_names if name == "annotator_features" else table.feature_names
                        row[name] = dict(zip(of, row[name], strict=True))
                lines.write(json.dumps(row) + "\n")
