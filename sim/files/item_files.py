"""Items with features, to be scored: Parquet or JSONL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.files.answer_sources import read_row_set
from sim.files.file_rows import read_name
from sim.files.item_features import ItemTable
from sim.preferences import FloatArray


@dataclass(frozen=True, eq=False)
class Items:
    """labels (n_items,); features (n_items, d) in the file's units, or None where it has none; names (d,)."""

    labels: tuple[str, ...]
    features: FloatArray | None
    feature_names: tuple[str, ...]


def read_items(path: str | Path) -> Items:
    """Rows with `item` (a name) and `features` (a list of numbers, or an object name -> number); the same item once.

    Errors: InputError with file, row and field.
    """
    found = read_row_set(path)
    return items_of_rows(found.rows, path, found.names, found.where)


def items_of_rows(
    rows: Sequence[Mapping[str, Any]],
    source: str | Path,
    names: tuple[str, ...] | None = None,
    place: Callable[[int], Mapping[str, Any]] | None = None,
) -> Items:
    """The same checks for rows that are in memory; `source` is what messages name, `names` those of the features;
    place: where each row is found, None for its number in `source`."""
    if not rows:
        raise InputError("no row", file=source, fix="write one item a row")
    table = ItemTable(names)
    find = place or (lambda number: {"file": source, "row": number + 1})
    for number, row in enumerate(rows):
        where: dict[str, Any] = {**find(number), "field": "item"}
        if "item" not in row:
            raise InputError("missing", fix="give each item a name", **where)
        table.add(read_name(row["item"], where, "item"), row.get("features"), where, "features")
    features, found = table.matrix(source)
    return Items(tuple(table.labels), features, found)
