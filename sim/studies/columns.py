"""A study's columns: as lists, or as a Parquet file holds them, each read when first asked for and held compactly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sim.errors import require_utf8
from sim.files.arrow_columns import arrow_numbers, numbers_of
from sim.preferences import FloatArray, IntArray

# In a file's metadata: the factors whose column holds JSON.
CODED = b"pluralign.coded"


class Column(Protocol):
    """One value a row."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Any: ...

    def take(self, rows: IntArray) -> list[Any]: ...


class Levels:
    """Few values that occur often: a code a row."""

    def __init__(self, levels: Sequence[Any], codes: IntArray) -> None:
        self.levels, self.codes = list(levels), codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> Any:
        return self.levels[self.codes[row]]

    def take(self, rows: IntArray) -> list[Any]:
        return [self.levels[code] for code in self.codes[rows]]


class Numbers:
    """Numbers, None where there is none (nan; results hold no nan of their own)."""

    def __init__(self, values: FloatArray | IntArray) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Any:
        found = self.values[row].item()
        return None if found != found else found

    def take(self, rows: IntArray) -> list[Any]:
        return [None if value != value else value for value in self.values[rows].tolist()]


class Texts:
    """Texts of which each is another, as Arrow holds them."""

    def __init__(self, texts: Any) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, row: int) -> Any:
        return self._texts[int(row)].as_py()

    def take(self, rows: IntArray) -> list[Any]:
        found: list[Any] = self._texts.take(arrow_numbers(rows)).to_pylist()
        return found


class Values:
    """Anything, as a list."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, row: int) -> Any:
        return self._values[row]

    def take(self, rows: IntArray) -> list[Any]:
        return [self._values[row] for row in rows]


class FileColumns(Mapping[str, Column]):
    """Of a Parquet file. It stays open: what takes its name later is another file."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        require_utf8(path)
        self._file = pq.ParquetFile(pa.memory_map(str(path)))
        self._schema = self._file.schema_arrow
        self._coded = set(json.loads((self._schema.metadata or {}).get(CODED, b"[]")))
        self.length = int(self._file.metadata.num_rows)
        self._found: dict[str, Column] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Of a copy, or of one that another process gets: all columns, as the open file stays where it is."""
        return {**vars(self), "_file": None, "_found": dict(self)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._schema.names)

    def __len__(self) -> int:
        return len(self._schema.names)

    def __contains__(self, name: object) -> bool:
        """Without reading it, as a mapping does otherwise."""
        return name in self._schema.names

    def __getitem__(self, name: str) -> Column:
        if name not in self:
            raise KeyError(name)
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> Column:
        import pyarrow as pa

        column = self._file.read(columns=[name], use_threads=False).column(0)
        if name in ("value", "wall_s"):
            return Numbers(numbers_of(column.combine_chunks()).astype(np.float64))
        if name == "replicate":
            return Numbers(numbers_of(column.combine_chunks()))
        if name == "seed_key":
            return Texts(column.combine_chunks())
        if pa.types.is_null(column.type):
            return Levels([None], np.zeros(len(column), dtype=np.int32))
        whole = column.dictionary_encode().unify_dictionaries().combine_chunks()
        levels = whole.dictionary.to_pylist()
        codes = numbers_of(whole.indices)
        if whole.null_count:
            codes = np.where(np.isnan(codes), len(levels), codes).astype(np.int32)
        if name in self._coded:
            levels = [None if text is None else as_tuples(json.loads(text)) for text in levels]
        return Levels([*levels, None] if whole.null_count else levels, codes)


def as_tuples(value: Any) -> Any:
    return tuple(as_tuples(item) for item in value) if isinstance(value, list) else value


def of_one_kind(levels: Sequence[Any]) -> bool:
    """All numbers, all truth values or all texts, nulls apart: what a column of a file can hold as it is, whole numbers
    of 64 bits and, beside others, those that a float holds exactly."""
    kinds = {type(value) for value in levels if value is not None}
    if kinds <= {int, float}:
        most = 2**63 if kinds <= {int} else 2**53
        return all(-most <= value < most for value in levels if type(value) is int)
    return kinds in ({bool}, {str})
