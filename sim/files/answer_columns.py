"""Pairwise answers read by columns: some hundred times as fast as row by row, and the same table.

A pass over columns only finds that something is not as it should be, or of a form that it does not read. It then
gives up, and the pass over rows (`sim.files.preference_files`) reads the same files again: it says what is wrong, in
which row and field, or reads the rarer form. What this pass returns is what that one would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files.answer_sources import (
    ANNOTATOR_NAMES_KEY,
    NAMES_KEY,
    Part,
    cell_name,
    delimiter_of,
    names_in,
    opened,
)
from sim.files.file_rows import number_name
from sim.files.item_features import LARGEST, ROUNDING
from sim.files.pair_table import SPLITS, PairTable
from sim.preferences import FloatArray, IntArray
from sim.reading import bounded_bytes

# Rows that are in memory as Arrow's columns at a time, of files that can be read in pieces.
_BATCH = 1 << 17
_OPTIONAL = (
    "weight", "split", "group_id", "tie", "strength", "chosen_features", "rejected_features", "annotator_features",
)  # fmt: skip
# Heaviest and lightest weight of an answer.
WEIGHTS = (1e-6, 1e6)


class _Rarer(Exception):
    """Something is wrong, or of a form that only the pass over rows reads."""


def _require(condition: object) -> None:
    if not condition:
        raise _Rarer


def table_of_columns(
    parts: Sequence[Part], resolve: Callable[[set[str]], dict[str, str]], source: str
) -> PairTable | None:
    """The answers of these files, or None where only the pass over rows can say.

    resolve: columns that are there -> ours -> the files', for the required ones (`prompt` may be missing).
    """
    import pyarrow as pa

    try:
        reading = _Reading()
        for part in parts:
            for batch in _batches(part, resolve):
                reading.add(batch, in_cells=part.kind == "csv")
        return reading.table(source)
    except (_Rarer, InputError, pa.ArrowException, OSError, OverflowError):
        return None


def table_of_arrow(table: Any, resolve: Callable[[set[str]], dict[str, str]], source: str) -> PairTable | None:
    """The same for an Arrow table in memory."""
    import pyarrow as pa

    try:
        reading = _Reading()
        for batch in _pieces(table, resolve):
            reading.add(batch, in_cells=False)
        return reading.table(source)
    except (_Rarer, InputError, pa.ArrowException, OverflowError):
        return None


@dataclass(frozen=True, eq=False)
class _Batch:
    """columns: Arrow arrays by our names.  names, told: of features, as the schema keeps them."""

    columns: dict[str, Any]
    names: tuple[str, ...] | None
    told: tuple[str, ...] | None


def _wanted(present: Sequence[str], resolve: Callable[[set[str]], dict[str, str]]) -> dict[str, str]:
    """Ours -> the file's, of all columns that are read."""
    _require(len(set(present)) == len(present))
    return {**resolve(set(present)), **{name: name for name in _OPTIONAL if name in present}}


def _batch(batch: Any, wanted: dict[str, str], metadata: Any) -> _Batch:
    columns = {ours: batch.column(name) for ours, name in wanted.items()}
    named = (names_in(metadata, key, "schema") for key in (NAMES_KEY, ANNOTATOR_NAMES_KEY))
    return _Batch(columns, *named)


def _pieces(table: Any, resolve: Callable[[set[str]], dict[str, str]]) -> Iterator[_Batch]:
    wanted = _wanted(table.column_names, resolve)
    for batch in table.select(list(dict.fromkeys(wanted.values()))).to_batches(_BATCH):
        yield _batch(batch, wanted, table.schema.metadata)


