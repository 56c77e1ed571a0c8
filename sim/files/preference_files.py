"""Preferences in files: Parquet and JSONL (also .jsonl.gz), checked row by row.

Columns: `prompt` (or `context`), `chosen`, `rejected`, `annotator_id` (or `user_id`, `annotator`); optional
`group_id`, `weight`, `split` (train, test, unseen), `chosen_features`, `rejected_features` (numbers in a list, or
in JSONL an object name -> number; Parquet keeps the names in its schema under `pluralign.feature_names`).
`chosen` and `rejected` may themselves be lists of numbers; these are then the features. `annotator_features` tells, in
the same form, who the annotator is (names under `pluralign.annotator_feature_names`).
"""

from __future__ import annotations

import difflib
import gzip
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError, short
from sim.files.atomic import replacing
from sim.files.file_rows import NAMES_KEY, known_ending, names_in, read_name, read_rows
from sim.files.item_features import AnnotatorTable, ItemTable
from sim.files.pair_table import SPLITS, PairTable
from sim.files.recognise import hint_of

ANNOTATOR_NAMES_KEY = b"pluralign.annotator_feature_names"
ALIASES = {
    "prompt": ("prompt", "context"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "annotator_id": ("annotator_id", "user_id", "annotator"),
}


KNOWN = frozenset({
    *(name for names in ALIASES.values() for name in names), "group_id", "weight", "split", "chosen_features",
    "rejected_features", "annotator_features",
})  # fmt: skip


def read_pairs(path: str | Path) -> PairTable:
    """Read and check pairwise preferences; the first problem is reported with file, row and field."""
    rows, names = read_rows(Path(path))
    return table_of_rows(rows, Path(path), names, annotator_names(Path(path)))


def annotator_names(path: Path) -> tuple[str, ...] | None:
    """Of a Parquet file that was read before; JSONL names them row by row."""
    if known_ending(path) != ".parquet":
        return None
    import pyarrow.parquet as pq

    return names_in(pq.read_schema(path).metadata, ANNOTATOR_NAMES_KEY, path)


def _columns(rows: list[dict[str, Any]], path: str | Path) -> dict[str, str]:
    """Canonical name -> the file's name, for the required columns."""
    present = {name for row in rows for name in row}
    found = {}
    for canonical, names in ALIASES.items():
        here = [name for name in names if name in present]
        if len(here) > 1:
            raise InputError(
                f"columns {' and '.join(here)} say the same thing", file=path, field=here[0], fix="keep one of them"
            )
        if not here and canonical == "prompt":
            continue  # one question for everybody needs no prompt
        if not here:
            hint = hint_of(canonical, names, present, rows[0])
            raise InputError("the column is missing", file=path, field=canonical, fix=hint)
        found[canonical] = here[0]
    for name in sorted(present - KNOWN):
        # Other columns are nobody's concern; one that is all but one of ours would be left out without a word.
        near = difflib.get_close_matches(name, KNOWN - present, n=1, cutoff=0.85)
        if near:
            raise InputError(
                "a column of that name is not read", file=path, field=name,
                fix=f"rename it if '{near[0]}' is meant, else give it another name",
            )  # fmt: skip
    return found


def _weight(value: Any, where: dict[str, Any]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1e-6 <= value <= 1e6:
        raise InputError(
            f"expected a positive number, got {short(value)}", fix="give a weight between 1e-6 and 1e6", **where
        )
    return float(value)


# One pass over the rows: what is wrong is said with its row and field, in the order a reader meets it.
def table_of_rows(
    rows: list[dict[str, Any]],
    path: str | Path,
    names: tuple[str, ...] | None = None,
    annotator_names: tuple[str, ...] | None = None,
) -> PairTable:
    """The same checks for rows that are in memory; `path` is what messages name, `names` those of the features."""
    if not rows:
        raise InputError("the file holds no preferences", file=path, fix="write one preference a row")
    columns = _columns(rows, path)
    items, people = ItemTable(names), AnnotatorTable(annotator_names)
    prompts: dict[str, int] = {}
    annotators: dict[str, int] = {}
    groups: dict[int, str] = {}
    prompt, chosen, rejected, annotator, weight, split = [], [], [], [], [], []
    present = {name for row in rows for name in row}
    for number, row in enumerate(rows, start=1):

        def at(field: str, row_number: int = number) -> dict[str, Any]:
            return {"file": path, "row": row_number, "field": field}

        first, second = row.get("chosen"), row.get("rejected")
        for name, value in (("chosen", first), ("rejected", second)):
            if value is None or isinstance(value, dict | bool):
                raise InputError(f"expected text, a number or a list of numbers, got {short(value)}",
                                 fix="fill it in or drop the row", **at(name))  # fmt: skip
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(f"is not finite ({value})", fix="drop the row", **at(name))
        if type(first) is not type(second):
            raise InputError(
                f"chosen is {type(first).__name__} and rejected is {type(second).__name__}",
                fix="give both the same type", **at("rejected"),
            )  # fmt: skip
        a = items.add(first, row.get("chosen_features"), at("chosen"), "chosen_features")
        b = items.add(second, row.get("rejected_features"), at("rejected"), "rejected_features")
        if a == b:
            raise InputError(
                f"equals chosen ({short(first)})", fix="drop the row: a tie is no preference", **at("rejected")
            )
        chosen.append(a)
        rejected.append(b)
        who = read_name(row.get(columns["annotator_id"]), at(columns["annotator_id"]))
        person = annotators.setdefault(who, len(annotators))
        annotator.append(person)
        people.add(person, who, row.get("annotator_features"), at("annotator_features"))
        asked = row.get(columns["prompt"]) if "prompt" in columns else ""
        prompt.append(prompts.setdefault("" if asked is None else str(asked), len(prompts)))
        if "weight" in present:
            weight.append(_weight(row.get("weight"), at("weight")))
        if "split" in present:
            if row.get("split") not in SPLITS:
                raise InputError(
                    f"expected train, test or unseen, got {short(row.get('split'))}",
                    fix="use one of them",
                    **at("split"),
                )
            split.append(SPLITS.index(row["split"]))
        if row.get("group_id") is not None and groups.setdefault(person, str(row["group_id"])) != str(row["group_id"]):
            raise InputError(
                f"annotator {who} was in group {groups[person]} before", fix="give her one group", **at("group_id")
            )
    told, told_names = people.matrix(tuple(annotators))
    features, feature_names = items.matrix(path)
    table = PairTable(
        items=tuple(items.labels),
        features=features,
        feature_names=feature_names,
        prompts=tuple(prompts),
        prompt=np.array(prompt, dtype=np.int64),
        chosen=np.array(chosen, dtype=np.int64),
        rejected=np.array(rejected, dtype=np.int64),
        annotators=tuple(annotators),
        annotator=np.array(annotator, dtype=np.int64),
        weights=np.array(weight) if weight else None,
        split=np.array(split, dtype=np.int64) if split else None,
        group=tuple(groups.get(i, "") for i in range(len(annotators))) if groups else None,
        annotator_features=told,
        annotator_feature_names=told_names,
        source=str(path),
    )
    _check_split(table, path)
    return table


def _check_split(table: PairTable, path: str | Path) -> None:
    """People of `unseen` are nowhere else; `test` asks for later answers of people in `train`."""
    if table.split is None:
        return
    people = [set(np.unique(table.annotator[table.rows_of(name)]).tolist()) for name in SPLITS]
    leaked = (people[0] | people[1]) & people[2]
    if leaked:
        who = table.annotators[min(leaked)]
        row = 1 + int(np.flatnonzero((table.annotator == min(leaked)) & table.rows_of("unseen"))[0])
        raise InputError(
            f"annotator {who} is in train or test and in unseen", file=path, row=row, field="split",
            fix="move all her rows to one side",
        )  # fmt: skip
    if not people[0]:
        raise InputError("no row is in train", file=path, field="split", fix="mark the training rows")
    strangers = people[1] - people[0]
    if strangers:
        row = 1 + int(np.flatnonzero((table.annotator == min(strangers)) & table.rows_of("test"))[0])
        raise InputError(
            f"annotator {table.annotators[min(strangers)]} is in test and not in train", file=path, row=row,
            field="split", fix="mark her rows unseen",
        )  # fmt: skip


def _rows_of(table: PairTable) -> Iterable[dict[str, Any]]:
    vectors = None if table.features is None else table.features.tolist()
    told = None if table.annotator_features is None else table.annotator_features.tolist()
    for j in range(len(table)):
        row: dict[str, Any] = {
            "prompt": table.prompts[table.prompt[j]],
            "chosen": table.items[table.chosen[j]],
            "rejected": table.items[table.rejected[j]],
            "annotator_id": table.annotators[table.annotator[j]],
        }
        if table.split is not None:
            row["split"] = SPLITS[table.split[j]]
        if table.weights is not None:
            row["weight"] = float(table.weights[j])
        if table.group is not None:
            row["group_id"] = table.group[table.annotator[j]]
        if vectors is not None:
            row["chosen_features"] = vectors[table.chosen[j]]
            row["rejected_features"] = vectors[table.rejected[j]]
        if told is not None:
            row["annotator_features"] = told[table.annotator[j]]
        yield row


def write_pairs(path: str | Path, table: PairTable) -> None:
    """Write a table to .parquet, .jsonl or .jsonl.gz, whole or not at all."""
    target = Path(path)
    ending = known_ending(target)
    if ending == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        written = pa.Table.from_pylist(list(_rows_of(table)))
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
            for row in _rows_of(table):
                for name in ("chosen_features", "rejected_features", "annotator_features"):
                    if name in row:
                        of = table.annotator_feature_names if name == "annotator_features" else table.feature_names
                        row[name] = dict(zip(of, row[name], strict=True))
                lines.write(json.dumps(row) + "\n")
