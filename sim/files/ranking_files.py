"""K-wise preferences in files: Parquet and JSONL."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError, short
from sim.files.answer_sources import read_row_set
from sim.files.atomic import replacing
from sim.files.file_rows import known_ending, read_name
from sim.preferences import AnyArray, Rankings


def write_rankings(path: str | Path, rankings: Rankings) -> None:
    """Write K-wise answers: `context`, `responses` (best first), `n_ranked`, `annotator_id`, optional `weight`."""
    target = Path(path)
    rows = []
    for j in range(len(rankings)):
        row = {
            "context": np.asarray(rankings.contexts[j]).tolist(),
            "responses": np.asarray(rankings.responses[j]).tolist(),
            "n_ranked": rankings.n_ranked,
            "annotator_id": int(rankings.annotator[j]),
        }
        if rankings.weights is not None:
            row["weight"] = float(rankings.weights[j])
        rows.append(row)
    if known_ending(target) == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        with replacing(target) as temporary:
            pq.write_table(pa.Table.from_pylist(rows), temporary, compression="zstd")
        return
    with replacing(target) as temporary:
        opener = gzip.open if target.name.endswith(".gz") else open
        with opener(temporary, "wt", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)


def read_rankings(path: str | Path) -> Rankings:
    """Read K-wise answers written by `write_rankings` or by hand; every row offers as many responses."""
    target = Path(path)
    found = read_row_set(target)
    rows, numbers = found.rows, [number for _, number in found.places]
    if not rows:
        raise InputError("the file holds no rankings", file=target, fix="write one ranking a row")
    first = rows[0]
    for name in ("responses", "n_ranked", "annotator_id"):
        if name not in first:
            raise InputError("the column is missing", file=target, field=name, fix="add it")
    for number, row in zip(numbers, rows, strict=True):
        offered = row.get("responses")
        if not isinstance(offered, list) or len(offered) < 2:
            raise InputError(
                f"expected two or more responses, got {short(offered)}", file=target, row=number, field="responses",
                fix="list the offered responses, best first",
            )  # fmt: skip
        if len(offered) != len(first["responses"]) or row.get("n_ranked") != first["n_ranked"]:
            raise InputError(
                "offers or ranks another number of responses than the first row", file=target, row=number,
                field="responses", fix="split the file by size of the offered set",
            )  # fmt: skip
        if len({json.dumps(response) for response in offered}) < len(offered):
            raise InputError("offers a response twice", file=target, row=number, field="responses", fix="drop the row")
    people: dict[str, int] = {}
    annotator = [
        people.setdefault(
            read_name(row["annotator_id"], {"file": target, "row": n, "field": "annotator_id"}), len(people)
        )
        for n, row in zip(numbers, rows, strict=True)
    ]
    weights = [row.get("weight") for row in rows]
    columns = {"context": [row.get("context", 0) for row in rows], "responses": [row["responses"] for row in rows]}
    contexts, responses = (_array(name, values, target, numbers) for name, values in columns.items())
    try:
        return Rankings(
            contexts=contexts,
            responses=responses,
            annotator=np.array(annotator, dtype=np.int64),
            n_annotators=len(people),
            n_ranked=int(first["n_ranked"]),
            weights=None if weights[0] is None else np.array(weights, dtype=np.float64),
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"are no rankings: {error}", file=target, fix="mend the file") from error


def _array(name: str, values: list[Any], file: Path, numbers: list[int]) -> AnyArray:
    """A column of values of one shape."""
    shape = _shape(values[0])
    for number, value in zip(numbers, values, strict=True):
        if shape is None or _shape(value) != shape:
            raise InputError(
                f"is of another form than in the first row, or of none: {short(value)}", file=file, row=number,
                field=name, fix="give numbers or texts, or lists of as many numbers in every row",
            )  # fmt: skip
    return np.array(values)


def _shape(value: Any) -> tuple[int, ...] | None:
    try:
        return tuple(np.shape(value))
    except ValueError:  # lists of several lengths
        return None
