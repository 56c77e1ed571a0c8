"""Types, clusters and directions for a reader."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.files.atomic import Json
from sim.fitting.scores import Score
from sim.preferences import FloatArray


@dataclass(frozen=True)
class Trait:
    """A feature's coefficient, and its standard error where one is known."""

    feature: str
    coefficient: float
    standard_error: float | None = None

    def as_json(self) -> dict[str, Json]:
        row = {"feature": self.feature, "coefficient": self.coefficient}
        return row if self.standard_error is None else {**row, "standard_error": self.standard_error}


def strongest(values: FloatArray, names: tuple[str, ...], errors: FloatArray | None = None) -> tuple[Trait, ...]:
    """The six coefficients largest in absolute value.  errors: NaN where none is known."""
    order = np.argsort(-np.abs(values), kind="stable")[:6]
    known = np.full(len(values), np.nan) if errors is None else errors
    return tuple(Trait(names[j], float(values[j]), None if np.isnan(known[j]) else float(known[j])) for j in order)


@dataclass(frozen=True)
class Examples:
    """Texts of training items that a group prefers most more, and most less, than the common reward does; and words,
    where words are what the features are made of."""

    more: tuple[str, ...]
    less: tuple[str, ...]
    more_words: tuple[str, ...] = ()
    less_words: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Json]:
        return {name: list(texts) for name, texts in vars(self).items()}


@dataclass(frozen=True)
class Group:
    """A type, cluster or direction: its share (None: directions have none), and what sets it apart from the common
    reward; further fields where the method knows them."""

    group: int | str
    share: float | None
    against_pooled: tuple[Trait, ...]
    n_annotators: int | None = None
    strongest_features: tuple[Trait, ...] | None = None
    favourite_items: tuple[str, ...] | None = None
    known_users: Score | None = None
    context: tuple[Trait, ...] | None = None
    examples: Examples | None = None

    def as_json(self) -> dict[str, Json]:
        found: dict[str, Json] = {"group": self.group, "share": self.share}
        if self.n_annotators is not None:
            found["n_annotators"] = self.n_annotators
        if self.context is not None:
            found["context"] = [trait.as_json() for trait in self.context]
        if self.strongest_features is not None:
            found["strongest_features"] = [trait.as_json() for trait in self.strongest_features]
        found["against_pooled"] = [trait.as_json() for trait in self.against_pooled]
        if self.favourite_items is not None:
            found["favourite_items"] = list(self.favourite_items)
        if self.known_users is not None:
            found["known_users"] = self.known_users.as_json()
        if self.examples is not None:
            found["examples"] = self.examples.as_json()
        return found