def _batches(part: Part, resolve: Callable[[set[str]], dict[str, str]]) -> Iterator[_Batch]:
    """Record batches of the wanted columns of a file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if part.kind == "parquet":
        file = pq.ParquetFile(part.path)
        wanted = _wanted(file.schema_arrow.names, resolve)
        for batch in file.iter_batches(batch_size=_BATCH, columns=list(dict.fromkeys(wanted.values()))):
            yield _batch(batch, wanted, file.schema_arrow.metadata)
    elif part.kind == "arrow":
        with pa.memory_map(str(part.path)) as mapped:
            stream = pa.ipc.open_stream(mapped)
            wanted = _wanted(stream.schema.names, resolve)
            for batch in stream:
                yield _batch(batch, wanted, stream.schema.metadata)
    else:
        yield from _pieces(_json_table(part) if part.kind == "jsonl" else _csv_table(part), resolve)


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

    with opened(part) as text:
        header = text.readline(1 << 20)
    separator = delimiter_of(header)
    names = [name.strip().strip('"') for name in header.rstrip("\r\n").split(separator)]
    _require(len(set(names)) == len(names) and all(names))
    # Lists in cells, truth values and counts: few files have them, and rows are read well enough.
    _require(not set(names) & {"tie", "strength", "chosen_features", "rejected_features", "annotator_features"})
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


@dataclass(eq=False)
class _Codes:
    """Distinct values in the order they are met, and the number of each."""

    numbers: dict[Any, int] = field(default_factory=dict)

    def of(self, array: Any, name: Any = None) -> IntArray:
        """(n,) numbers of an Arrow array's values, -1 where there is none; name: value -> what it counts as."""
        import pyarrow as pa

        if pa.types.is_string_view(array.type):
            array = array.cast(pa.large_string())
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        values = array.dictionary.to_pylist()
        if name is not None:
            values = [None if value is None else name(value) for value in values]
        numbers = self.numbers
        own = np.array(
            [-1 if value is None else numbers.setdefault(value, len(numbers)) for value in values] or [-1],
            dtype=np.int64,
        )  # fmt: skip
        places = array.indices
        if places.null_count:
            own, places = np.append(own, -1), places.fill_null(len(own))
        return np.asarray(own[places.to_numpy(zero_copy_only=False)], dtype=np.int64)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_whole(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind.value_type if pa.types.is_dictionary(kind) else kind))


def _person(value: Any) -> str:
    """As the pass over rows names her; empty texts and numbers that are none are for it to refuse."""
    _require(value != "" and value == value and value not in (np.inf, -np.inf))
    return value if isinstance(value, str) else number_name(value)


def _cell_person(value: str) -> str:
    _require(value != "")
    return cell_name(value)


