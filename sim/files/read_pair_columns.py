"""Pairwise answers in Arrow's columns: what `sim.files.preference_files` makes of the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.files.answer_cells import STRENGTHS
from sim.files.arrow_batches import Batch
from sim.files.arrow_values import equal, is_text, require, vectors
from sim.files.item_columns import ItemColumns, by_first, item_vectors
from sim.files.pair_table import OF_WEIGHT_ZERO, SAME_ANSWERS, PairTable
from sim.files.person_columns import (
    PersonColumns,
    column_splits,
    column_weights,
    filtered,
    is_sound_split,
    may_hold_messages,
)
from sim.preferences import FloatArray, IntArray


class PairColumns:
    """Pairs so far.  by_prompt: an item is an answer to one prompt."""

    def __init__(self, by_prompt: bool) -> None:
        self._items, self._own = ItemColumns(by_prompt), PersonColumns()

    def add(self, batch: Batch, *, in_cells: bool) -> None:
        """in_cells: whether numbers are texts, as in CSV."""
        columns = self._telling(batch.columns)
        n = len(columns["chosen"])
        if not n:
            return
        if in_cells:
            # Messages in a cell are for the pass over rows.
            require(not any(may_hold_messages(columns[name]) for name in ("prompt", "chosen") if name in columns))
        own = self._own
        own.begin(batch)
        prompt = own.prompt_of(columns.get("prompt"), n)
        own.hold("prompt", prompt)
        own.hold("items", self._numbers(columns, np.repeat(prompt, 2)))
        own.add_person(columns, in_cells=in_cells)
        if (split := columns.get("split")) is not None:
            own.hold("split", column_splits(split))
        if (weight := columns.get("weight")) is not None:
            own.hold("weight", column_weights(weight))
        self._ties_and_strengths(columns, n)

    def _telling(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Without rows of weight 0 and rows whose two answers are the same, which are counted."""
        first, second = columns["chosen"], columns["rejected"]
        require(first.type == second.type or (is_text(first.type) and is_text(second.type)))
        require(first.null_count == 0 and second.null_count == 0)
        same, zero = equal(first, second), np.zeros(len(first), dtype=np.bool_)
        if (weight := columns.get("weight")) is not None:
            zero = column_weights(weight) == 0
        self._own.leave({OF_WEIGHT_ZERO: zero, SAME_ANSWERS: same & ~zero})
        dropped = same | zero
        return filtered(columns, ~dropped) if dropped.any() else columns

    def _numbers(self, columns: dict[str, Any], prompt: IntArray) -> IntArray:
        """(2 n,) items, chosen and rejected in turn; prompt: (2 n,)."""
        first, second = columns["chosen"], columns["rejected"]
        items = self._items
        if _is_vector(first):
            (own, names), (other, _) = vectors(first), vectors(second)
            numbers = items.of_vectors(_in_turn(own, other), names)
        else:
            values = np.empty(2 * len(first), dtype=np.int64)
            values[0::2], values[1::2] = items.values(first), items.values(second)
            given = [item_vectors(columns.get(f"{side}_features")) for side in ("chosen", "rejected")]
            both = None
            if any(part is not None for part in given):
                require(given[0] is not None and given[1] is not None)
                (own, names), (other, also) = given  # type: ignore[misc]
                require(names == also)
                both = (_in_turn(own, other), names)
            numbers = items.of(values, prompt, both)
        # Dictionaries may hold one text twice.
        require((numbers[0::2] != numbers[1::2]).all())
        return numbers

    def _ties_and_strengths(self, columns: dict[str, Any], n: int) -> None:
        import pyarrow as pa

        tied = np.zeros(n, dtype=np.bool_)
        if (tie := columns.get("tie")) is not None and tie.null_count < n:
            require(pa.types.is_boolean(tie.type))
            tied = tie.fill_null(False).to_numpy(zero_copy_only=False)
            self._own.hold("tie", tied)
        if (strength := columns.get("strength")) is not None and strength.null_count < n:
            require(pa.types.is_integer(strength.type))
            found = strength.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
            # A tie has no strength, whether a file leaves it empty or not.
            lacking = strength.is_null().to_numpy(zero_copy_only=False)
            low, high = STRENGTHS
            require(((found >= low) & (found <= high))[~lacking].all() and tied[lacking].all())
            self._own.hold("strength", found)

    def table(self, source: str) -> PairTable:
        own = self._own
        require(own.batches)
        numbers, order = by_first(own.whole("items"), len(self._items))
        features, names = self._items.matrix(order, own.names)
        annotator, n_people = own.whole("annotator"), len(own.people.numbers)
        told, told_names = own.known(n_people)
        split = own.whole("split")
        require(split is None or is_sound_split(split, annotator, n_people))
        tie = own.whole("tie")
        return PairTable(
            items=self._items.labels(order, numbers_by_value=True),
            features=features,
            feature_names=names,
            prompts=tuple(own.prompts.numbers),
            prompt=own.whole("prompt"),
            chosen=np.ascontiguousarray(numbers[0::2]),
            rejected=np.ascontiguousarray(numbers[1::2]),
            annotators=own.person_names(),
            annotator=annotator,
            weights=own.whole("weight"),
            split=split,
            group=own.group(n_people),
            annotator_features=told,
            annotator_feature_names=told_names,
            tie=tie if tie is not None and tie.any() else None,
            strength=own.whole("strength"),
            kind=self._items.kind,
            left_out=tuple(own.left_out.items()),
            source=source,
        )


def _is_vector(column: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_nested(column.type))


def _in_turn(first: FloatArray, second: FloatArray) -> FloatArray:
    require(first.shape == second.shape)
    both = np.empty((2 * len(first), first.shape[1]))
    both[0::2], both[1::2] = first, second
    return both
