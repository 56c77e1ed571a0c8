"""What a path of answers is: one file, or a folder of shards, or a folder that `datasets` saved; and its rows.

Every reader of answers goes through here, by columns (`sim.files.answer_columns`) or row by row.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sim.errors import InputError, require_utf8
from sim.files.conversations import messages_in
from sim.files.recognise import converter_of, how_to_convert
from sim.files.text_files import Count, cells_of, long_cells, opened, require_once
from sim.reading import bounded, load_json

NAMES_KEY = b"pluralign.feature_names"
ANNOTATOR_NAMES_KEY = b"pluralign.annotator_feature_names"

Kind: TypeAlias = Literal["parquet", "jsonl", "csv", "arrow"]
_ENDINGS: dict[str, Kind] = {".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}
_PACKED = ("", ".gz", ".zst")
READABLE = ".parquet, or .jsonl or .csv (these also .gz or .zst)"


@dataclass(frozen=True)
class Part:
    """One file of answers. kind: how it is read.  packed: "", ".gz" or ".zst"."""

    path: Path
    kind: Kind
    packed: str = ""

    def __post_init__(self) -> None:
        require_utf8(self.path)


def _part(path: Path) -> Part | None:
    name = path.name.lower()
    for packed in _PACKED:
        for ending, kind in _ENDINGS.items():
            if name.endswith(ending + packed) and (kind != "parquet" or not packed):
                return Part(path, kind, packed)
    return None


def parts_of(place: str | Path) -> tuple[Part, ...]:
    """The files of a path, in the order their answers count: a file, a folder of shards by name, or the Arrow files of
    a folder that `datasets` saved.

    Errors: InputError where there is no such file, an ending nobody knows, an empty file or folder, files of different
    kinds in one folder, files of answers in folders inside it, or a folder of several splits.
    """
    path = Path(place)
    if path.is_dir():
        return _shards(path)
    found = _part(path)
    if found is None:
        converter = converter_of(path.name)
        other = "convert or rename the file" if converter is None else f"convert it: {how_to_convert(converter)}"
        fix = _UNPACK if _is_packed_parquet(path) else other
        raise InputError(f"expected a file ending in {READABLE}", file=path, fix=fix)
    _require_content(path)
    return (found,)


_UNPACK = "unpack it: Parquet is packed inside"


def _is_packed_parquet(path: Path) -> bool:
    return path.name.lower().endswith((".parquet.gz", ".parquet.zst"))


def _require_content(path: Path) -> None:
    if not path.is_file():
        problem = "is no file but a folder, a device or a pipe" if path.exists() else "no such file"
        raise InputError(problem, file=path, fix="check the path")
    if path.stat().st_size == 0:
        raise InputError("the file is empty", file=path, fix="write one answer a row")


def _shards(folder: Path) -> tuple[Part, ...]:
    if (folder / "dataset_dict.json").is_file():
        return _saved_by_datasets(_only_split(folder))
    if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
        return _saved_by_datasets(folder)
    visible = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "_"))]
    found = [part for part in map(_part, visible) if part]
    _require_no_others(folder, visible, bool(found))
    if not found:
        raise InputError(f"holds no file ending in {READABLE}", file=folder, fix="give the folder of the shards")
    kinds = {part.kind: part for part in found}
    if len(kinds) > 1:
        first, second = list(kinds.values())[:2]
        raise InputError(
            f"holds files of different kinds ({first.path.name}, {second.path.name})", file=folder,
            fix="keep the shards of one table in a folder",
        )  # fmt: skip
    for part in found:
        _require_content(part.path)
    return tuple(found)


def _only_split(folder: Path) -> Path:
    """The folder of the one split of a `DatasetDict`."""
    try:
        names = [str(name) for name in load_json((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = "was not saved whole by datasets"
        raise InputError(problem, file=folder / "dataset_dict.json", fix="save it again") from error
    outside = next((name for name in names if Path(name).name != name), None)
    if outside is not None or not names:
        problem = "names no split" if outside is None else f"names a split outside its folder ({outside})"
        raise InputError(problem, file=folder / "dataset_dict.json", fix="save it again")
    if len(names) > 1:
        raise InputError("holds several splits", file=folder, fix=f"give one of them, for example {folder / names[0]}")
    return folder / names[0]


def _require_no_others(folder: Path, visible: Sequence[Path], beside: bool) -> None:
    """No file of answers in a folder is left out without a word.  beside: whether others of it are read."""
    packed = next(filter(_is_packed_parquet, visible), None)
    if packed is not None:
        raise InputError(f"holds a file that is not read ({packed.name})", file=folder, fix=_UNPACK)
    for own in visible:
        if own.is_dir() and not own.is_symlink() and (inner := _first_inside(own)):
            name, equals, _ = own.name.partition("=")
            if equals:
                problem = f"holds a folder a value of a column ({own.name}), which the files inside do not have"
                raise InputError(problem, file=folder, fix=f"write one table with the column '{name}' in it")
            fix = "put the files of one table into one folder" if beside else f"give one of them, {inner.parent}"
            raise InputError(
                f"holds files of answers in folders inside it ({inner.relative_to(folder)})", file=folder, fix=fix
            )


def _first_inside(folder: Path) -> Path | None:
    """The first file of answers in a folder or below."""
    for place, inner, names in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith((".", "_")))
        own = [Path(place) / name for name in sorted(names) if not name.startswith((".", "_"))]
        if found := next((path for path in own if _part(path)), None):
            return found
    return None


def _saved_by_datasets(folder: Path) -> tuple[Part, ...]:
    """The files that `state.json` names, which need not be all that lie there."""
    try:
        state = load_json((folder / "state.json").read_text(encoding="utf-8"))
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError("was not saved whole by datasets", file=folder / "state.json", fix="save it again") from error
    if state.get("_indices_data_files"):
        raise InputError(
            "holds a selection of rows beside the rows", file=folder, fix="call .flatten_indices() before saving it"
        )
    for name in names:
        if Path(name).name != name:
            problem = f"names a file outside its folder ({name})"
            raise InputError(problem, file=folder / "state.json", fix="save it again")
        _require_content(folder / name)
    if not names:
        raise InputError("the file is empty", file=folder, fix="write one answer a row")
    return tuple(Part(folder / name, "arrow") for name in names)


@dataclass(frozen=True, eq=False)
class RowSet:
    """rows: plain values by column.  places: for each row the file and the number that a reader finds it under.

    names, annotator_names: of features, where a schema keeps them.  untyped: whether cells are texts whatever they
    mean, as in CSV.
    """

    rows: list[dict[str, Any]]
    places: Sequence[tuple[Path, int]]
    names: tuple[str, ...] | None = None
    annotator_names: tuple[str, ...] | None = None

    def where(self, row: int) -> dict[str, Any]:
        file, number = self.places[row]
        return {"file": file, "row": number}


def read_row_set(place: str | Path) -> RowSet:
    """All rows of a path, with the file and the line or record each is found under.

    Errors: InputError with file and row for what is no record.
    """
    rows: list[dict[str, Any]] = []
    places: list[tuple[Path, int]] = []
    names: dict[bytes, tuple[str, ...] | None] = {}
    for part in parts_of(place):
        if part.kind in ("parquet", "arrow"):
            table = read_arrow_part(part)
            for key in (NAMES_KEY, ANNOTATOR_NAMES_KEY):
                names.setdefault(key, names_in(table.schema.metadata, key, part.path))
            found: Iterator[tuple[int, dict[str, Any]]] = enumerate(table.to_pylist(), start=1)
        else:
            found = _json_lines(part) if part.kind == "jsonl" else _csv_rows(part)
        for number, row in found:
            rows.append(row)
            places.append((part.path, number))
    return RowSet(rows, places, names.get(NAMES_KEY), names.get(ANNOTATOR_NAMES_KEY))


def read_arrow_part(part: Part) -> Any:
    """A Parquet file, or an Arrow file of `datasets`, as an Arrow table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if part.kind == "parquet":
            table = pq.ParquetFile(part.path).read()
        else:
            with pa.memory_map(str(part.path)) as file:
                table = pa.ipc.open_stream(file).read_all()
        # Texts that are no UTF-8, which would be found out when they are read.
        table.validate(full=True)
        require_once(table.column_names, part.path)
        return table
    except (pa.ArrowException, OSError, UnicodeError) as error:
        reason = " ".join(str(error).split())[:120]
        what = "Parquet" if part.kind == "parquet" else "Arrow"
        raise InputError(
            f"is not a whole {what} file ({reason})", file=part.path, fix="write or copy it again"
        ) from error