def _vectors(array: Any) -> tuple[FloatArray, tuple[str, ...] | None]:
    """((n, d), names) of a column of lists of numbers, or of objects name -> number."""
    import pyarrow as pa

    _require(array.null_count == 0)
    kind = array.type
    if pa.types.is_struct(kind):
        fields = [array.field(j) for j in range(kind.num_fields)]
        _require(fields and all(_is_number(part.type) and part.null_count == 0 for part in fields))
        found = np.column_stack([part.to_numpy(zero_copy_only=False) for part in fields]).astype(np.float64)
        names: tuple[str, ...] | None = tuple(kind.field(j).name for j in range(kind.num_fields))
    else:
        _require(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
        flat = array.flatten()
        _require(_is_number(flat.type) and flat.null_count == 0 and len(array))
        if not pa.types.is_fixed_size_list(kind):
            ends = array.offsets.to_numpy()
            sizes = np.diff(ends)
            _require(sizes[0] > 0 and (sizes == sizes[0]).all())
        found = flat.to_numpy(zero_copy_only=False).astype(np.float64, copy=False).reshape(len(array), -1)
        names = None
    # NaN fails both.
    _require(found.size and (found >= -LARGEST).all() and (found <= LARGEST).all())
    return found, names


@dataclass(eq=False)
class _Features:
    """The vector of each item, as it came first. names: where they have any."""

    rows: FloatArray | None = None
    known: Any = None
    names: tuple[str, ...] | None = None

    def add(self, numbers: IntArray, vectors: FloatArray, names: tuple[str, ...] | None) -> None:
        """Vectors (m, d) of the items `numbers` (m,), in the order a reader meets them."""
        if self.rows is None:
            self.rows, self.known, self.names = np.empty((0, vectors.shape[1])), np.zeros(0, dtype=np.bool_), names
        _require(vectors.shape[1] == self.rows.shape[1] and names == self.names)
        most = int(numbers.max()) + 1
        if most > len(self.known):
            size = max(most, 2 * len(self.known))
            grown = np.empty((size, self.rows.shape[1]))
            grown[: len(self.rows)] = self.rows
            self.rows, self.known = grown, np.concatenate([self.known, np.zeros(size - len(self.known), np.bool_)])
        new = np.flatnonzero(~self.known[numbers])[::-1]
        # Backwards, so that the first of several stays.
        self.rows[numbers[new]] = vectors[new]
        self.known[numbers[new]] = True
        own = self.rows[numbers]
        if not (own == vectors).all():
            _require((np.abs(own - vectors) <= ROUNDING * np.maximum(np.abs(own), np.abs(vectors))).all())


@dataclass(eq=False)
class _Reading:
    """What has been read so far, one entry a batch."""

    items: _Codes = field(default_factory=_Codes)
    people: _Codes = field(default_factory=_Codes)
    prompts: _Codes = field(default_factory=_Codes)
    groups: _Codes = field(default_factory=_Codes)
    features: _Features = field(default_factory=_Features)
    told: _Features = field(default_factory=_Features)
    held: dict[str, list[Any]] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    schema_names: tuple[str, ...] | None = None
    schema_told: tuple[str, ...] | None = None
    batches: int = 0

    def _hold(self, name: str, values: Any) -> None:
        self.held.setdefault(name, []).append(values)

    def add(self, batch: _Batch, *, in_cells: bool) -> None:
        """in_cells: whether numbers are texts, as in CSV."""
        columns = batch.columns
        n = len(columns["chosen"])
        if not n:
            return
        _require(not self.batches or (self.schema_names, self.schema_told) == (batch.names, batch.told))
        self.schema_names, self.schema_told = batch.names, batch.told
        self.batches += 1
        self._hold("items", self._items(columns))
        person = columns["annotator_id"]
        _require(_is_text(person.type) or _is_number(person.type))
        annotator = self.people.of(person, _cell_person if in_cells else _person)
        _require((annotator >= 0).all())
        self._hold("annotator", annotator)
        self._prompt(columns.get("prompt"), n)
        self._further(columns, annotator)

    def _items(self, columns: dict[str, Any]) -> IntArray:
        """(2 n,) numbers, chosen and rejected in turn."""
        first, second = columns["chosen"], columns["rejected"]
        _require(first.type == second.type or (_is_text(first.type) and _is_text(second.type)))
        _require(first.null_count == 0 and second.null_count == 0)
        given = [columns.get(f"{side}_features") for side in ("chosen", "rejected")]
        if _is_text(first.type) or _is_whole(first.type):
            self.kinds.add("text" if _is_text(first.type) else "number")
            numbers = np.empty(2 * len(first), dtype=np.int64)
            numbers[0::2], numbers[1::2] = self.items.of(first), self.items.of(second)
            if any(part is not None and part.null_count < len(part) for part in given):
                _require(all(part is not None for part in given))
                self._vectors(numbers, given)
                self.kinds.add("with features")
            else:
                self.kinds.add("without features")
        else:
            self.kinds.add("vector")
            numbers = self._of_vectors([first, second])
        # One kind in a file.
        _require(len(self.kinds & {"text", "number", "vector"}) == 1)
        _require(len(self.kinds & {"with features", "without features"}) <= 1)
        _require((numbers[0::2] != numbers[1::2]).all())
        return numbers

    def _vectors(self, numbers: IntArray, sides: Sequence[Any]) -> None:
        (chosen, names), (rejected, other) = (_vectors(part) for part in sides)
        _require(chosen.shape == rejected.shape and names == other)
        both = np.empty((2 * len(chosen), chosen.shape[1]))
        both[0::2], both[1::2] = chosen, rejected
        self.features.add(numbers, both, names)

    def _of_vectors(self, sides: Sequence[Any]) -> IntArray:
        """Items that are lists of numbers: equal lists are one item."""
        (chosen, names), (rejected, _) = (_vectors(part) for part in sides)
        _require(names is None and chosen.shape == rejected.shape)
        both = np.empty((2 * len(chosen), chosen.shape[1]))
        both[0::2], both[1::2] = chosen, rejected
        both += 0.0  # -0. and 0. are equal numbers
        rows = both.view(np.dtype((np.void, both.dtype.itemsize * both.shape[1]))).ravel().tolist()
        known = self.items.numbers
        numbers = np.array([known.setdefault(row, len(known)) for row in rows], dtype=np.int64)
        self.features.add(numbers, both, None)
        return numbers

    def _prompt(self, column: Any, n: int) -> None:
        if column is None:
            self._hold("prompt", np.full(n, self.prompts.numbers.setdefault("", len(self.prompts.numbers))))
            return
        _require(_is_text(column.type) or _is_whole(column.type))
        numbers = self.prompts.of(column, str)
        if (numbers < 0).any():
            # No prompt is the empty one; its place among the others is the pass over rows' to find.
            _require((numbers < 0).all())
            numbers = np.full(n, self.prompts.numbers.setdefault("", len(self.prompts.numbers)))
        self._hold("prompt", numbers)

    def _further(self, columns: dict[str, Any], annotator: IntArray) -> None:
        """Weights, splits, groups, ties, strengths, and what is known of annotators."""
        import pyarrow as pa

        if (weight := columns.get("weight")) is not None:
            _require(_is_number(weight.type) and weight.null_count == 0)
            found = weight.to_numpy(zero_copy_only=False).astype(np.float64)
            _require(((found >= WEIGHTS[0]) & (found <= WEIGHTS[1])).all())
            self._hold("weight", found)
        if (split := columns.get("split")) is not None:
            _require(_is_text(split.type) and split.null_count == 0)
            codes = _Codes({name: place for place, name in enumerate(SPLITS)})
            found = codes.of(split)
            _require(len(codes.numbers) == len(SPLITS))
            self._hold("split", found)
        if (group := columns.get("group_id")) is not None and group.null_count < len(group):
            _require(_is_text(group.type) or pa.types.is_integer(group.type))
            self._hold("group", (annotator, self.groups.of(group, str)))
        if (tie := columns.get("tie")) is not None and tie.null_count < len(tie):
            _require(pa.types.is_boolean(tie.type))
            self._hold("tie", tie.fill_null(False).to_numpy(zero_copy_only=False))
        if (strength := columns.get("strength")) is not None and strength.null_count < len(strength):
            _require(pa.types.is_integer(strength.type) and strength.null_count == 0)
            found = strength.to_numpy(zero_copy_only=False).astype(np.int64)
            _require((found >= 1).all())
            self._hold("strength", found)
        if (told := columns.get("annotator_features")) is not None and told.null_count < len(told):
            filled = told.is_valid().to_numpy(zero_copy_only=False)
            vectors, names = _vectors(told.drop_null())
            self.told.add(annotator[filled], vectors, names)

    def _whole(self, name: str) -> Any:
        """All batches of a column that is in every batch or in none."""
        parts = self.held.get(name)
        if parts is None:
            return None
        _require(len(parts) == self.batches)
        return np.concatenate(parts)

    def table(self, source: str) -> PairTable:
        _require(self.batches)
        numbers, order = _by_first(self._whole("items"), len(self.items.numbers))
        labels = list(self.items.numbers)
        vectors = "vector" in self.kinds
        features, names = self._matrix(self.features, order, self.schema_names, "feature {}")
        annotator = self._whole("annotator")
        n_people = len(self.people.numbers)
        told, told_names = self._matrix(
            self.told, np.arange(n_people), self.schema_told, "annotator feature {}"
        )  # fmt: skip
        split = self._whole("split")
        _require(split is None or _sound(split, annotator, n_people))
        return PairTable(
            items=tuple(f"item {k + 1}" if vectors else str(labels[j]) for k, j in enumerate(order.tolist())),
            features=features,
            feature_names=names,
            prompts=tuple(self.prompts.numbers),
            prompt=self._whole("prompt"),
            chosen=np.ascontiguousarray(numbers[0::2]),
            rejected=np.ascontiguousarray(numbers[1::2]),
            annotators=tuple(self.people.numbers),
            annotator=annotator,
            weights=self._whole("weight"),
            split=split,
            group=self._group(n_people),
            annotator_features=told,
            annotator_feature_names=told_names,
            tie=self._tie(len(annotator)),
            strength=self._whole("strength"),
            kind="vector" if vectors else "number" if "number" in self.kinds else "text",
            source=source,
        )

    def _tie(self, n: int) -> Any:
        parts = self.held.get("tie")
        if parts is None:
            return None
        found = np.concatenate(parts)
        _require(len(found) == n)
        return found if found.any() else None

    def _matrix(
        self, found: _Features, order: IntArray, named: tuple[str, ...] | None, pattern: str
    ) -> tuple[FloatArray | None, tuple[str, ...]]:
        if found.rows is None:
            return None, (named or ()) if found is self.features else ()
        _require(len(found.known) > order.max(initial=-1) and found.known[order].all())
        matrix = found.rows[order]
        names = found.names or named or tuple(pattern.format(j + 1) for j in range(matrix.shape[1]))
        _require(len(names) == matrix.shape[1])
        _require(found.names is None or named is None or found.names == named)
        return matrix, names

    def _group(self, n_people: int) -> tuple[str, ...] | None:
        parts = self.held.get("group")
        if parts is None:
            return None
        annotator, code = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        annotator, code = annotator[code >= 0], code[code >= 0]
        own = np.full(n_people, -1)
        own[annotator] = code
        _require((own[annotator] == code).all())
        labels = list(self.groups.numbers)
        return tuple("" if place < 0 else labels[place] for place in own.tolist())


def _sound(split: IntArray, annotator: IntArray, n_people: int) -> bool:
    """Whether somebody trains, people of `unseen` are nowhere else, and those of `test` are in `train`."""
    here = np.zeros((len(SPLITS), n_people), dtype=np.bool_)
    here[split, annotator] = True
    train, test, unseen = here
    return bool(train.any() and not ((train | test) & unseen).any() and not (test & ~train).any())


def _by_first(numbers: IntArray, n: int) -> tuple[IntArray, IntArray]:
    """(numbers as they would be if given in the order of first appearance, the old number of each new one)."""
    first = np.full(n, len(numbers), dtype=np.int64)
    # Backwards, so that the earliest place stays.
    first[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)
    order = np.argsort(first, kind="stable")
    new = np.empty(n, dtype=np.int64)
    new[order] = np.arange(n)
    return new[numbers], order
