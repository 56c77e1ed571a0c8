"""What answers of every kind have beside what they say, in Arrow's columns: who answered what, weights, splits, groups,
what is known of people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.files.answer_cells import WEIGHTS
from sim.files.arrow_batches import Batch
from sim.files.arrow_values import (
    Codes,
    FirstVectors,
    cell_person,
    is_number,
    is_text,
    is_whole,
    person_name,
    require,
    vectors,
)
from sim.files.file_rows import name_of_nobody
from sim.files.pair_table import SPLITS
from sim.preferences import AnyArray, BoolArray, FloatArray, IntArray


@dataclass(eq=False)
class PersonColumns:
    """What has been read so far, one entry of `held` a batch."""

    people: Codes = field(default_factory=Codes)
    prompts: Codes = field(default_factory=Codes)
    groups: Codes = field(default_factory=Codes)
    told: FirstVectors = field(default_factory=FirstVectors)
    parts: dict[str, list[Any]] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    told_names: tuple[str, ...] | None = None
    batches: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    def hold(self, name: str, values: Any) -> None:
        self.parts.setdefault(name, []).append(values)

    def begin(self, batch: Batch) -> None:
        """One batch more, whose schema names features as those before."""
        require(not self.batches or (self.names, self.told_names) == (batch.names, batch.told))
        self.names, self.told_names = batch.names, batch.told
        self.batches += 1

    def leave(self, silent: dict[str, BoolArray]) -> None:
        """Rows that say nothing, by why, counted in the order in which a reader of rows meets them."""
        for why, rows in sorted(silent.items(), key=lambda one: int(np.argmax(one[1])) if one[1].any() else 0):
            if rows.any():
                self.left_out[why] = self.left_out.get(why, 0) + int(rows.sum())

    def add_person(self, columns: dict[str, Any], *, in_cells: bool) -> None:
        """Who answered, her group and what is known of her.  in_cells: whether numbers are texts, as in CSV."""
        import pyarrow as pa

        person = columns["annotator_id"]
        require(is_text(person.type) or is_number(person.type))
        annotator = self.people.of(person, cell_person if in_cells else person_name)
        require((annotator >= 0).all())
        self.hold("annotator", annotator)
        if (group := columns.get("group_id")) is not None and group.null_count < len(group):
            require(is_text(group.type) or pa.types.is_integer(group.type))
            self.hold("group", (annotator, self.groups.of(group, lambda name: str(name) or None)))
        if (told := columns.get("annotator_features")) is not None and told.null_count < len(told):
            filled = told.is_valid().to_numpy(zero_copy_only=False)
            found, names = vectors(told.drop_null())
            self.told.add(annotator[filled], found, names)

    def person_names(self) -> tuple[str, ...]:
        """Of all annotators."""
        require(name_of_nobody(self.people.numbers) is None)
        return tuple(self.people.numbers)

    def prompt_of(self, column: Any, n: int) -> IntArray:
        """(n,) numbers of the prompts; none is the empty one."""
        import pyarrow as pa

        nothing = self.prompts.numbers
        if column is None or column.null_count == len(column):
            return np.full(n, nothing.setdefault("", len(nothing)))
        if column.null_count:
            require(is_text(column.type))
            column = column.cast(pa.large_string()).fill_null("")
        require(is_text(column.type) or is_whole(column.type))
        return self.prompts.of(column, str)

    def whole(self, name: str) -> Any:
        """All batches of a column that is in every batch or in none."""
        parts = self.parts.get(name)
        if parts is None:
            return None
        require(len(parts) == self.batches)
        return np.concatenate(parts)

    def known(self, n_people: int) -> tuple[FloatArray | None, tuple[str, ...]]:
        """What is known of people, and its names."""
        found = self.told.matrix(np.arange(n_people), self.told_names, "annotator feature {}")
        return (None, ()) if found is None else found

    def group(self, n_people: int) -> tuple[str, ...] | None:
        parts = self.parts.get("group")
        if parts is None:
            return None
        annotator, code = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        annotator, code = annotator[code >= 0], code[code >= 0]
        if not len(code):
            return None
        own = np.full(n_people, -1)
        own[annotator] = code
        require((own[annotator] == code).all())
        labels = list(self.groups.numbers)
        return tuple("" if place < 0 else labels[place] for place in own.tolist())


def column_weights(column: Any) -> FloatArray:
    """(n,) weights, 0 where a row is to be left out."""
    require(is_number(column.type) and column.null_count == 0)
    found: FloatArray = column.to_numpy(zero_copy_only=False).astype(np.float64)
    require(((found == 0) | ((found >= WEIGHTS[0]) & (found <= WEIGHTS[1]))).all())
    return found


def column_splits(column: Any) -> IntArray:
    """(n,) places in `SPLITS`."""
    require(is_text(column.type) and column.null_count == 0)
    codes = Codes({name: place for place, name in enumerate(SPLITS)})
    found = codes.of(column)
    require(len(codes.numbers) == len(SPLITS))
    return found


def is_sound_split(split: IntArray, annotator: IntArray, n_people: int) -> bool:
    """Whether somebody trains, people of `unseen` are nowhere else, and those of `test` are in `train`."""
    here = np.zeros((len(SPLITS), n_people), dtype=np.bool_)
    here[split, annotator] = True
    train, test, unseen = here
    return bool(train.any() and not ((train | test) & unseen).any() and not (test & ~train).any())


def filtered(columns: dict[str, Any], kept: AnyArray) -> dict[str, Any]:
    """The masked rows of every column."""
    import pyarrow as pa

    mask = pa.array(kept)
    return {name: column.filter(mask) for name, column in columns.items()}


def may_hold_messages(column: Any) -> bool:
    """Whether a cell of text looks like a list of messages, which the pass over rows reads."""
    import pyarrow.compute as pc

    return is_text(column.type) and bool(pc.any(pc.match_substring_regex(column, r"^\s*\[\s*\{")).as_py())
