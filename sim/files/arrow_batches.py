"""Files of answers as Arrow record batches of the columns that are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sim.files.answer_checks import KINDS, kind_of_columns
from sim.files.answer_sources import ANNOTATOR_NAMES_KEY, NAMES_KEY, NUMBERS_AND_LISTS, Part, names_in
from sim.files.arrow_json import is_sound, json_cells, json_lines
from sim.files.arrow_values import require
from sim.files.pair_table import AnswerKind
from sim.files.quoted_cells import are_whole
from sim.files.text_files import delimiter_of, opened
from sim.reading import bounded_bytes

# Rows that are in memory as Arrow's columns at a time, of files that can be read in pieces.
BATCH = 1 << 17
# Columns that are there -> ours -> the file's, of those an answer must have.
Resolve: TypeAlias = Callable[[set[str]], dict[str, str]]
_OPTIONAL = ("weight", "split", "group_id", "annotator_features")
_OF_PAIRS = ("tie", "strength", "chosen_features", "rejected_features")
_OF_SETS = ("features",)
# Each says what an answer is.
_SAYING = {"choice", "ranking", "scores", "score"}


@dataclass(frozen=True, eq=False)
class Batch:
    """columns: Arrow arrays by our names.  names, told: of features, as the schema keeps them."""

    kind: AnswerKind
    columns: dict[str, Any]
    names: tuple[str, ...] | None
    told: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class _Wanted:
    """columns: ours -> the file's, of all that are read."""

    kind: AnswerKind
    columns: dict[str, str]

    @property
    def theirs(self) -> list[str]:
        return list(dict.fromkeys(self.columns.values()))


def _wanted(present: Sequence[str], resolve: Resolve) -> _Wanted:
    require(len(set(present)) == len(present))
    found = resolve(set(present))
    kind = kind_of_columns(set(present), "the file")
    own = next((columns for columns, name in KINDS if name == kind), set())
    require(kind == "pairs" or len(_SAYING & set(present)) == 1)
    further = (*_OPTIONAL, *(_OF_PAIRS if kind == "pairs" else _OF_SETS), *sorted(own))
    return _Wanted(kind, {**found, **{name: name for name in further if name in present}})


def _batch(batch: Any, wanted: _Wanted, metadata: Any) -> Batch:
    columns = {ours: batch.column(name) for ours, name in wanted.columns.items()}
    named = (names_in(metadata, key, "schema") for key in (NAMES_KEY, ANNOTATOR_NAMES_KEY))
    return Batch(wanted.kind, columns, *named)


def pieces(table: Any, resolve: Resolve) -> Iterator[Batch]:
    yield from _pieces(table, _wanted(table.column_names, resolve))


def _pieces(table: Any, wanted: _Wanted) -> Iterator[Batch]:
    for batch in table.select(wanted.theirs).to_batches(BATCH):
        yield _batch(batch, wanted, table.schema.metadata)


def batches(part: Part, resolve: Resolve) -> Iterator[Batch]:
    """Record batches of the wanted columns of a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if part.kind == "parquet":
        file = pq.ParquetFile(part.path)
        wanted = _wanted(file.schema_arrow.names, resolve)
        for batch in file.iter_batches(batch_size=BATCH, columns=wanted.theirs):
            yield _batch(batch, wanted, file.schema_arrow.metadata)
    elif part.kind == "arrow":
        with pa.memory_map(str(part.path)) as mapped:
            stream = pa.ipc.open_stream(mapped)
            wanted = _wanted(stream.schema.names, resolve)
            for batch in stream:
                yield _batch(batch, wanted, stream.schema.metadata)
    elif part.kind == "jsonl":
        table = json_lines(part)
        wanted = _wanted(table.column_names, resolve)
        require(all(is_sound(table[name]) for name in wanted.theirs))
        yield from _pieces(table, wanted)
    else:
        table = _csv_table(part)
        wanted = _wanted(table.column_names, resolve)
        yield from _pieces(_parsed(table, wanted), wanted)


def _parsed(table: Any, wanted: _Wanted) -> Any:
    """With the cells of columns that hold numbers, truth values or lists as what JSON says they are."""
    import pyarrow.compute as pc

    for ours, name in wanted.columns.items():
        if ours in NUMBERS_AND_LISTS:
            cells = table[name]
            found = json_cells(name, pc.utf8_lower(cells) if ours == "tie" else cells)
            require(is_sound(found))
            table = table.set_column(table.column_names.index(name), name, found)
    return table


def _csv_table(part: Part) -> Any:
    """Texts in every column but weights: what a cell means is decided as for the pass over rows."""
    import pyarrow as pa
    import pyarrow.csv as pc

    with opened(part.path) as text:
        header = text.readline(1 << 20)
    separator = delimiter_of(header)
    names = [name.strip().strip('"') for name in header.rstrip("\r\n").split(separator)]
    require(len(set(names)) == len(names) and all(names))
    data = bounded_bytes(part.path, part.packed)
    require(are_whole(data, separator))
    return pc.read_csv(
        pa.BufferReader(data),
        read_options=pc.ReadOptions(column_names=names, skip_rows=1, block_size=1 << 24),
        parse_options=pc.ParseOptions(delimiter=separator, newlines_in_values=True, ignore_empty_lines=True),
        convert_options=pc.ConvertOptions(
            column_types={name: pa.large_string() for name in names},
            strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=True,
        ),
    )  # fmt: skip
