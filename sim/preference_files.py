"""Preferences in files: Parquet and JSONL (also .jsonl.gz), checked row by row.

Columns: `prompt` (or `context`), `chosen`, `rejected`, `annotator_id` (or `user_id`, `annotator`); optional
`group_id`, `weight`, `split` (train, test, unseen), `chosen_features`, `rejected_features` (numbers in a list, or
in JSONL an object name -> number; Parquet keeps the names in its schema under `pluralign.feature_names`).
`chosen` and `rejected` may themselves be lists of numbers; these are then the features.
"""

from __future__ import annotations

import difflib
import gzip
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sim.atomic import replacing
from sim.errors import InputError
from sim.pair_table import SPLITS, PairTable
from sim.preferences import Rankings

ALIASES = {
    "prompt": ("prompt", "context"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "annotator_id": ("annotator_id", "user_id", "annotator"),
}
_NAMES_KEY = b"pluralign.feature_names"


def read_pairs(path: str | Path) -> PairTable:
    """Read and check pairwise preferences; the first problem is reported with file, row and field."""
    rows, names = _read_rows(Path(path))
    return _to_table(rows, names, Path(path))


def known_ending(path: Path) -> str:
    """.parquet, .jsonl or .jsonl.gz, or an error."""
    name = path.name.lower()
    for ending in (".parquet", ".jsonl", ".jsonl.gz"):
        if name.endswith(ending):
            return ending
    raise InputError(
        "expected a file ending in .parquet, .jsonl or .jsonl.gz", file=path, fix="convert or rename the file"
    )


def _read_rows(path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...] | None]:
    ending = known_ending(path)
    if not path.is_file():
        raise InputError("no such file", file=path, fix="check the path")
    if path.stat().st_size == 0:
        raise InputError("the file is empty", file=path, fix="write one preference a line")
    if ending == ".parquet":
        return _read_parquet(path)
    return list(_read_json_lines(path)), None


def _read_parquet(path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...] | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"is not a whole Parquet file ({reason})", file=path, fix="write or copy it again") from error
    names = (table.schema.metadata or {}).get(_NAMES_KEY)
    try:
        parsed = None if names is None else tuple(json.loads(names))
    except ValueError as error:
        raise InputError("its feature names are not JSON", file=path, field=_NAMES_KEY.decode()) from error
    return table.to_pylist(), parsed


def _read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    number = 0
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise InputError(
                        f"is not whole JSON ({error})", file=path, row=number, fix="mend or delete the line"
                    ) from error
                if not isinstance(row, dict):
                    raise InputError(
                        f"expected a JSON object, got {type(row).__name__}", file=path, row=number,
                        fix="write one object a line",
                    )  # fmt: skip
                yield row
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"the gzip file ends or breaks after row {number} ({error})", file=path, fix="copy it again, whole"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError("is not text in UTF-8", file=path, row=number + 1, fix="save it as UTF-8") from error


def _columns(rows: list[dict[str, Any]], path: Path) -> dict[str, str]:
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
            near = difflib.get_close_matches(canonical, sorted(present), n=1)
            hint = f"rename '{near[0]}'" if near else f"add it (aliases: {', '.join(names)})"
            raise InputError("the column is missing", file=path, field=canonical, fix=hint)
        found[canonical] = here[0]
    return found


