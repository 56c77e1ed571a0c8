"""One file of answers read by columns and row by row, and written as its ending says."""

import dataclasses
import gzip
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from sim.files.answer_columns import table_of_columns
from sim.files.answer_sources import parts_of, read_row_set
from sim.files.preference_files import required_columns, table_of_row_set


def by_columns(path):
    return table_of_columns(parts_of(path), lambda present: required_columns(present, path), str(path))


def by_rows(path):
    return table_of_row_set(read_row_set(path), path)


def assert_same(one, other):
    """Every field of two tables, arrays with their types."""
    for field in dataclasses.fields(one):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(first):
            assert_same(first, second)
        elif isinstance(first, np.ndarray):
            assert (first.dtype, first.shape) == (second.dtype, second.shape), field.name
            assert (first == second).all(), field.name
        else:
            assert first == second, field.name


def write(path, rows, cells=()):
    """Rows as the file's ending says.  cells: columns whose lists a comma-separated file holds as JSON; it has no
    others that are lists."""
    name = path.name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=37)
        return path
    if ".csv" in name or ".tsv" in name:
        told = [{k: json.dumps(v) if k in cells and v is not None else v for k, v in row.items()} for row in rows]
        flat = pa.Table.from_pylist([{k: v for k, v in row.items() if not isinstance(v, list | dict)} for row in told])
        sink = io.BytesIO()
        pc.write_csv(flat, sink, pc.WriteOptions(delimiter="\t" if ".tsv" in name else ","))
        raw = sink.getvalue()
    else:
        raw = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if name.endswith(".gz"):
        raw = gzip.compress(raw)
    if name.endswith(".zst"):
        raw = pa.Codec("zstd").compress(raw, asbytes=True)
    path.write_bytes(raw)
    return path
