"""Files of answers as Arrow record batches of the columns that are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sim.files.answer_sources import ANNOTATOR_NAMES_KEY, NAMES_KEY, Part, names_in
from sim.files.arrow_values import require
from sim.files.text_files import delimiter_of, opened
from sim.reading import bounded_bytes

# Rows that are in memory as Arrow's columns at a time, of files that can be read in pieces.
BATCH = 1 << 17
_OPTIONAL = (
    "weight", "split", "group_id", "tie", "strength", "chosen_features", "rejected_features", "annotator_features",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Batch:
    """columns: Arrow arrays by our names.  names, told: of features, as the schema keeps them."""

    columns: dict[str, Any]
    names: tuple[str, ...] | None
    told: tuple[str, ...] | None


def _wanted(present: Sequence[str], resolve: Callable[[set[str]], dict[str, str]]) -> dict[str, str]:
    """Ours -> the file's, of all columns that are read."""
    require(len(set(present)) == len(present))
    return {**resolve(set(present)), **{name: name for name in _OPTIONAL if name in present}}


def _batch(batch: Any, wanted: dict[str, str], metadata: Any) -> Batch:
    columns = {ours: batch.column(name) for ours, name in wanted.items()}
    named = (names_in(metadata, key, "schema") for key in (NAMES_KEY, ANNOTATOR_NAMES_KEY))
    return Batch(columns, *named)


def pieces(table: Any, resolve: Callable[[set[str]], dict[str, str]]) -> Iterator[Batch]:
    wanted = _wanted(table.column_names, resolve)
    for batch in table.select(list(dict.fromkeys(wanted.values()))).to_batches(BATCH):
        yield _batch(batch, wanted, table.schema.metadata)


def batches(part: Part, resolve: Callable[[set[str]], dict[str, str]]) -> Iterator[Batch]:
    """Record batches of the wanted columns of a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if part.kind == "parquet":
        file = pq.ParquetFile(part.path)
        wanted = _wanted(file.schema_arrow.names, resolve)
        for batch in file.iter_batches(batch_size=BATCH, columns=list(dict.fromkeys(wanted.values()))):
            yield _batch(batch, wanted, file.schema_arrow.metadata)
    elif part.kind == "arrow":
        with pa.memory_map(str(part.path)) as mapped:
            stream = pa.ipc.open_stream(mapped)
            wanted = _wanted(stream.schema.names, resolve)
            for batch in stream:
                yield _batch(batch, wanted, stream.schema.metadata)
    else:
        yield from pieces(_json_table(part) if part.kind == "jsonl" else _csv_table(part), resolve)


def _json_table(part: Part) -> Any:
    import pyarrow as pa
    import pyarrow.json as pj

    options = pj.ReadOptions(block_size=1 << 24)
    if part.packed:
        return pj.read_json(pa.BufferReader(bounded_bytes(part.path, part.packed)), read_options=options)
    with pa.memory_map(str(part.path)) as file:
        return pj.read_json(file, read_options=options)


def _csv_table(part: Part) -> Any:
    """Texts in every column but weights: what a cell means is decided as for the pass over rows."""
    import pyarrow as pa
    import pyarrow.csv as pc

    with opened(part.path) as text:
        header = text.readline(1 << 20)
    separator = delimiter_of(header)
    names = [name.strip().strip('"') for name in header.rstrip("\r\n").split(separator)]
    require(len(set(names)) == len(names) and all(names))
    # Lists in cells, truth values and counts: few files have them, and rows are read well enough.
    require(not set(names) & {"tie", "strength", "chosen_features", "rejected_features", "annotator_features"})
    data = bounded_bytes(part.path, part.packed)
    return pc.read_csv(
        pa.BufferReader(data),
        read_options=pc.ReadOptions(column_names=names, skip_rows=1, block_size=1 << 24),
        parse_options=pc.ParseOptions(delimiter=separator, newlines_in_values=True, ignore_empty_lines=True),
        convert_options=pc.ConvertOptions(
            column_types={name: pa.float64() if name == "weight" else pa.large_string() for name in names},
            strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=True,
        ),
    )  # fmt: skip
