"""Pairwise answers as Arrow columns, to be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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

    def texts(names: Sequence[str], place: IntArray) -> Any:
        return taken(pa.array(names, pa.string()), place)

    def lists(values: FloatArray, place: IntArray) -> Any:
        rows, width = values.shape
        ends = pa.array(np.arange(0, rows * width + 1, max(width, 1), dtype=np.int32)[: rows + 1])
        return taken(pa.ListArray.from_arrays(ends, pa.array(values.ravel())), place)

    columns: dict[str, Any] = {
        "prompt": texts(table.prompts, table.prompt),
        "chosen": texts(table.items, table.chosen),
        "rejected": texts(table.items, table.rejected),
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
    return pa.table(columns)
