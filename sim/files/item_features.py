"""Items and annotators of a preference file: each with one feature vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError, short
from sim.files.answer_sources import NAMES_KEY
from sim.files.pair_table import ItemKind
from sim.preferences import FloatArray

LARGEST = 1e100
# Features of one item may differ by what another program's rounding, or single precision, makes of them.
ROUNDING = 1e-6


class OtherFeaturesError(InputError):
    """An item came with features that are not those it had before."""


def _vector(value: Any, names: tuple[str, ...] | None, where: dict[str, Any]) -> tuple[float, ...]:
    """A feature vector as a tuple of finite floats."""
    if isinstance(value, dict):
        if names is not None and set(value) != set(names):
            odd = sorted(set(value) ^ set(names))
            raise InputError(
                f"feature '{odd[0]}' is in one row and not in another", fix="name the same features", **where
            )
        value = [value[name] for name in (names or value)]
    if not isinstance(value, list) or not value:
        raise InputError(f"expected a list of numbers, got {short(value)}", fix="give one number a feature", **where)
    for position, number in enumerate(value):
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise InputError(f"feature {position + 1} is not a number ({short(number)})", fix="give a number", **where)
        # Compared, not math.isfinite: JSON has whole numbers that no float can hold.
        if not -LARGEST <= number <= LARGEST:
            raise InputError(
                f"feature {position + 1} is not finite, or beyond 1e100 ({short(number)})",
                fix="drop the row or give a finite number", **where,
            )  # fmt: skip
    return tuple(float(number) for number in value)


def _near(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(abs(a - b) <= ROUNDING * max(abs(a), abs(b)) for a, b in zip(first, second, strict=True))


class ItemTable:
    """Distinct items and their one feature vector each.

    by_prompt: an item is an answer to one prompt, the same text under another prompt is another item.  fix: what to do
    beside giving an item one vector, where it has several.
    """

    def __init__(self, names: tuple[str, ...] | None, by_prompt: bool = False, fix: str = "") -> None:
        self.names, self._by_prompt = names, by_prompt
        self._fix = f"give an item one feature vector{'; ' if fix else ''}{fix}"
        self.labels: list[str] = []
        self.vectors: list[tuple[float, ...]] = []
        self._index: dict[Any, int] = {}
        self.kind: ItemKind = "text"

    def add(self, value: Any, features: Any, where: dict[str, Any], feature_field: str, prompt: str = "") -> int:
        """Index of an item; an item seen before must come with the same features, up to rounding.

        Errors: OtherFeaturesError where it does not, InputError for what is no feature vector.
        """
        own_vector = isinstance(value, list)
        if not self.labels:
            self.kind = "vector" if own_vector else "text" if isinstance(value, str) else "number"
        if own_vector:
            vector: tuple[float, ...] | None = _vector(value, self.names, where)
            key: Any = vector
        else:
            key = (prompt, value) if self._by_prompt else value
            vector = None if features is None else self._features(features, {**where, "field": feature_field})
        found = self._index.get(key)
        if found is None:
            if self.labels and (vector is None) != (not self.vectors):
                raise InputError(
                    "some items have features and others have none",
                    fix="give features in every row or in none",
                    **where,
                )
            if vector is not None and self.vectors and len(vector) != len(self.vectors[0]):
                raise InputError(
                    f"expected {len(self.vectors[0])} features as in the first row, got {len(vector)}",
                    fix="give every item the same features", **where,
                )  # fmt: skip
            found = self._index[key] = len(self.labels)
            self.labels.append(f"item {found + 1}" if own_vector else str(value))
            if vector is not None:
                self.vectors.append(vector)
        elif vector is not None and self.vectors and not _near(self.vectors[found], vector):
            under = " under the same prompt" if self._by_prompt else ""
            problem = f"item {short(value)} has other features here than before{under}"
            raise OtherFeaturesError(problem, fix=self._fix, **{**where, "field": feature_field})
        return found

    def matrix(self, source: str | Path) -> tuple[FloatArray | None, tuple[str, ...]]:
        """((n_items, d), names) of the file, or (None, names) where no item has features."""
        if not self.vectors:
            return None, self.names or ()
        matrix = np.array(self.vectors)
        names = self.names or tuple(f"feature {j + 1}" for j in range(matrix.shape[1]))
        if len(names) != matrix.shape[1]:
            raise InputError(
                f"has {len(names)} feature names and {matrix.shape[1]} features", file=source, field=NAMES_KEY.decode(),
                fix="name each feature once",
            )  # fmt: skip
        return matrix, names

    def _features(self, features: Any, where: dict[str, Any]) -> tuple[float, ...]:
        if isinstance(features, dict) and self.names is None:
            self.names = tuple(features)
        return _vector(features, self.names, where)


class AnnotatorTable:
    """What is known of each annotator: one feature vector, in one of her rows or in all of them."""

    def __init__(self, names: tuple[str, ...] | None) -> None:
        self.names = names
        self._vectors: dict[int, tuple[float, ...]] = {}
        self._first_row: dict[int, dict[str, Any]] = {}

    def add(self, person: int, who: str, features: Any, where: dict[str, Any]) -> None:
        """One row of annotator number `person`, called `who`; `where` names file, row and field."""
        self._first_row.setdefault(person, where)
        if features is None:
            return
        if isinstance(features, dict) and self.names is None:
            self.names = tuple(features)
        vector = _vector(features, self.names, where)
        width = len(next(iter(self._vectors.values()), vector))
        if len(vector) != width:
            raise InputError(
                f"expected {width} features as in the rows before, got {len(vector)}",
                fix="give every annotator the same features", **where,
            )  # fmt: skip
        if not _near(self._vectors.setdefault(person, vector), vector):
            raise InputError(
                f"annotator {who} has other features here than before", fix="give an annotator one feature vector",
                **where,
            )  # fmt: skip

    def matrix(self, people: tuple[str, ...]) -> tuple[FloatArray | None, tuple[str, ...]]:
        """((n_annotators, d_x), names), or (None, ()) where no row says anything of anybody."""
        if not self._vectors:
            return None, ()
        for person, who in enumerate(people):
            if person not in self._vectors:
                raise InputError(
                    f"annotator {who} has no features, and others have", fix="give them in her rows, or drop her rows",
                    **self._first_row[person],
                )  # fmt: skip
        matrix = np.array([self._vectors[person] for person in range(len(people))])
        names = self.names or tuple(f"annotator feature {j + 1}" for j in range(matrix.shape[1]))
        if len(names) != matrix.shape[1]:
            where = {**self._first_row[0], "row": None}
            raise InputError(
                f"has {matrix.shape[1]} numbers and {len(names)} names", fix="name each feature once", **where
            )
        return matrix, names
