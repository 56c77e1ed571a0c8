"""Items in Arrow's columns: texts or whole numbers, with vectors beside them or without, or vectors that are items."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.files.arrow_values import Codes, FirstVectors, is_text, is_whole, require, vectors
from sim.files.item_numbers import are_numbers, item_number
from sim.files.pair_table import ItemKind
from sim.preferences import FloatArray, IntArray

_PROMPT_BITS = 32


@dataclass(eq=False)
class ItemColumns:
    """Distinct items so far.  by_prompt: the same text under another prompt is another item."""

    by_prompt: bool = False
    codes: Codes = field(default_factory=Codes)
    features: FirstVectors = field(default_factory=FirstVectors)
    kinds: set[str] = field(default_factory=set)
    # By prompt alone: prompt << 32 | value -> item.
    both: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.both) if self.by_prompt else len(self.codes.numbers)

    def values(self, column: Any) -> IntArray:
        """(n,) numbers of texts or whole numbers, none of them missing."""
        require(is_text(column.type) or is_whole(column.type))
        require(column.null_count == 0)
        self._one_kind("text" if is_text(column.type) else "number")
        return self.codes.of(column)

    def of(
        self, values: IntArray, prompt: IntArray, given: tuple[FloatArray, tuple[str, ...] | None] | None
    ) -> IntArray:
        """(n,) items of these values, in the order of a reader of rows; given: ((n, d), names) their vectors."""
        numbers = self._under(values, prompt) if self.by_prompt else values
        self.kinds.add("without features" if given is None else "with features")
        require(len(self.kinds & {"with features", "without features"}) <= 1)
        if given is not None:
            self.features.add(numbers, *given)
        return numbers

    def of_vectors(self, own: FloatArray, names: tuple[str, ...] | None) -> IntArray:
        """(n,) items that are themselves vectors (n, d): equal ones are one item."""
        require(names is None)
        self._one_kind("vector")
        same = own + 0.0  # -0. and 0. are equal numbers
        rows = same.view(np.dtype((np.void, same.dtype.itemsize * same.shape[1]))).ravel().tolist()
        known = self.codes.numbers
        numbers = np.array([known.setdefault(row, len(known)) for row in rows], dtype=np.int64)
        self.features.add(numbers, own, None)
        return numbers

    def _one_kind(self, kind: str) -> None:
        self.kinds.add(kind)
        require(len(self.kinds & {"text", "number", "vector"}) == 1)

    def _under(self, values: IntArray, prompt: IntArray) -> IntArray:
        require(max(int(values.max(initial=0)), int(prompt.max(initial=0))) < 1 << (_PROMPT_BITS - 1))
        both, first, back = np.unique(prompt << _PROMPT_BITS | values, return_index=True, return_inverse=True)
        known, order = self.both, np.argsort(first)
        own = np.empty(len(both), dtype=np.int64)
        own[order] = [known.setdefault(one, len(known)) for one in both[order].tolist()]
        return np.asarray(own[back.reshape(-1)])

    @property
    def kind(self) -> ItemKind:
        return "vector" if "vector" in self.kinds else "number" if "number" in self.kinds else "text"

    def labels(self, order: IntArray, *, numbers_by_value: bool = False) -> tuple[str, ...]:
        """Of the items `order`.  numbers_by_value: texts that are all numbers are called by their value; where two are
        the same number, the pass over rows makes one item of them."""
        if self.kind == "vector":
            return tuple(f"item {k + 1}" for k in range(len(order)))
        values = list(self.codes.numbers)
        if numbers_by_value and self.kind == "text" and are_numbers(values):
            values = [item_number(value) for value in values]
            require(len(set(values)) == len(values))
        if self.by_prompt:
            low = (1 << _PROMPT_BITS) - 1
            values = [values[one & low] for one in self.both]
        return tuple(str(values[j]) for j in order.tolist())

    def matrix(self, order: IntArray, named: tuple[str, ...] | None) -> tuple[FloatArray | None, tuple[str, ...]]:
        """((n_items, d), names) of the items `order`; named: by the schema."""
        found = self.features.matrix(order, named, "feature {}")
        return (None, named or ()) if found is None else found


def item_vectors(column: Any) -> tuple[FloatArray, tuple[str, ...] | None] | None:
    """The vectors of a column of features; None where it is missing or empty."""
    return None if column is None or column.null_count == len(column) else vectors(column)


def by_first(numbers: IntArray, n: int) -> tuple[IntArray, IntArray]:
    """(numbers as they would be if given in the order of first appearance, the old number of each new one)."""
    first = np.full(n, len(numbers), dtype=np.int64)
    # Backwards, so that the earliest place stays.
    first[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)
    order = np.argsort(first, kind="stable")
    new = np.empty(n, dtype=np.int64)
    new[order] = np.arange(n)
    return new[numbers], order
