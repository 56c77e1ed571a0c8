"""Records of public data sets' files: JSONL, JSON, CSV (each also .gz or .zst) and Parquet, one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from sim.errors import InputError, is_whole, require_utf8, short
from sim.files.answer_sources import Part, cell_name, parts_of, read_arrow_part
from sim.files.text_files import Count, cells_of, long_cells, opened, require_once
from sim.reading import LARGEST_TEXT, bounded, load_json

_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
_NOTHING = object()  # where there is no such field; None stands in many
_READS = "give .jsonl, .json, .csv (each also .gz or .zst) or .parquet"


@dataclass(frozen=True)
class Record:
    """One record of a file.  row: its line in a text file (that of the header of a CSV file is 1), else its number.
    untyped: every value is a text, whatever it means, as in CSV."""

    file: Path
    row: int
    fields: Mapping[str, Any]
    untyped: bool = False

    def at(self, field: str | None = None) -> dict[str, Any]:
        """Where it is, for an InputError."""
        return {"file": self.file, "row": self.row, "field": field}

    def bad(self, field: str, problem: str, fix: str = "mend or delete the row") -> InputError:
        return InputError(problem, fix=fix, **self.at(field))

    def as_is(self, path: str) -> Any:
        """What is under a field; None where there is nothing.

        `info.post` is the column of that name, as flat tables (and R's wide ones, price.1) have it, else the field
        post inside info.  Where there is no info, the columns info.post, info.id, ... are the parts of it.
        """
        found = _under(self.fields, path)
        if found is _NOTHING:
            flat = {name: value for name, value in self.fields.items() if name.startswith(f"{path}.")}
            return {name[len(path) + 1 :]: value for name, value in flat.items()} or None
        return found

    def has(self, path: str) -> bool:
        """Whether a column holds this field, is what it stands in (info of info.post), or is a part of it."""
        return path in self.fields or any(
            path.startswith(f"{name}.") or name.startswith(f"{path}.") for name in self.fields
        )

    def value(self, path: str) -> Any:
        """`as_is`, and None for an empty text and for nan, as data frames and CSV write what is missing."""
        found = self.as_is(path)
        return None if found == "" or (isinstance(found, float) and math.isnan(found)) else found

    def text(self, path: str) -> str:
        """A text, which may be empty."""
        found = self.as_is(path)
        if isinstance(found, str) and not is_text(found):
            raise self.bad(path, "holds half a character, which no file in UTF-8 can")
        if not isinstance(found, str):
            raise self.bad(path, f"expected text, got {short(found)}")
        return found

    def name(self, path: str) -> str:
        """The name of a person: a text, or a number, whole as it was before a data frame made it 3.0."""
        found = self.value(path)
        if isinstance(found, str) and not is_whole(found):
            raise self.bad(path, "holds half a character, which no file in UTF-8 can")
        if found is None or isinstance(found, list | Mapping | bool):
            raise self.bad(path, f"expected a name or number, got {short(found)}")
        if isinstance(found, float) and found.is_integer():
            return str(int(found))
        return cell_name(found) if self.untyped and isinstance(found, str) else str(found)

    def number(self, path: str) -> float:
        found = self.value(path)
        try:
            number = math.nan if found is None or isinstance(found, bool | list | Mapping) else float(found)
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self.bad(path, f"expected a number, got {short(found)}")
        return number

    def one_of(self, path: str, known: Mapping[Any, Any]) -> Any:
        """What `known` holds under the field's value."""
        found = self.value(path)
        if isinstance(found, list | Mapping) or found not in known:
            raise self.bad(path, f"expected {', '.join(map(str, known))}, got {short(found)}")
        return known[found]

    def list(self, path: str, least: int = 1) -> list[Any]:
        found = unpacked(self.value(path))
        if not isinstance(found, list) or len(found) < least:
            raise self.bad(path, f"expected a list of {least} or more, got {short(found)}")
        return found

    def object(self, path: str) -> Mapping[str, Any]:
        """An object, or the JSON of one in a flat file; empty where there is nothing."""
        found = unpacked(self.value(path))
        if found is not None and not isinstance(found, Mapping):
            raise self.bad(path, f"expected an object, got {short(found)}", "write it as JSON, or mend the row")
        return found or {}

    def inner(self, path: str, number: int, fields: Any) -> Record:
        """A part of this record, with fields of its own; messages name this record's row."""
        fields = unpacked(fields)
        if not isinstance(fields, Mapping):
            raise self.bad(f"{path}[{number}]", f"expected an object, got {short(fields)}")
        return Record(self.file, self.row, fields)


def _under(fields: Any, path: str) -> Any:
    """What a mapping has under a path, the longest name first: one with dots in it is a name before it is a way."""
    fields = unpacked(fields)
    if not isinstance(fields, Mapping):
        return _NOTHING
    if path in fields:
        return fields[path]
    end = path.rfind(".")
    while end >= 0:
        if path[:end] in fields and (found := _under(fields[path[:end]], path[end + 1 :])) is not _NOTHING:
            return found
        end = path.rfind(".", 0, end)
    return _NOTHING


def is_text(value: Any) -> TypeGuard[str]:
    """Whether it is a text that a file can hold: JSON may escape half a character (a lone surrogate)."""
    return isinstance(value, str) and is_whole(value)


def unpacked(value: Any) -> Any:
    """A list or object that a flat file holds as JSON, as what it is; anything else as it stands."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return load_json(value)
        except ValueError:
            return value
    return value


def records(path: Path) -> Iterator[Record | InputError]:
    """The records of a file, in order; an InputError in the place of one that cannot be read.

    Raises InputError where the file as a whole cannot: it is not there, of no known kind, empty, or breaks off.
    """
    ending = ending_of(path)
    if not path.is_file():
        problem = "is no file but a folder, a device or a pipe" if path.exists() else "no such file"
        raise InputError(problem, file=path, fix="check the path")
    if path.stat().st_size == 0:
        raise InputError("the file is empty", file=path, fix="download it again")
    readers = {".parquet": _parquet, ".arrow": _arrow, ".csv": _csv, ".tsv": _csv, ".json": _json}
    yield from readers.get(ending, _json_lines)(path)


def files_of(places: Sequence[Path], known: Sequence[str] = ()) -> list[Path]:
    """Files, and in the place of a folder its own: shards of one table, or what `datasets` saved; where `known` are
    other endings, all files with one of these, by name."""
    return [path for place in places for path in (_inside(place, known) if place.is_dir() else [place])]


def _inside(folder: Path, known: Sequence[str]) -> list[Path]:
    if not known:
        return [part.path for part in parts_of(folder)]
    found = [path for path in sorted(folder.iterdir()) if _unpacked_name(path).endswith(tuple(known))]
    if not found:
        raise InputError(f"holds no file ending in {', '.join(known)}", file=folder, fix="give the folder of the files")
    return found


def _unpacked_name(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").removesuffix(".zst")


def ending_of(path: Path, known: tuple[str, ...] = _ENDINGS) -> str:
    """The file's ending without .gz or .zst; InputError where it is none of `known`."""
    name = _unpacked_name(path)
    ending = Path(name).suffix
    if ending not in known or (ending in (".parquet", ".arrow") and path.name.lower() != name):
        fix = _READS if known is _ENDINGS else f"give a file ending in {', '.join(known)}"
        raise InputError("is of a kind that is not read", file=path, fix=fix)
    return ending


def _json_lines(path: Path) -> Iterator[Record | InputError]:
    with opened(path) as lines:
        for number, line in enumerate(bounded(lines, path), start=1):
            if line.strip():
                yield _object(line, path, number)


def _object(line: str, path: Path, number: int) -> Record | InputError:
    try:
        fields = load_json(line)
    except ValueError as error:
        return InputError(f"is not whole JSON ({error})", file=path, row=number, fix="mend or delete the line")
    return _record(fields, path, number)


def _record(fields: Any, path: Path, number: int) -> Record | InputError:
    if not isinstance(fields, dict):
        problem = f"expected a JSON object, got {type(fields).__name__}"
        return InputError(problem, file=path, row=number, fix="mend or delete the row")
    return Record(path, number, fields)


def _json(path: Path) -> Iterator[Record | InputError]:
    """A list of objects, or (as many sets are published under this ending) an object a line."""
    with opened(path) as lines:
        listed = next((line for line in bounded(lines, path) if line.strip()), "").lstrip().startswith("[")
    if not listed:
        yield from _json_lines(path)
        return
    with opened(path) as lines:
        text = lines.read(LARGEST_TEXT + 1)
    if len(text) > LARGEST_TEXT:
        raise InputError(
            f"is larger than {LARGEST_TEXT:,} characters", file=path, fix="write one object a line, .jsonl"
        )
    try:
        found = load_json(text)
    except ValueError as error:
        raise InputError(f"is not whole JSON ({error})", file=path, fix="copy it again, whole") from error
    for number, fields in enumerate(found, start=1):
        yield _record(fields, path, number)


def _csv(path: Path) -> Iterator[Record | InputError]:
    count = Count()
    with long_cells(), opened(path, count) as file:
        names, rows = cells_of(bounded(file, path), path)
        count.row = 1
        for cells in rows:
            count.row += 1
            if len(cells) != len(names):
                if cells:
                    problem = f"expected {len(names)} columns, got {len(cells)}"
                    yield InputError(problem, file=path, row=count.row, fix="mend or delete the row")
                continue
            fields = {name: text for name, text in zip(names, cells, strict=True) if name}
            yield Record(path, count.row, fields, untyped=True)


def _parquet(path: Path) -> Iterator[Record | InputError]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    require_utf8(path)
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            require_once(file.schema_arrow.names, path)
            for batch in file.iter_batches(batch_size=512):
                batch.validate(full=True)
                for fields in batch.to_pylist():
                    number += 1
                    yield Record(path, number, fields)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"is not a whole Parquet file ({reason})", file=path, fix="copy it again, whole") from error


def _arrow(path: Path) -> Iterator[Record | InputError]:
    """A file of a folder that `datasets` saved."""
    number = 0
    for batch in read_arrow_part(Part(path, "arrow")).to_batches(512):
        for fields in batch.to_pylist():
            number += 1
            yield Record(path, number, fields)
