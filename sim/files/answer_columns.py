"""Pairwise answers read by columns: some hundred times as fast as row by row, and the same table.

A pass over columns only finds that something is not as it should be, or of a form that it does not read. It then
gives up, and the pass over rows (`sim.files.preference_files`) reads the same files again: it says what is wrong, in
which row and field, or reads the rarer form. What this pass returns is what that one would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files.answer_cells import WEIGHTS
from sim.files.answer_sources import Part
from sim.files.arrow_batches import Batch, batches, pieces
from sim.files.arrow_values import (
    Codes,
    FirstVectors,
    Rarer,
    cell_person,
    equal,
    is_number,
    is_text,
    is_whole,
    person_name,
    require,
    vectors,
)
from sim.files.pair_table import OF_WEIGHT_ZERO, SAME_ANSWERS, SPLITS, PairTable
from sim.preferences import FloatArray, IntArray


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
            for batch in batches(part, resolve):
                reading.add(batch, in_cells=part.kind == "csv")
        return reading.table(source)
    except (Rarer, InputError, pa.ArrowException, OSError, OverflowError):
        return None
    finally:
        # Arrow keeps what it has freed, for columns to come; none come.
        pa.default_memory_pool().release_unused()


def table_of_arrow(table: Any, resolve: Callable[[set[str]], dict[str, str]], source: str) -> PairTable | None:
    """The same for an Arrow table in memory."""
    import pyarrow as pa

    try:
        reading = _Reading()
        for batch in pieces(table, resolve):
            reading.add(batch, in_cells=False)
        return reading.table(source)
    except (Rarer, InputError, pa.ArrowException, OverflowError):
        return None


@dataclass(eq=False)
class _Reading:
    """What has been read so far, one entry a batch."""

    items: Codes = field(default_factory=Codes)
    people: Codes = field(default_factory=Codes)
    prompts: Codes = field(default_factory=Codes)
    groups: Codes = field(default_factory=Codes)
    features: FirstVectors = field(default_factory=FirstVectors)
    told: FirstVectors = field(default_factory=FirstVectors)
    held: dict[str, list[Any]] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    schema_names: tuple[str, ...] | None = None
    schema_told: tuple[str, ...] | None = None
    batches: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def _hold(self, name: str, values: Any) -> None:
        self.held.setdefault(name, []).append(values)

    def add(self, batch: Batch, *, in_cells: bool) -> None:
        """in_cells: whether numbers are texts, as in CSV."""
        columns = self._telling(batch.columns)
        n = len(columns["chosen"])
        if not n:
            return
        if in_cells:
            # Messages in a cell are for the pass over rows.
            require(not any(_may_hold_messages(columns[name]) for name in ("prompt", "chosen") if name in columns))
        require(not self.batches or (self.schema_names, self.schema_told) == (batch.names, batch.told))
        self.schema_names, self.schema_told = batch.names, batch.told
        self.batches += 1
        self._hold("items", self._items(columns))
        person = columns["annotator_id"]
        require(is_text(person.type) or is_number(person.type))
        annotator = self.people.of(person, cell_person if in_cells else person_name)
        require((annotator >= 0).all())
        self._hold("annotator", annotator)
        self._prompt(columns.get("prompt"), n)
        self._further(columns, annotator)

    def _telling(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Without rows of weight 0 and rows whose two answers are the same, which are counted in `left_out`."""
        import pyarrow as pa

        first, second = columns["chosen"], columns["rejected"]
        require(first.type == second.type or (is_text(first.type) and is_text(second.type)))
        require(first.null_count == 0 and second.null_count == 0)
        same, zero = equal(first, second), np.zeros(len(first), dtype=np.bool_)
        if (weight := columns.get("weight")) is not None:
            require(is_number(weight.type) and weight.null_count == 0)
            zero = weight.to_numpy(zero_copy_only=False) == 0
        silent = {OF_WEIGHT_ZERO: zero, SAME_ANSWERS: same & ~zero}
        # In the order in which a reader of rows meets them.
        for why, rows in sorted(silent.items(), key=lambda one: int(np.argmax(one[1]))):
            if rows.any():
                self.left_out[why] = self.left_out.get(why, 0) + int(rows.sum())
        dropped = same | zero
        if not dropped.any():
            return columns
        kept = pa.array(~dropped)
        return {name: column.filter(kept) for name, column in columns.items()}

    def _items(self, columns: dict[str, Any]) -> IntArray:
        """(2 n,) numbers, chosen and rejected in turn."""
        first, second = columns["chosen"], columns["rejected"]
        given = [columns.get(f"{side}_features") for side in ("chosen", "rejected")]
        if is_text(first.type) or is_whole(first.type):
            self.kinds.add("text" if is_text(first.type) else "number")
            numbers = np.empty(2 * len(first), dtype=np.int64)
            numbers[0::2], numbers[1::2] = self.items.of(first), self.items.of(second)
            if any(part is not None and part.null_count < len(part) for part in given):
                require(all(part is not None for part in given))
                self._vectors(numbers, given)
                self.kinds.add("with features")
            else:
                self.kinds.add("without features")
        else:
            self.kinds.add("vector")
            numbers = self._of_vectors([first, second])
        # One kind in a file.
        require(len(self.kinds & {"text", "number", "vector"}) == 1)
        require(len(self.kinds & {"with features", "without features"}) <= 1)
        # Dictionaries may hold one text twice.
        require((numbers[0::2] != numbers[1::2]).all())
        return numbers

    def _vectors(self, numbers: IntArray, sides: Sequence[Any]) -> None:
        (chosen, names), (rejected, other) = (vectors(part) for part in sides)
        require(chosen.shape == rejected.shape and names == other)
        both = np.empty((2 * len(chosen), chosen.shape[1]))
        both[0::2], both[1::2] = chosen, rejected
        self.features.add(numbers, both, names)

    def _of_vectors(self, sides: Sequence[Any]) -> IntArray:
        """Items that are lists of numbers: equal lists are one item."""
        (chosen, names), (rejected, _) = (vectors(part) for part in sides)
        require(names is None and chosen.shape == rejected.shape)
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
        require(is_text(column.type) or is_whole(column.type))
        numbers = self.prompts.of(column, str)
        if (numbers < 0).any():
            # No prompt is the empty one; its place among the others is the pass over rows' to find.
            require((numbers < 0).all())
            numbers = np.full(n, self.prompts.numbers.setdefault("", len(self.prompts.numbers)))
        self._hold("prompt", numbers)

    def _further(self, columns: dict[str, Any], annotator: IntArray) -> None:
        """Weights, splits, groups, ties, strengths, and what is known of annotators."""
        import pyarrow as pa

        if (weight := columns.get("weight")) is not None:
            found = weight.to_numpy(zero_copy_only=False).astype(np.float64)
            require(((found >= WEIGHTS[0]) & (found <= WEIGHTS[1])).all())
            self._hold("weight", found)
        if (split := columns.get("split")) is not None:
            require(is_text(split.type) and split.null_count == 0)
            codes = Codes({name: place for place, name in enumerate(SPLITS)})
            found = codes.of(split)
            require(len(codes.numbers) == len(SPLITS))
            self._hold("split", found)
        if (group := columns.get("group_id")) is not None and group.null_count < len(group):
            require(is_text(group.type) or pa.types.is_integer(group.type))
            self._hold("group", (annotator, self.groups.of(group, str)))
        tied = np.zeros(len(annotator), dtype=np.bool_)
        if (tie := columns.get("tie")) is not None and tie.null_count < len(tie):
            require(pa.types.is_boolean(tie.type))
            tied = tie.fill_null(False).to_numpy(zero_copy_only=False)
            self._hold("tie", tied)
        if (strength := columns.get("strength")) is not None and strength.null_count < len(strength):
            require(pa.types.is_integer(strength.type))
            found = strength.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
            # A tie has no strength, whether a file leaves it empty or not.
            lacking = strength.is_null().to_numpy(zero_copy_only=False)
            require((found[~lacking] >= 1).all() and tied[lacking].all())
            self._hold("strength", found)
        if (told := columns.get("annotator_features")) is not None and told.null_count < len(told):
            filled = told.is_valid().to_numpy(zero_copy_only=False)
            found, names = vectors(told.drop_null())
            self.told.add(annotator[filled], found, names)

    def _whole(self, name: str) -> Any:
        """All batches of a column that is in every batch or in none."""
        parts = self.held.get(name)
        if parts is None:
            return None
        require(len(parts) == self.batches)
        return np.concatenate(parts)

    def table(self, source: str) -> PairTable:
        require(self.batches)
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
        require(split is None or _sound(split, annotator, n_people))
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
            left_out=tuple(self.left_out.items()),
            source=source,
        )

    def _tie(self, n: int) -> Any:
        parts = self.held.get("tie")
        if parts is None:
            return None
        found = np.concatenate(parts)
        require(len(found) == n)
        return found if found.any() else None

    def _matrix(
        self, found: FirstVectors, order: IntArray, named: tuple[str, ...] | None, pattern: str
    ) -> tuple[FloatArray | None, tuple[str, ...]]:
        if found.rows is None:
            return None, (named or ()) if found is self.features else ()
        require(len(found.known) > order.max(initial=-1) and found.known[order].all())
        matrix = found.rows[order]
        names = found.names or named or tuple(pattern.format(j + 1) for j in range(matrix.shape[1]))
        require(len(names) == matrix.shape[1])
        require(found.names is None or named is None or found.names == named)
        return matrix, names

    def _group(self, n_people: int) -> tuple[str, ...] | None:
        parts = self.held.get("group")
        if parts is None:
            return None
        annotator, code = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        annotator, code = annotator[code >= 0], code[code >= 0]
        own = np.full(n_people, -1)
        own[annotator] = code
        require((own[annotator] == code).all())
        labels = list(self.groups.numbers)
        return tuple("" if place < 0 else labels[place] for place in own.tolist())


def _may_hold_messages(column: Any) -> bool:
    import pyarrow.compute as pc

    return is_text(column.type) and bool(pc.any(pc.match_substring_regex(column, r"^\s*\[\s*\{")).as_py())


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