def _vector(value: Any, names: tuple[str, ...] | None, where: dict[str, Any]) -> tuple[float, ...]:
    """A feature vector as a tuple of finite floats."""
    if isinstance(value, dict):
        if names is not None and set(value) != set(names):
            odd = sorted(set(value) ^ set(names))
            raise InputError(
                f"feature '{odd[0]}' is in one row and not in another", fix="name the same features", **where
            )
        value = [value[name] for name in (names or value)]
    if not isinstance(value, list) or not value:
        raise InputError(f"expected a list of numbers, got {_short(value)}", fix="give one number a feature", **where)
    for position, number in enumerate(value):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise InputError(f"feature {position + 1} is not a number ({_short(number)})", fix="give a number", **where)
        if not math.isfinite(number):
            raise InputError(
                f"feature {position + 1} is not finite ({number})", fix="drop the row or give a finite number", **where
            )
    return tuple(float(number) for number in value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


class _Items:
    """Distinct items and their one feature vector each."""

    def __init__(self, names: tuple[str, ...] | None) -> None:
        self.names = names
        self.labels: list[str] = []
        self.vectors: list[tuple[float, ...]] = []
        self._index: dict[Any, int] = {}

    def add(self, value: Any, features: Any, where: dict[str, Any], feature_field: str) -> int:
        """Index of an item; an item seen before must come with the same features."""
        own_vector = isinstance(value, list)
        if own_vector:
            vector: tuple[float, ...] | None = _vector(value, self.names, where)
            key: Any = vector
        else:
            key = value
            vector = None if features is None else self._features(features, {**where, "field": feature_field})
        found = self._index.get(key)
        if found is None:
            if self.labels and (vector is None) != (not self.vectors):
                raise InputError(
                    "some items have features and others have none",
                    fix="give features in every row or in none",
                    **where,
                )
            if vector is not None and self.vectors and len(vector) != len(self.vectors[0]):
                raise InputError(
                    f"expected {len(self.vectors[0])} features as in the first row, got {len(vector)}",
                    fix="give every item the same features", **where,
                )  # fmt: skip
            found = self._index[key] = len(self.labels)
            self.labels.append(f"item {found + 1}" if own_vector else str(value))
            if vector is not None:
                self.vectors.append(vector)
        elif vector is not None and self.vectors and self.vectors[found] != vector:
            raise InputError(
                f"item {_short(value)} has other features here than before", fix="give an item one feature vector",
                **{**where, "field": feature_field},
            )  # fmt: skip
        return found

    def _features(self, features: Any, where: dict[str, Any]) -> tuple[float, ...]:
        if isinstance(features, dict) and self.names is None:
            self.names = tuple(features)
        return _vector(features, self.names, where)


def _text(value: Any, where: dict[str, Any]) -> str:
    if value is None or value == "" or isinstance(value, list | dict | bool):
        raise InputError(f"expected a name or number, got {_short(value)}", fix="name the annotator", **where)
    return str(value)


def _weight(value: Any, where: dict[str, Any]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise InputError(f"expected a positive number, got {_short(value)}", fix="give a positive weight", **where)
    return float(value)


def _to_table(rows: list[dict[str, Any]], names: tuple[str, ...] | None, path: Path) -> PairTable:
    if not rows:
        raise InputError("the file holds no preferences", file=path, fix="write one preference a row")
    columns = _columns(rows, path)
    items = _Items(names)
    prompts: dict[str, int] = {}
    annotators: dict[str, int] = {}
    groups: dict[int, str] = {}
    prompt, chosen, rejected, annotator, weight, split = [], [], [], [], [], []
    present = set(rows[0])
    for number, row in enumerate(rows, start=1):

        def at(field: str, row_number: int = number) -> dict[str, Any]:
            return {"file": path, "row": row_number, "field": field}

        first, second = row.get("chosen"), row.get("rejected")
        for name, value in (("chosen", first), ("rejected", second)):
            if value is None or isinstance(value, dict | bool):
                raise InputError(f"expected text, a number or a list of numbers, got {_short(value)}",
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
                f"equals chosen ({_short(first)})", fix="drop the row: a tie is no preference", **at("rejected")
            )
        chosen.append(a)
        rejected.append(b)
        who = _text(row.get(columns["annotator_id"]), at(columns["annotator_id"]))
        person = annotators.setdefault(who, len(annotators))
        annotator.append(person)
        asked = row.get(columns["prompt"]) if "prompt" in columns else ""
        prompt.append(prompts.setdefault("" if asked is None else str(asked), len(prompts)))
        if "weight" in present:
            weight.append(_weight(row.get("weight"), at("weight")))
        if "split" in present:
            if row.get("split") not in SPLITS:
                raise InputError(
                    f"expected train, test or unseen, got {_short(row.get('split'))}",
                    fix="use one of them",
                    **at("split"),
                )
            split.append(SPLITS.index(row["split"]))
        if row.get("group_id") is not None and groups.setdefault(person, str(row["group_id"])) != str(row["group_id"]):
            raise InputError(
                f"annotator {who} was in group {groups[person]} before", fix="give her one group", **at("group_id")
            )
    table = PairTable(
        items=tuple(items.labels),
        features=np.array(items.vectors) if items.vectors else None,
        feature_names=items.names
        or tuple(f"feature {j + 1}" for j in range(len(items.vectors[0]) if items.vectors else 0)),
        prompts=tuple(prompts),
        prompt=np.array(prompt, dtype=np.int64),
        chosen=np.array(chosen, dtype=np.int64),
        rejected=np.array(rejected, dtype=np.int64),
        annotators=tuple(annotators),
        annotator=np.array(annotator, dtype=np.int64),
        weight=np.array(weight) if weight else None,
        split=np.array(split, dtype=np.int64) if split else None,
        group=tuple(groups.get(i, "") for i in range(len(annotators))) if groups else None,
        source=str(path),
    )
    if table.features is not None and table.features.shape[1] != len(table.feature_names):
        raise InputError(
            f"has {len(table.feature_names)} feature names and {table.features.shape[1]} features", file=path,
            field=_NAMES_KEY.decode(), fix="name each feature once",
        )  # fmt: skip
    _check_split(table, path)
    return table


def _check_split(table: PairTable, path: Path) -> None:
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
    for j in range(len(table)):
        row: dict[str, Any] = {
            "prompt": table.prompts[table.prompt[j]],
            "chosen": table.items[table.chosen[j]],
            "rejected": table.items[table.rejected[j]],
            "annotator_id": table.annotators[table.annotator[j]],
        }
        if table.split is not None:
            row["split"] = SPLITS[table.split[j]]
        if table.weight is not None:
            row["weight"] = float(table.weight[j])
        if table.group is not None:
            row["group_id"] = table.group[table.annotator[j]]
        if vectors is not None:
            row["chosen_features"] = vectors[table.chosen[j]]
            row["rejected_features"] = vectors[table.rejected[j]]
        yield row


def write_pairs(path: str | Path, table: PairTable) -> None:
    """Write a table to .parquet, .jsonl or .jsonl.gz, whole or not at all."""
    target = Path(path)
    ending = known_ending(target)
    if ending == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        written = pa.Table.from_pylist(list(_rows_of(table)))
        if table.features is not None:
            written = written.replace_schema_metadata({_NAMES_KEY: json.dumps(table.feature_names).encode()})
        with replacing(target) as temporary:
            pq.write_table(written, temporary, compression="zstd")
        return
    with replacing(target) as temporary:
        opener = gzip.open if ending.endswith(".gz") else open
        with opener(temporary, "wt", encoding="utf-8") as lines:
            for row in _rows_of(table):
                for name in ("chosen_features", "rejected_features"):
                    if name in row:
                        row[name] = dict(zip(table.feature_names, row[name], strict=True))
                lines.write(json.dumps(row) + "\n")


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
        if rankings.weight is not None:
            row["weight"] = float(rankings.weight[j])
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
    rows, _ = _read_rows(target)
    if not rows:
        raise InputError("the file holds no rankings", file=target, fix="write one ranking a row")
    first = rows[0]
    for name in ("responses", "n_ranked", "annotator_id"):
        if name not in first:
            raise InputError("the column is missing", file=target, field=name, fix="add it")
    for number, row in enumerate(rows, start=1):
        offered = row.get("responses")
        if not isinstance(offered, list) or len(offered) < 2:
            raise InputError(
                f"expected two or more responses, got {_short(offered)}", file=target, row=number, field="responses",
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
        people.setdefault(_text(row["annotator_id"], {"file": target, "row": n, "field": "annotator_id"}), len(people))
        for n, row in enumerate(rows, start=1)
    ]
    weights = [row.get("weight") for row in rows]
    return Rankings(
        contexts=np.array([row.get("context", 0) for row in rows]),
        responses=np.array([row["responses"] for row in rows]),
        annotator=np.array(annotator, dtype=np.int64),
        n_annotators=len(people),
        n_ranked=int(first["n_ranked"]),
        weight=None if weights[0] is None else np.array(weights, dtype=np.float64),
    )
