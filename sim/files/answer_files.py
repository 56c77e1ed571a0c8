"""Answers of every kind into files: pairs, choices, rankings and ratings, whole or not at all.

Parquet keeps lists and messages (role, content) nested, and the names of features in its schema, as `write_pairs`
does; JSONL names them row by row.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.files.answer_sources import ANNOTATOR_NAMES_KEY, NAMES_KEY
from sim.files.atomic import replacing
from sim.files.file_rows import known_ending

NEEDED = {
    "pairs": ("chosen", "rejected"),
    "choices": ("responses", "choice"),
    "rankings": ("responses", "ranking"),
    "ratings": (),
}
_FEATURES = ("chosen_features", "rejected_features", "features")
# In this order, then whatever else the rows hold.
_COLUMNS = (
    "annotator_id", "prompt", "chosen", "rejected", "tie", "strength", "responses", "choice", "ranking", "scores",
    "response", "score", "group_id", "weight", "split", *_FEATURES, "annotator_features",
)  # fmt: skip


def write_answers(path: str | Path, rows: Sequence[Mapping[str, Any]], kind: str) -> None:
    """Write answers of one kind (pairs, choices, rankings, ratings) to .parquet, .jsonl or .jsonl.gz.

    rows: mappings with the columns of that kind; a column that some rows lack is empty there.  Features are lists of
    numbers or objects name -> number, of a choice or ranking a list of these, one a response.
    Errors: InputError for another ending, no rows, a column that is missing, and what the file cannot hold.
    """
    target = Path(path)
    ending = known_ending(target)
    if not rows:
        raise InputError("there are no answers to write", file=target, fix="look at what was left out")
    for number, row in enumerate(rows, start=1):
        lacking = [name for name in (*NEEDED[kind], "annotator_id") if name not in row]
        if kind == "ratings" and not ({"responses", "scores"} <= set(row) or {"response", "score"} <= set(row)):
            lacking = ["scores"]
        if lacking:
            problem = f"{kind}: the column is missing"
            raise InputError(problem, file=target, row=number, field=lacking[0], fix="give it in every row")
    present = {name for row in rows for name in row}
    columns = [*(name for name in _COLUMNS if name in present), *sorted(present - set(_COLUMNS))]
    try:
        if ending == ".parquet":
            _write_parquet(target, rows, columns)
        else:
            _write_lines(target, rows, columns)
    except UnicodeEncodeError as error:
        raise InputError(f"a text is no text in UTF-8 ({error.reason})", file=target, fix="mend the text") from error


def _write_lines(target: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    opener = gzip.open if target.name.lower().endswith(".gz") else open
    with replacing(target) as temporary, opener(temporary, "wt", encoding="utf-8") as lines:
        for number, row in enumerate(rows, start=1):
            try:
                lines.write(json.dumps({name: row.get(name) for name in columns}, allow_nan=False) + "\n")
            except (TypeError, ValueError) as error:
                raise InputError(str(error), file=target, row=number, fix="give what JSON can hold") from error


def _write_parquet(target: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = {NAMES_KEY: _names(rows, _FEATURES), ANNOTATOR_NAMES_KEY: _names(rows, ("annotator_features",))}
    arrays = []
    for name in columns:
        values = [row.get(name) for row in rows]
        if name in (*_FEATURES, "annotator_features"):
            values = [_numbers(value, names[ANNOTATOR_NAMES_KEY if name not in _FEATURES else NAMES_KEY])
                      for value in values]  # fmt: skip
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowException, TypeError) as error:
            reason = " ".join(str(error).split())[:160]
            fix = "give one kind of value a column, or write .jsonl"
            raise InputError(
                f"Parquet cannot hold these values ({reason})", file=target, field=name, fix=fix
            ) from error
    table = pa.table(arrays, names=list(columns))
    kept = {key: json.dumps(found).encode() for key, found in names.items() if found}
    with replacing(target) as temporary:
        pq.write_table(table.replace_schema_metadata(kept or None), temporary, compression="zstd")


def _names(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> tuple[str, ...]:
    """The names of features that are objects, from the first row that has one; () where they are lists."""
    for row in rows:
        for column in columns:
            value = row.get(column)
            first = value[0] if isinstance(value, list) and value else value
            if isinstance(first, Mapping):
                return tuple(first)
    return ()


def _numbers(value: Any, names: Sequence[str]) -> Any:
    """Objects name -> number as lists of numbers in the order of `names`; lists as they are."""
    if isinstance(value, Mapping):
        if set(value) != set(names):
            odd = sorted(set(value) ^ set(names))[0]
            raise InputError(f"feature '{odd}' is in one row and not in another", fix="name the same features")
        return [float(value[name]) for name in names]
    return [_numbers(part, names) for part in value] if isinstance(value, list) and value else value