def names_in(metadata: Mapping[bytes, bytes] | None, key: bytes, path: str | Path) -> tuple[str, ...] | None:
    """The names a schema keeps under `key`, a JSON list of texts; None if it keeps none."""
    text = (metadata or {}).get(key)
    if text is None:
        return None
    try:
        names = load_json(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError("is not a JSON list of names", file=path, field=key.decode(), fix="write the file again")
    return tuple(names)


def _json_lines(part: Part) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line that is not blank."""
    count = Count()
    with opened(part.path, count) as lines:
        for line in bounded(lines, part.path):
            count.row += 1
            if not line.strip():
                continue
            try:
                row = load_json(line)
            except ValueError as error:
                raise InputError(
                    f"is not whole JSON ({error})", file=part.path, row=count.row, fix="mend or delete the line"
                ) from error
            if not isinstance(row, dict):
                raise InputError(
                    f"expected a JSON object, got {type(row).__name__}", file=part.path, row=count.row,
                    fix="write one object a line",
                )  # fmt: skip
            yield count.row, row


# A cell of these columns is a number, a truth value or a list that JSON writes.
NUMBERS_AND_LISTS = frozenset({
    "weight", "strength", "tie", "choice", "score", "chosen_features", "rejected_features", "annotator_features",
    "features", "responses", "ranking", "scores",
})  # fmt: skip


# As in `sim.files.preference_files`; a person's number is a text in a cell, and may have become a decimal one.
_PEOPLE = ("annotator_id", "user_id", "annotator", "worker")
_TOLD = ("prompt", "context", "chosen", "rejected", "response")
_WHOLE = re.compile(r"(-?\d+)\.0*")


def cell_name(text: str) -> str:
    """The name in a cell of CSV, where every number is a text: 1 and 1.0 are one person there too."""
    found = _WHOLE.fullmatch(text)
    return found.group(1) if found else text


def _cell(name: str, text: str) -> Any:
    """A cell's value: nothing, a text, or for a column of numbers or lists what JSON says it is."""
    if text == "":
        return None
    if name in _PEOPLE:
        return cell_name(text)
    if name not in NUMBERS_AND_LISTS:
        # A cell holds no list but as JSON; one of messages is read as in other files.
        return (messages_in(text) or text) if name in _TOLD else text
    try:
        return load_json(text.lower() if name == "tie" else text)
    except ValueError:
        return text  # Left to the check of the column, which says what was expected.


def _csv_rows(part: Part) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row, cells by column), rows counted as a spreadsheet does: the header is the first."""
    count = Count()
    with long_cells(), opened(part.path, count) as file:
        names, rows = cells_of(bounded(file, part.path), part.path)
        count.row = 1
        for cells in rows:
            count.row += 1
            if not cells:
                continue
            if len(cells) != len(names):
                raise InputError(
                    f"expected {len(names)} cells as in the header, got {len(cells)}", file=part.path, row=count.row,
                    fix="quote cells that hold the separator",
                )  # fmt: skip
            yield count.row, {name: _cell(name, text) for name, text in zip(names, cells, strict=True) if name}
