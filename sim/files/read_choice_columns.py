"""Choices, rankings, ratings and grades in Arrow's columns: what `sim.files.choice_rows` makes of the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.files.arrow_batches import Batch
from sim.files.arrow_values import is_number, is_text, require, vectors
from sim.files.item_columns import ItemColumns, by_first, item_vectors
from sim.files.pair_table import OF_WEIGHT_ZERO, AnswerKind, PairTable
from sim.files.person_columns import (
    PersonColumns,
    column_splits,
    column_weights,
    filtered,
    is_sound_split,
    may_hold_messages,
)
from sim.files.set_answers import NO_ORDER, TWICE, SetAnswers
from sim.files.taken_apart import UNRANKED, by_size
from sim.preferences import AnyArray, BoolArray, FloatArray, IntArray

# Beyond these a whole number may not be the float it becomes.
_EXACT = 2.0**53
_SAID = {"choices": "choice", "rankings": "ranking", "ratings": "scores", "grades": "score"}


class ChoiceColumns:
    """Answers of one kind so far.  by_prompt: an item is an answer to one prompt."""

    def __init__(self, kind: AnswerKind, by_prompt: bool) -> None:
        self._kind, self._items, self._own = kind, ItemColumns(by_prompt), PersonColumns()

    def add(self, batch: Batch, *, in_cells: bool) -> None:
        """in_cells: whether numbers are texts, as in CSV."""
        columns, own = batch.columns, self._own
        person = columns["annotator_id"]
        require(person.null_count == 0 and not (is_text(person.type) and _has_empty(person)))
        found = self._answers(columns)
        zero = np.zeros(len(person), dtype=np.bool_)
        if (weight := columns.get("weight")) is not None:
            zero = column_weights(weight) == 0
        if zero.any():
            columns = filtered(columns, ~zero)
            found = self._answers(columns)
        starts, flat, said = found
        n = len(starts) - 1
        # Messages in a cell are for the pass over rows.
        require(not (in_cells and "prompt" in columns and may_hold_messages(columns["prompt"])))
        own.begin(batch)
        prompt = own.prompt_of(columns.get("prompt"), n)
        items = self._numbers(columns, flat, np.repeat(prompt, np.diff(starts)))
        split = self._splits(columns.get("split"), n)
        silent = self._silent(starts, items, said)
        place = np.flatnonzero(~zero)
        own.leave({OF_WEIGHT_ZERO: zero, **{why: _at(place[rows], len(zero)) for why, rows in silent.items()}})
        dropped = silent[TWICE] | silent[NO_ORDER]
        if dropped.any():
            columns = filtered(columns, ~dropped)
            of_items = np.repeat(~dropped, np.diff(starts))
            said = said[of_items if self._is_by_item else ~dropped]
            starts = np.concatenate([[0], np.cumsum(np.diff(starts)[~dropped])])
            items, prompt, split = items[of_items], prompt[~dropped], split[~dropped]
        told = {"sizes": np.diff(starts), "items": items, "said": said, "prompt": prompt, "split": split}
        for name, values in told.items():
            own.hold(name, values)
        weight = columns.get("weight")
        own.hold("weight", np.ones(len(prompt)) if weight is None else column_weights(weight))
        if len(prompt):
            own.add_person(columns, in_cells=in_cells)
        else:
            own.hold("annotator", np.zeros(0, dtype=np.int64))

    @property
    def _is_by_item(self) -> bool:
        """Whether something is said of each response."""
        return self._kind in ("rankings", "ratings")

    def _answers(self, columns: dict[str, Any]) -> tuple[IntArray, Any, AnyArray]:
        """(starts (n + 1,), all responses, what is said of them), each as a reader of rows would accept it."""
        if self._kind == "grades":
            flat = columns["response"]
            starts = np.arange(len(flat) + 1)
        else:
            starts, flat = _lists(columns["responses"])
            require((np.diff(starts) >= (1 if self._kind == "ratings" else 2)).all())
        require(flat.null_count == 0 and not (is_text(flat.type) and _has_empty(flat)))
        said = columns[_SAID[self._kind]]
        if self._is_by_item:
            ends, said = _lists(said)
            require(np.array_equal(ends, starts))
        ranks = self._kind == "rankings"
        numbers = _numbers(said, missing=UNRANKED if ranks else None)
        if self._kind == "choices":
            require(((numbers >= -1) & (numbers < np.diff(starts)) & (numbers == np.floor(numbers))).all())
            return starts, flat, numbers.astype(np.int64)
        if ranks and len(numbers):
            require(((numbers >= 1) & (numbers == np.floor(numbers))).all())
            require((np.minimum.reduceat(numbers, starts[:-1]) < UNRANKED).all())
        return starts, flat, numbers

    def _numbers(self, columns: dict[str, Any], flat: Any, prompt: IntArray) -> IntArray:
        """(m,) items of the responses; prompt: (m,)."""
        import pyarrow as pa

        features = columns.get("features")
        features = None if features is None or features.null_count == len(features) else features
        if pa.types.is_nested(flat.type):
            require(features is None)
            return self._items.of_vectors(*vectors(flat)) if len(flat) else np.zeros(0, dtype=np.int64)
        if features is not None and self._kind != "grades":
            ends, features = _lists(features)
            require(np.array_equal(ends[1:] - ends[:-1], _sizes(columns["responses"])))
        values = self._items.values(flat)
        return self._items.of(values, prompt, item_vectors(features)) if len(flat) else values

    def _splits(self, column: Any, n: int) -> IntArray:
        """(n,) places in SPLITS, -1 where the file has none."""
        if column is None or column.null_count == len(column):
            return np.full(n, -1)
        return column_splits(column)

    def _silent(self, starts: IntArray, items: IntArray, said: AnyArray) -> dict[str, BoolArray]:
        """Which answers offer a response twice, and which of the others order nothing."""
        twice, alike = np.zeros((2, len(starts) - 1), dtype=np.bool_)
        for rows, places in by_size(starts):
            ordered = np.sort(items[places], axis=1)
            twice[rows] = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
            if self._kind == "rankings":
                alike[rows] = (said[places] == said[places[:, :1]]).all(axis=1)
            elif self._kind == "ratings":
                alike[rows] = places.shape[1] < 2
        return {TWICE: twice, NO_ORDER: alike & ~twice}

    def table(self, source: str) -> PairTable:
        own = self._own
        require(own.batches)
        annotator, n_people = own.whole("annotator"), len(own.people.numbers)
        require(len(annotator))
        split = own.whole("split")
        require((split >= 0).all() or (split < 0).all())
        split = split if split[0] >= 0 else None
        require(split is None or is_sound_split(split, annotator, n_people))
        order = np.arange(len(self._items))
        features, names = self._items.matrix(order, own.names)
        told, told_names = own.known(n_people)
        # A prompt of rows that say nothing alone is none of the table's.
        prompt, prompts = by_first(own.whole("prompt"), len(own.prompts.numbers))
        texts = list(own.prompts.numbers)
        return SetAnswers(
            self._kind,
            np.concatenate([[0], np.cumsum(own.whole("sizes"))]),
            own.whole("items"),
            own.whole("said"),
            self._items.labels(order),
            features,
            names,
            tuple(texts[j] for j in prompts[: int(prompt.max()) + 1].tolist()),
            prompt,
            own.person_names(),
            annotator,
            own.whole("weight"),
            split,
            own.group(n_people),
            told,
            told_names,
            tuple(own.left_out.items()),
            self._items.kind,
            "text",
            source,
        ).table()


def _sizes(column: Any) -> IntArray:
    import pyarrow.compute as pc

    found: IntArray = pc.list_value_length(column).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _lists(column: Any) -> tuple[IntArray, Any]:
    """(starts (n + 1,), everything in them) of a column of lists, none of them missing."""
    import pyarrow as pa

    kind = column.type
    require(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
    require(column.null_count == 0)
    return np.concatenate([[0], np.cumsum(_sizes(column))]).astype(np.int64), column.flatten()


def _numbers(column: Any, missing: float | None) -> FloatArray:
    """(n,) finite numbers; missing: what stands for none, or None where there must be one."""
    import pyarrow as pa

    require(is_number(column.type) and (missing is not None or column.null_count == 0))
    found: FloatArray = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    there = column.is_valid().to_numpy(zero_copy_only=False)
    # NaN fails.
    require((np.abs(found[there]) < _EXACT).all())
    return found if missing is None else np.where(there, found, missing)


def _has_empty(column: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    return bool(pc.any(pc.equal(pc.binary_length(column.cast(pa.large_string())), 0)).as_py())


def _at(places: IntArray, n: int) -> BoolArray:
    found = np.zeros(n, dtype=np.bool_)
    found[places] = True
    return found
