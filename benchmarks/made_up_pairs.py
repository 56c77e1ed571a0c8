"""Files of made-up answers of any size: people of a few types, who compare items by their features."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.streams import Stream


@dataclass(frozen=True)
class Size:
    """Answers, people, items, features of an item, types of people."""

    pairs: int
    people: int
    items: int = 5000
    features: int = 16
    types: int = 3


def made_up(size: Size, seed: int = 0) -> Any:
    """An Arrow table of the columns that `pluralign fit` reads; people and items are drawn anew in each answer."""
    import pyarrow as pa

    stream = Stream(seed, cell="made-up pairs")
    features = np.round(stream.child("features").normals((size.items, size.features)), 4)
    theta = 0.6 * stream.child("theta").normals((size.types, size.features))
    kind = stream.child("types").integers(size.types, size.people)
    person = stream.child("person").integers(size.people, size.pairs)
    first = stream.child("first").integers(size.items, size.pairs)
    second = (first + 1 + stream.child("second").integers(size.items - 1, size.pairs)) % size.items
    utility = features @ theta.T
    margin = utility[first, kind[person]] - utility[second, kind[person]]
    wins = stream.child("answers").uniforms(size.pairs) < 1 / (1 + np.exp(-margin))
    chosen, rejected = np.where(wins, first, second), np.where(wins, second, first)
    items = pa.array([f"item {j}" for j in range(size.items)])
    people = pa.array([f"person {i}" for i in range(size.people)])
    # A row an item: taken by index, so that no list is made in Python.
    vectors = pa.ListArray.from_arrays(
        pa.array(np.arange(0, features.size + 1, size.features, dtype=np.int32)), pa.array(features.ravel())
    )
    return pa.table({
        "chosen": items.take(pa.array(chosen)),
        "rejected": items.take(pa.array(rejected)),
        "annotator_id": people.take(pa.array(person)),
        "chosen_features": vectors.take(pa.array(chosen)),
        "rejected_features": vectors.take(pa.array(rejected)),
    })  # fmt: skip


def write_made_up(path: Path, size: Size, seed: int = 0) -> Path:
    """The table as Parquet or JSON lines, by the ending of `path`."""
    import pyarrow.parquet as pq

    table = made_up(size, seed)
    if path.suffix == ".parquet":
        pq.write_table(table, path, compression="zstd")
        return path
    with path.open("w", encoding="utf-8") as lines:
        for batch in table.to_batches(1 << 14):
            lines.writelines(json.dumps(row) + "\n" for row in batch.to_pylist())
    return path
