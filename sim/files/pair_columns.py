"""Pairwise answers as Arrow columns and as rows, to be written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files.conversations import RENDERING
from sim.files.pair_table import SPLITS, PairTable
from sim.preferences import FloatArray, IntArray

# Rows whose texts are in one of Arrow's arrays.
_TAKEN = 1 << 14


def columns_of(table: PairTable) -> Any:
    """The answers as an Arrow table, a row an answer; what an item or a person has is taken by its number."""
    import pyarrow as pa

    def taken(values: Any, place: IntArray) -> Any:
        # In pieces: all texts together may be more than one of Arrow's arrays holds.
        pieces = [values.take(pa.array(place[lo : lo + _TAKEN])) for lo in range(0, len(place), _TAKEN)]
        flat = [part for piece in pieces for part in (piece.chunks if isinstance(piece, pa.ChunkedArray) else [piece])]
        return pa.chunked_array(flat, values.type)

    def texts(names: Sequence[str | None], place: IntArray) -> Any:
        return taken(pa.array(names, pa.string()), place)

    def texts_or_messages(names: Sequence[str], place: IntArray, kind: str) -> Any:
        if kind != "conversation":
            return texts(names, place)
        try:
            return taken(pa.array([json.loads(name) for name in names]), place)
        except pa.ArrowException as error:
            problem = "messages of several forms (text and lists of parts) are no column of Parquet"
            raise InputError(problem, fix="write a file ending in .jsonl") from error

    def lists(values: FloatArray, place: IntArray) -> Any:
        rows, width = values.shape
        ends = pa.array(np.arange(0, rows * width + 1, max(width, 1), dtype=np.int32)[: rows + 1])
        return taken(pa.ListArray.from_arrays(ends, pa.array(values.ravel())), place)

    columns: dict[str, Any] = {
        "prompt": texts_or_messages(table.prompts, table.prompt, table.prompt_kind),
        "chosen": texts_or_messages(table.items, table.chosen, table.kind),
        "rejected": texts_or_messages(table.items, table.rejected, table.kind),
        "annotator_id": texts(table.annotators, table.annotator),
    }
    if table.split is not None:
        columns["split"] = texts(SPLITS, table.split)
    if table.weights is not None:
        columns["weight"] = pa.array(table.weights, pa.float64())
    if table.group is not None:
        columns["group_id"] = texts(table.group, table.annotator)
    if table.features is not None:
        columns["chosen_features"] = lists(table.features, table.chosen)
        columns["rejected_features"] = lists(table.features, table.rejected)
    if table.tie is not None:
        columns["tie"] = pa.array(table.tie, pa.bool_())
    if table.strength is not None:
        columns["strength"] = pa.array(table.strength, pa.int64())
    if table.annotator_features is not None:
        columns["annotator_features"] = lists(table.annotator_features, table.annotator)
    if table.rendering is not None:
        told = [json.loads(beside) if beside else {} for beside in table.rendering]
        for name in RENDERING:
            columns[name] = texts([json.dumps(own[name]) if name in own else None for own in told], table.prompt)
    return pa.table(columns)


def _told(label: str, kind: str) -> Any:
    """A text as it is, a conversation as its messages."""
    return json.loads(label) if kind == "conversation" else label


def rows_of(table: PairTable) -> Iterable[dict[str, Any]]:
    """The answers as rows, features as lists."""
    vectors = None if table.features is None else table.features.tolist()
    told = None if table.annotator_features is None else table.annotator_features.tolist()
    for j in range(len(table)):
        row: dict[str, Any] = {
            "prompt": _told(table.prompts[table.prompt[j]], table.prompt_kind),
            "chosen": _told(table.items[table.chosen[j]], table.kind),
            "rejected": _told(table.items[table.rejected[j]], table.kind),
            "annotator_id": table.annotators[table.annotator[j]],
        }
        if table.split is not None:
            row["split"] = SPLITS[table.split[j]]
        if table.weights is not None:
            row["weight"] = float(table.weights[j])
        if table.group is not None:
            row["group_id"] = table.group[table.annotator[j]]
        if vectors is not None:
            row["chosen_features"] = vectors[table.chosen[j]]
            row["rejected_features"] = vectors[table.rejected[j]]
        if table.tie is not None:
            row["tie"] = bool(table.tie[j])
        if table.strength is not None:
            row["strength"] = int(table.strength[j]) or None
        if told is not None:
            row["annotator_features"] = told[table.annotator[j]]
        if table.rendering is not None and (beside := table.rendering[table.prompt[j]]):
            row |= json.loads(beside)
        yield row
