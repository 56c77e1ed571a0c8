"""A study's results written as they are read: some thousand rows at a time, whatever their number."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.files.arrow_columns import arrow_column, arrow_kind
from sim.files.atomic import replacing
from sim.files.checksums import forget_checksums
from sim.studies.columns import CODED, of_one_kind
from sim.studies.experiment import Measurement
from sim.studies.results import COLUMNS

# As much is held here, and a million numbers are some hundred row groups.
_ROWS = 1 << 13


class ResultsFile:
    """factors: their levels, in all cells, in order of the grid."""

    def __init__(self, writer: Any, schema: Any, coded: Sequence[str]) -> None:
        self._writer, self._schema, self._coded = writer, schema, frozenset(coded)
        self._columns: dict[str, list[Any]] = {name: [] for name in schema.names}

    def add(
        self, cell_id: str, replicate: int, seed_key: str, rows: Sequence[Measurement], factors: Mapping[str, Any]
    ) -> None:
        """What a replicate measured."""
        same = {"cell_id": cell_id, "replicate": replicate, "seed_key": seed_key}
        for name, value in factors.items():
            same[name] = json.dumps(value) if name in self._coded and value is not None else value
        for name, value in same.items():
            self._columns[name] += [value] * len(rows)
        for name in ("method", "metric", "value", "wall_s", "status"):
            self._columns[name] += [getattr(row, name) for row in rows]
        if len(self._columns["cell_id"]) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        arrays = [arrow_column(self._columns[field.name], field.type) for field in self._schema]
        self._writer.write_table(pa.table(arrays, schema=self._schema))
        for column in self._columns.values():
            column.clear()


@contextmanager
def results_file(path: Path, factors: Mapping[str, Sequence[Any]]) -> Iterator[ResultsFile]:
    """A results file at `path`, whole when the context is left without an error, or not there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    coded = [name for name, levels in factors.items() if not of_one_kind(levels)]
    types = {"replicate": pa.int64(), "value": pa.float64(), "wall_s": pa.float64()}
    fields = [pa.field(name, types.get(name, pa.string())) for name in COLUMNS]
    fields += [pa.field(name, pa.string() if name in coded else arrow_kind(levels)) for name, levels in factors.items()]
    schema = pa.schema(fields, metadata={CODED: json.dumps(coded).encode()})
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        rows = ResultsFile(writer, schema, coded)
        yield rows
        rows.flush()
        forget_checksums(path.parent)
