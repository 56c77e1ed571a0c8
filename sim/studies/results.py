"""What a study measured, one row a number: picked out by level, by factor and by cell; read and written as Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files.arrow_columns import arrow_column, arrow_kind
from sim.files.atomic import replacing
from sim.preferences import FloatArray, IntArray
from sim.studies.columns import CODED, Column, FileColumns, Levels, Numbers, Values, of_one_kind

COLUMNS = ("cell_id", "replicate", "method", "metric", "value", "seed_key", "wall_s", "status")
# In the name of a metric that is of one part (`METRIC/of/PART`): the experiment's own table puts parts together, and
# they are shown nowhere else.
PART = "/of/"


class Results:
    """Columns of equal length: the fixed ones (`COLUMNS`) and one a factor of the grid; a view, never changed.

    A value is None where nothing was measured (a skipped cell, a method left out).
    """

    def __init__(
        self, columns: Mapping[str, Sequence[Any]] | _Columns, rows: IntArray | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """rows: which rows of the columns, in order; all of them if None.  settings: what all cells share."""
        self._base = columns if isinstance(columns, _Columns) else _listed(columns)
        if settings is not None:
            self._base.settings = dict(settings)
        self._rows = np.arange(self._base.length) if rows is None else rows
        self._index: dict[Any, Results] | None = None

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]], settings: Mapping[str, Any] | None = None) -> Results:
        listed = list(rows)
        names = dict.fromkeys(name for row in listed for name in row)
        return cls({name: [row.get(name) for row in listed] for name in names}, settings=settings)

    @classmethod
    def read(cls, path: str | Path, settings: Mapping[str, Any] | None = None) -> Results:
        """The rows of a results file; a column is read when it is first asked for.  settings: of study.json."""
        import pyarrow as pa

        fix = "run `pluralign study` again"
        try:
            columns = FileColumns(Path(path))
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            raise InputError("cannot be read as a study's results", file=path, fix=fix) from error
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise InputError("missing column", file=path, field=missing[0], fix=fix)
        return cls(_Columns(columns, columns.length), settings=settings)

    def to_arrow(self) -> Any:
        """A pyarrow.Table: the fixed columns, then one a factor (lists, and levels of several kinds, as JSON)."""
        import pyarrow as pa

        columns = {name: self[name] for name in (*COLUMNS, *self.factors)}
        coded = [name for name in self.factors if not of_one_kind(columns[name])]
        for name in coded:
            columns[name] = [None if value is None else json.dumps(value) for value in columns[name]]
        types = {"replicate": pa.int64(), "value": pa.float64(), "wall_s": pa.float64()}
        table = pa.table(
            {name: arrow_column(values, types.get(name) or arrow_kind(values)) for name, values in columns.items()}
        )
        return table.replace_schema_metadata({CODED: json.dumps(coded).encode()})

    def write(self, path: str | Path) -> None:
        """Long Parquet, written whole: `to_arrow`."""
        import pyarrow.parquet as pq

        with replacing(path) as temporary:
            pq.write_table(self.to_arrow(), temporary)

    @property
    def factors(self) -> tuple[str, ...]:
        """The columns that are not of every study."""
        return tuple(name for name in self._base.columns if name not in COLUMNS)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What all cells share, by the names of the experiment's setting; empty where it is not known."""
        return self._base.settings

    @property
    def replicates(self) -> int:
        """How many seeds there are."""
        codes = self._base.codes("replicate")[self._rows]
        return len(np.unique(codes))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> list[Any]:
        return self._base.columns[name].take(self._rows)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each row as a mapping."""
        for row in self._rows:
            yield {name: column[row] for name, column in self._base.columns.items()}

    def where(self, **levels: Any) -> Results:
        """The rows with these levels; None is without effect for a factor the study does not vary, or that has no such
        level."""
        rows = self._rows
        for name, level in levels.items():
            varied = name in self._base.columns and self._base.code(name, None) >= 0
            if level is not None or varied:
                rows = rows[self._base.codes(name)[rows] == self._base.code(name, level)]
        return Results(self._base, rows)

    def measured(self) -> Results:
        """The rows with a value."""
        return Results(self._base, self._rows[~np.isnan(self._base.values[self._rows])])

    def wholes(self) -> Results:
        """The rows that are not of one part."""
        codes = self._base.codes("metric")[self._rows]
        parts = [
            code for name in self.by("metric") if PART in (name or "") for code in [self._base.code("metric", name)]
        ]
        return Results(self._base, self._rows[~np.isin(codes, parts)])

    def values(self) -> FloatArray:
        """The measured values in the order of rows (within a cell: of replicates)."""
        found = self._base.values[self._rows]
        return found[~np.isnan(found)]

    def replicate_means(self) -> FloatArray:
        """One number a replicate, in the order of first appearance: the mean of what it measured in these rows.
        Rows of one replicate share their draws, also in several cells, and count once for what a mean is worth.

        Of several cells it is the mean over cells, of the replicates that all of them have: else a cell would weigh by
        how many replicates it happened to get (one failed, or it ended at its target error).
        """
        own = self.measured()
        values = own.values()
        if "replicate" not in self._base.columns:
            return values
        _, first, group = np.unique(self._base.codes("replicate")[own._rows], return_index=True, return_inverse=True)
        cells, cell = np.unique(self._base.codes("cell_id")[own._rows], return_inverse=True)
        if len(first) == len(values) and len(cells) < 2:
            return values
        shape = (len(first), len(cells))
        place = group * shape[1] + cell
        count = np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)
        total = np.bincount(place, weights=values, minlength=shape[0] * shape[1]).reshape(shape)
        order = np.argsort(first)
        order = order[count.min(axis=1)[order] > 0]
        return np.asarray((total[order] / count[order]).mean(axis=1), dtype=np.float64)

    def levels(self, name: str) -> list[Any]:
        """The levels of a factor, sorted; none if the study does not vary it."""
        return sorted(level for level in self.by(name) if level is not None)

    def by(self, *names: str) -> dict[Any, Results]:
        """The rows by level (of several factors: by a tuple of levels), in the order of first appearance."""
        if not set(names) <= set(self._base.columns):
            return {}
        group = np.zeros(len(self._rows), dtype=np.int64)
        for name in names:
            codes = self._base.codes(name)
            group = group * (int(codes.max(initial=0)) + 1) + codes[self._rows]
        _, first, group = np.unique(group, return_index=True, return_inverse=True)
        # A stable sort by group keeps the rows of each in order.
        parts = np.split(self._rows[np.argsort(group, kind="stable")], np.cumsum(np.bincount(group))[:-1])
        found: dict[Any, Results] = {}
        for place in np.argsort(first):
            key = tuple(self._base.columns[name][self._rows[first[place]]] for name in names)
            found[key[0] if len(names) == 1 else key] = Results(self._base, parts[place])
        return found

    def means(self, *factors: str, on: Results | None = None) -> FloatArray:
        """Means over cells of their means, on the grid of the factors' levels; nan where nothing was measured.

        on: whose levels they are (these rows' own if None): a level where everything failed is in no row of a method.
        """
        grids = [(self if on is None else on).levels(factor) for factor in factors]
        out = np.full([len(grid) for grid in grids], np.nan)
        for key, own in self.measured().by(*factors).items():
            levels = key if len(factors) > 1 else (key,)
            if None in levels:
                continue
            out[tuple(grid.index(level) for grid, level in zip(grids, levels, strict=True))] = np.mean(
                [cell.values().mean() for cell in own.by("cell_id").values()] or own.values()
            )
        return out

    def cells(self, **levels: Any) -> list[str]:
        """The ids of the measured cells with these levels, in the study's order."""
        return list(self.where(**levels).measured().by("cell_id"))

    def at(self, cell: str, method: str, metric: str) -> Results:
        """The rows with a value of one cell, or none."""
        if self._index is None:
            self._index = self.measured().by("cell_id", "method", "metric")
        found = self._index.get((cell, method, metric))
        return Results(self._base, self._rows[:0]) if found is None else found

    def of(self, cell: str, method: str, metric: str) -> FloatArray:
        """The values of one cell in the order of replicates, or none."""
        return self.at(cell, method, metric).values()

    def paired(self, *wanted: tuple[str, str, str]) -> FloatArray:
        """(len(wanted), replicates): a row a (cell, method, metric), a column a replicate, of those alone that all of
        them measured, sorted. Cells have unequally many where a replicate failed or cells end at a target error."""
        means = [self.at(*one).by_replicate() for one in wanted]
        common = sorted(set.intersection(*(set(own) for own in means))) if means else []
        return np.array([[own[r] for r in common] for own in means], dtype=np.float64).reshape(len(means), len(common))

    def by_replicate(self) -> dict[Any, float]:
        """replicate -> its number; of rows of one cell."""
        own = self.measured()
        return dict(zip(dict.fromkeys(own["replicate"]), own.replicate_means().tolist(), strict=True))

    def seconds(self, cell: str, method: str) -> float:
        """Median over replicates: compilation happens in the first ones."""
        return float(np.median(self.where(cell_id=cell, method=method).measured()["wall_s"]))

    def with_columns(self, **columns: Sequence[Any]) -> Results:
        """These rows with other columns beside, or in place of, theirs; one entry a row."""
        return Results({**{name: self[name] for name in self._base.columns}, **columns}, settings=self.settings)


def _listed(columns: Mapping[str, Sequence[Any]]) -> _Columns:
    lengths = [len(column) for column in columns.values()]
    return _Columns({name: Values(column) for name, column in columns.items()}, (lengths or [0])[0])


def _nothing(length: int) -> Levels:
    return Levels([None], np.zeros(length, dtype=np.int64))


class _Columns:
    """Columns with what picking rows needs, computed once and shared by all views."""

    def __init__(self, columns: Mapping[str, Column], length: int) -> None:
        self.columns, self.length = columns, length
        self.settings: dict[str, Any] = {}
        self._levels: dict[str, dict[Any, int]] = {}
        self._codes: dict[str, IntArray] = {}

    @cached_property
    def values(self) -> FloatArray:
        column = self.columns.get("value")
        if isinstance(column, Numbers):
            return np.asarray(column.values, dtype=np.float64)
        everything = [] if column is None else column.take(np.arange(self.length))
        return np.array([np.nan if v is None else v for v in everything], dtype=np.float64)

    def codes(self, name: str) -> IntArray:
        """A number a row, equal where levels are; a column that is not there has no levels."""
        if name not in self._codes:
            column = self.columns[name] if name in self.columns else _nothing(self.length)
            if isinstance(column, Numbers) and column.values.dtype.kind == "i":
                found, codes = np.unique(column.values, return_inverse=True)
                column = Levels(found.tolist(), codes)
            if isinstance(column, Levels):
                self._codes[name] = column.codes
                self._levels[name] = {level: code for code, level in enumerate(column.levels)}
            else:
                levels: dict[Any, int] = {}
                everything = column.take(np.arange(self.length))
                self._codes[name] = np.array([levels.setdefault(v, len(levels)) for v in everything], dtype=np.int64)
                self._levels[name] = levels
        return self._codes[name]

    def code(self, name: str, level: Any) -> int:
        """-1: no row has it."""
        self.codes(name)
        return self._levels[name].get(level, -1)
