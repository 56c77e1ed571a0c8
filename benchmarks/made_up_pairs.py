"""Files of made-up answers of any size: people of a few types, who compare items, or choose, by their features."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.preferences import FloatArray
from sim.streams import Stream

# Alternatives of a choice.
OFFERED = 4


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
    items, people, vectors = _columns(size, features)
    return pa.table({
        "chosen": items.take(pa.array(chosen)),
        "rejected": items.take(pa.array(rejected)),
        "annotator_id": people.take(pa.array(person)),
        "chosen_features": vectors.take(pa.array(chosen)),
        "rejected_features": vectors.take(pa.array(rejected)),
    })  # fmt: skip


def made_up_choices(size: Size, seed: int = 0) -> Any:
    """The same of choices out of four; size.pairs: how many."""
    import pyarrow as pa

    stream = Stream(seed, cell="made-up choices")
    features = np.round(stream.child("features").normals((size.items, size.features)), 4)
    theta = 0.6 * stream.child("theta").normals((size.types, size.features))
    kind = stream.child("types").integers(size.types, size.people)
    person = stream.child("person").integers(size.people, size.pairs)
    first = stream.child("first").integers(size.items, size.pairs)
    step = 1 + stream.child("step").integers(size.items // OFFERED, size.pairs)
    offered = (first[:, None] + step[:, None] * np.arange(OFFERED)) % size.items
    noise = -np.log(-np.log(stream.child("answers").uniforms((size.pairs, OFFERED))))
    utility = (features @ theta.T)[offered, kind[person][:, None]] + noise
    items, people, vectors = _columns(size, features)
    ends = pa.array(np.arange(0, offered.size + 1, OFFERED, dtype=np.int32))
    each = pa.array(offered.ravel())
    return pa.table({
        "responses": pa.ListArray.from_arrays(ends, items.take(each)),
        "choice": pa.array(utility.argmax(axis=1)),
        "annotator_id": people.take(pa.array(person)),
        "features": pa.ListArray.from_arrays(ends, vectors.take(each)),
    })  # fmt: skip


def _columns(size: Size, features: FloatArray) -> tuple[Any, Any, Any]:
    """Names of items and of people, and the items' features, a row each: taken by index, so that no list is made in
    Python."""
    import pyarrow as pa

    items = pa.array([f"item {j}" for j in range(size.items)])
    people = pa.array([f"person {i}" for i in range(size.people)])
    ends = pa.array(np.arange(0, features.size + 1, size.features, dtype=np.int32))
    return items, people, pa.ListArray.from_arrays(ends, pa.array(features.ravel()))


def write_made_up(path: Path, size: Size, seed: int = 0, make: Callable[[Size, int], Any] = made_up) -> Path:
    """The table as Parquet or JSON lines, by the ending of `path`."""
    import pyarrow.parquet as pq

    table = make(size, seed)
    if path.suffix == ".parquet":
        pq.write_table(table, path, compression="zstd")
        return path
    with path.open("w", encoding="utf-8") as lines:
        for batch in table.to_batches(1 << 14):
            lines.writelines(json.dumps(row) + "\n" for row in batch.to_pylist())
    return path
