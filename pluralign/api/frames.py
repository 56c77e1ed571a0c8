"""Rows and tables of numbers, out of whatever people hold them in: files, data frames, Arrow, datasets, arrays.

Nothing here imports pandas, polars or datasets: a frame is known by what it can do. Rows are counted from 1, as in
files, and messages name the kind of frame in place of a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from sim.errors import InputError
from sim.files.answer_sources import names_in
from sim.files.number_tables import NumberTable, read_number_table, table_of_cells
from sim.files.opinion_files import Question, opinions_of_rows, opinions_of_table, read_opinions
from sim.files.plain_values import plain
from sim.files.table_names import names_rows, require_ids
from sim.files.text_files import require_once

# A path, a pandas, polars or Arrow table, a datasets.Dataset, rows as mappings, or columns by name.
Frame: TypeAlias = Any
_KINDS = "a path, a data frame (pandas, polars, Arrow, datasets), a list of rows by name, or columns by name"


@dataclass(frozen=True, eq=False)
class Rows:
    """rows: plain values by column, None where nothing is known.  source: what messages name.  metadata: of an Arrow
    schema, {} elsewhere."""

    rows: list[dict[str, Any]]
    source: str
    metadata: Mapping[bytes, bytes]

    def names(self, key: bytes) -> tuple[str, ...] | None:
        """The names an Arrow schema keeps under `key`."""
        return names_in(self.metadata, key, self.source)


def is_path(data: Any) -> bool:
    return isinstance(data, str | os.PathLike)


def arrow_of(data: Frame) -> Any:
    """The frame as an Arrow table where it is one or becomes one without a loss, else None."""
    import pyarrow as pa

    data = _only_split(data)
    if isinstance(data, Mapping):
        return None
    try:
        if _is_pandas(data):
            return pa.Table.from_pandas(data, preserve_index=False)
        if hasattr(data, "with_format") and hasattr(data, "features"):
            return data.with_format("arrow")[:] if hasattr(data, "__len__") else None
        if hasattr(data, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(data).read_all()
    except (pa.ArrowException, ValueError, TypeError):
        return None
    return None


def held(data: Frame) -> Frame:
    """The same, to be read more than once: what an iterator or an Arrow stream still has."""
    if hasattr(data, "read_all"):
        return data.read_all()
    return list(data) if isinstance(data, Iterator) else data


def _only_split(data: Frame) -> Frame:
    """The data set of a `DatasetDict` that holds one; anything else as it is."""
    if isinstance(data, Mapping) and len(data) == 1:
        (own,) = data.values()
        return own if hasattr(own, "column_names") else data
    return data


def rows_of(data: Frame, argument: str, source: str | None = None) -> Rows:
    """The rows of a frame in memory; `argument` is what a message calls it; source: what it names in place of a file.

    Errors: InputError where it is of no known kind.
    """
    data = _only_split(data)
    kind = source or type(data).__name__
    if _is_pandas(data):
        require_once([str(name) for name in data.columns], kind)
        records = ({str(name): value for name, value in row.items()} for row in data.to_dict("records"))
        return Rows([_plain_row(row) for row in records], kind, {})
    if isinstance(data, Mapping):
        if any(hasattr(part, "column_names") for part in data.values()):
            fix = f"give one of them, {argument}['{next(iter(data))}']"
            raise InputError(f"{argument}: expected one data set, got {len(data)} by name", fix=fix)
        return Rows(_rows_of_columns(data, kind), kind, {})
    if hasattr(data, "with_format") and hasattr(data, "features"):
        if not hasattr(data, "__len__"):
            return Rows([_plain_row(row) for row in data], kind, {})
        return _rows_of_arrow(data.with_format("arrow")[:], kind)
    if hasattr(data, "__arrow_c_stream__"):
        import pyarrow as pa

        try:
            table = pa.RecordBatchReader.from_stream(data).read_all()
        except (pa.ArrowException, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:120]
            problem = f"{argument}: expected {_KINDS}, got a {kind}, which is no table ({reason})"
            raise InputError(problem, fix="a column alone has no name for it: give a frame") from error
        return _rows_of_arrow(table, kind)
    if hasattr(data, "collect_schema"):
        raise InputError(f"{argument}: expected rows, got a {kind} that has none yet", fix="call .collect() first")
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | np.ndarray):
        listed = list(data)
        for number, row in enumerate(listed, start=1):
            if not isinstance(row, Mapping):
                raise InputError(
                    f"expected a row by name, got {type(row).__name__}", file=kind, row=number,
                    fix="give each row as {column: value}",
                )  # fmt: skip
        return Rows([_plain_row(row) for row in listed], kind, {})
    raise InputError(f"{argument}: expected {_KINDS}, got {kind}")


def number_table(data: Frame, argument: str, *, row: str, column: str, entry: str) -> NumberTable:
    """A matrix of finite numbers with names: a path (CSV), a 2-D array, or a frame.

    Row names are a frame's index, else its first column where that holds texts or is called as ids are, else numbers.
    row, column, entry: what a row, a column and a cell are, for names and messages.
    """
    words = {"row": row, "column": column, "entry": entry}
    if isinstance(data, NumberTable):
        return data
    if is_path(data):
        return read_number_table(data, **words)
    kind = type(data).__name__
    if _is_pandas(data):
        require_once([str(name) for name in data.columns], kind)
        named = None if type(data.columns).__name__ == "RangeIndex" else [str(name) for name in data.columns]
        index = None if type(data.index).__name__ == "RangeIndex" else [str(name) for name in data.index]
        cells = [[_plain(value) for value in line] for line in data.to_numpy(dtype=object)]
        # What is left of the numbers of rows when some were dropped.
        counted = getattr(data.index.dtype, "kind", "") in "iu" and data.index.name is None
        return _table(cells, index, named, kind, words, counted=counted)
    nested = _nested(data)
    if nested is not None:
        if any(not isinstance(line, list) or any(isinstance(cell, list) for cell in line) for line in nested):
            expected = f"a matrix, a row a {row} and a column a {column}"
            shape = getattr(data, "shape", "of lists")
            raise InputError(f"{argument}: expected {expected}, got shape {shape}")
        return _table(nested, None, None, kind, words)
    found = rows_of(data, argument)
    columns = list(dict.fromkeys(name for line in found.rows for name in line))
    return _table([[line.get(name) for name in columns] for line in found.rows], None, columns, found.source, words)


def opinions_of(data: Frame, argument: str, *, alone: bool = True) -> tuple[Question, ...]:
    """Opinions: a path, a frame with an opinion (`candidates`, `probs`) or a probability (`candidate`, `prob`) a row,
    or a matrix with a row an annotator and a column a candidate.  alone: see `read_opinions`."""
    if is_path(data):
        return read_opinions(data, alone=alone)
    names = _column_names(data := held(data))
    if {"candidates", "probs"} <= names or {"candidate", "prob"} <= names:
        found = rows_of(data, argument)
        return opinions_of_rows(found.rows, found.source, alone=alone)
    table = number_table(data, argument, row="annotator", column="candidate", entry="the probability")
    return opinions_of_table(table, alone=alone)


def _nested(data: Any) -> list[Any] | None:
    """An array, or a sequence of sequences, as lists; None for another kind."""
    if isinstance(data, np.ndarray):
        listed: list[Any] = data.tolist()
        return listed
    if isinstance(data, Sequence) and len(data) and isinstance(data[0], Sequence | np.ndarray):
        return [list(line) for line in data]
    return None


def _column_names(data: Any) -> set[str]:
    """Of a frame of any kind; none for an array."""
    if isinstance(data, Sequence) and len(data) and isinstance(data[0], Mapping):
        return set(data[0])
    if isinstance(data, Mapping):
        return set(data)
    schema = getattr(data, "schema", None)
    for names in (getattr(data, "columns", None), getattr(data, "column_names", None), getattr(schema, "names", None)):
        if names is not None and all(isinstance(name, str) for name in names):
            return set(names)
    return set()


def _is_pandas(data: Any) -> bool:
    return hasattr(data, "iloc") and hasattr(data, "columns") and hasattr(data, "to_dict")


def _rows_of_arrow(table: Any, kind: str) -> Rows:
    require_once(table.column_names, kind)
    return Rows([_plain_row(row) for row in table.to_pylist()], kind, table.schema.metadata or {})


def _rows_of_columns(columns: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    lengths = {name: len(values) for name, values in columns.items()}
    first = next(iter(lengths), "")
    for name, length in lengths.items():
        if length != lengths[first]:
            raise InputError(
                f"expected {lengths[first]} entries as in '{first}', got {length}", file=kind, field=str(name),
                fix="give columns of equal length",
            )  # fmt: skip
    parts = zip(*columns.values(), strict=True)
    return [_plain_row(dict(zip(map(str, columns), values, strict=True))) for values in parts]


def _plain_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    try:
        return {str(name): _plain(value) for name, value in row.items()}
    except RecursionError as error:
        raise InputError("a row is nested too deeply, or holds itself", fix="write it flat") from error


def _plain(value: Any) -> Any:
    """A cell as `plain`, and None for nan, as frames write what is missing."""
    found = plain(value)
    return None if isinstance(found, float) and found != found else found


def _table(
    cells: Sequence[Sequence[Any]], rows: Sequence[str] | None, columns: Sequence[str] | None, kind: str,
    words: Mapping[str, str], *, counted: bool = False,
) -> NumberTable:  # fmt: skip
    """counted: whether `rows` only count them, and give way to a column of names."""
    if (rows is None or counted) and cells and all(len(line) > 1 for line in cells):
        first = [line[0] for line in cells]
        named = rows
        if all(isinstance(cell, str) for cell in first):
            named = first
        elif columns is not None and names_rows(columns[0], words["row"]):
            named = require_ids(columns[0], first, words["column"], kind, range(1, len(cells) + 1))
        if named is not rows:
            rows, cells = named, [line[1:] for line in cells]
            columns = None if columns is None else columns[1:]
    return table_of_cells(cells, rows=rows, columns=columns, source=kind, **words)


def said(progress: Callable[[str], None] | None) -> Callable[[str], None]:
    """`progress`, or nothing."""
    return progress or (lambda text: None)
