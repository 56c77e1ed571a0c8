"""Rows of Parquet and JSONL files, whole or refused."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sim.errors import InputError

NAMES_KEY = b"pluralign.feature_names"


def known_ending(path: Path) -> str:
    """.parquet, .jsonl or .jsonl.gz, or an error."""
    name = path.name.lower()
    for ending in (".parquet", ".jsonl", ".jsonl.gz"):
        if name.endswith(ending):
            return ending
    raise InputError(
        "expected a file ending in .parquet, .jsonl or .jsonl.gz", file=path, fix="convert or rename the file"
    )


def read_rows(path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...] | None]:
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
    return table.to_pylist(), names_in(table.schema.metadata, NAMES_KEY, path)


def names_in(metadata: Mapping[bytes, bytes] | None, key: bytes, path: str | Path) -> tuple[str, ...] | None:
    """The names a Parquet file's schema keeps under `key`, a JSON list of texts; None if it keeps none."""
    text = (metadata or {}).get(key)
    if text is None:
        return None
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("is not a JSON list of names", file=path, field=key.decode(), fix="write the file again")
    return tuple(names)


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


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def read_name(value: Any, where: dict[str, Any], what: str = "annotator") -> str:
    """The name of an annotator, or of whatever `what` says."""
    if value is None or value == "" or isinstance(value, list | dict | bool):
        raise InputError(f"expected a name or number, got {short(value)}", fix=f"name the {what}", **where)
    return str(value)
