"""Arrow's columns as codes and vectors, for the pass over columns; what is wrong, or rarer, makes it give up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sim.files.answer_sources import cell_name
from sim.files.file_rows import number_name
from sim.files.item_features import LARGEST, ROUNDING
from sim.preferences import BoolArray, FloatArray, IntArray

# Whole numbers below are what they were in a column of decimal ones.
_EXACT = 2.0**53


class Rarer(Exception):
    """Something is wrong, or of a form that only the pass over rows reads."""


class OtherVectors(Rarer):
    """One item came with two vectors."""


def require(condition: object) -> None:
    if not condition:
        raise Rarer


@dataclass(eq=False)
class Codes:
    """Distinct values in the order they are met, and the number of each."""

    numbers: dict[Any, int] = field(default_factory=dict)

    def of(self, array: Any, name: Any = None) -> IntArray:
        """(n,) numbers of an Arrow array's values, -1 where there is none; name: value -> what it counts as."""
        import pyarrow as pa

        if pa.types.is_string_view(array.type):
            array = array.cast(pa.large_string())
        if not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        # In the order in which rows have them, and only these: a dictionary may hold others, in any order.
        used = array.indices.unique().drop_null()
        values = array.dictionary.take(used).to_pylist()
        if name is not None:
            values = [None if value is None else name(value) for value in values]
        numbers = self.numbers
        own = np.full(len(array.dictionary) + 1, -1, dtype=np.int64)
        own[used.to_numpy(zero_copy_only=False)] = [
            -1 if value is None else numbers.setdefault(value, len(numbers)) for value in values
        ]
        places = array.indices
        if places.null_count:
            places = places.cast(pa.int64()).fill_null(len(array.dictionary))
        return np.asarray(own[places.to_numpy(zero_copy_only=False)])


def is_text(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_whole(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind.value_type if pa.types.is_dictionary(kind) else kind))


def equal(first: Any, second: Any) -> BoolArray:
    """(n,) whether two columns hold the same text, number or list, none of them missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_text(first.type):
        plain = [part.cast(pa.large_string()) for part in (first, second)]
    elif is_whole(first.type):
        plain = [part.dictionary_decode() if pa.types.is_dictionary(part.type) else part for part in (first, second)]
    else:
        own, other = vectors(first)[0], vectors(second)[0]
        require(own.shape == other.shape)
        return np.asarray((own == other).all(axis=1))
    return np.asarray(pc.equal(*plain).to_numpy(zero_copy_only=False))


def person_name(value: Any) -> str:
    """As the pass over rows names her; empty texts and numbers that are none are for it to refuse.

    So are large decimal ones: Arrow makes these of whole numbers in JSON that no integer of its own can hold, and two
    people would become one.
    """
    require(value != "" and value == value)
    require(not isinstance(value, float) or abs(value) < _EXACT)
    return value if isinstance(value, str) else number_name(value)


def cell_person(value: str) -> str:
    require(value != "")
    return cell_name(value)


def vectors(array: Any) -> tuple[FloatArray, tuple[str, ...] | None]:
    """((n, d), names) of a column of lists of numbers, or of objects name -> number."""
    import pyarrow as pa

    require(array.null_count == 0)
    kind = array.type
    if pa.types.is_struct(kind):
        fields = array.flatten()
        require(fields and all(is_number(part.type) and part.null_count == 0 for part in fields))
        found = np.column_stack([part.to_numpy(zero_copy_only=False) for part in fields]).astype(np.float64)
        names: tuple[str, ...] | None = tuple(kind.field(j).name for j in range(kind.num_fields))
    else:
        require(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
        flat = array.flatten()
        require(is_number(flat.type) and flat.null_count == 0 and len(array))
        if not pa.types.is_fixed_size_list(kind):
            ends = array.offsets.to_numpy()
            sizes = np.diff(ends)
            require(sizes[0] > 0 and (sizes == sizes[0]).all())
        found = flat.to_numpy(zero_copy_only=False).astype(np.float64, copy=False).reshape(len(array), -1)
        names = None
    # NaN fails both.
    require(found.size and (found >= -LARGEST).all() and (found <= LARGEST).all())
    return found, names


@dataclass(eq=False)
class FirstVectors:
    """The vector of each item, as it came first. names: where they have any."""

    rows: FloatArray | None = None
    known: Any = None
    names: tuple[str, ...] | None = None

    def add(self, numbers: IntArray, vectors: FloatArray, names: tuple[str, ...] | None) -> None:
        """Vectors (m, d) of the items `numbers` (m,), in the order a reader meets them."""
        if self.rows is None:
            self.rows, self.known, self.names = np.empty((0, vectors.shape[1])), np.zeros(0, dtype=np.bool_), names
        require(vectors.shape[1] == self.rows.shape[1] and names == self.names)
        most = int(numbers.max()) + 1
        if most > len(self.known):
            size = max(most, 2 * len(self.known))
            grown = np.empty((size, self.rows.shape[1]))
            grown[: len(self.rows)] = self.rows
            self.rows, self.known = grown, np.concatenate([self.known, np.zeros(size - len(self.known), np.bool_)])
        new = np.flatnonzero(~self.known[numbers])[::-1]
        # Backwards, so that the first of several stays.
        self.rows[numbers[new]] = vectors[new]
        self.known[numbers[new]] = True
        own = self.rows[numbers]
        if not (own == vectors).all():
            near = np.abs(own - vectors) <= ROUNDING * np.maximum(np.abs(own), np.abs(vectors))
            if not near.all():
                raise OtherVectors

    def matrix(
        self, order: IntArray, named: tuple[str, ...] | None, pattern: str
    ) -> tuple[FloatArray, tuple[str, ...]] | None:
        """((n, d), names) of the items `order`; None where no item has a vector.  named: by the schema; pattern: names
        where nothing has any."""
        if self.rows is None:
            return None
        require(len(self.known) > order.max(initial=-1) and self.known[order].all())
        found = self.rows[order]
        names = self.names or named or tuple(pattern.format(j + 1) for j in range(found.shape[1]))
        require(len(names) == found.shape[1])
        require(self.names is None or named is None or self.names == named)
        return found, names
