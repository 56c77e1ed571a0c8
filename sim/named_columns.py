"""Numbers whose columns have names, in the order that is asked for: frames of all kinds, without importing any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sim.errors import InputError

_MOST = 5


def in_order(name: str, values: Any, names: Sequence[str], *, what: str = "the fit's features") -> Any:
    """`values` with its columns in the order of `names`; what has no names is returned as it is.

    values: a pandas, polars or Arrow table, a datasets.Dataset, columns by name, rows by name, or a pandas Series, one
    row with names.  Where its names are `names`, in whatever order, columns go by name; where it has none of them, by
    place.  name: the argument; what: what `names` are, for messages.

    Errors: InputError where only some of the names are there, others beside them, or one twice.
    """
    found = _named(values)
    if found is None:
        return values
    given, column = found
    known = set(names)
    if known.isdisjoint(given):
        listed = [_numbers(column(place)) for place in range(len(given))]
        # Names of items or texts are no numbers, and whoever asked knows what to do with them.
        numeric = all(own.dtype.kind in "fiub" for own in listed)
        return np.stack(listed, axis=-1) if numeric and listed else values
    missing = [own for own in names if own not in set(given)]
    others = [own for own in given if own not in known]
    twice = [own for own in dict.fromkeys(given) if given.count(own) > 1]
    odd = {"missing": missing, "not among them": others, "given twice": twice}
    told = "; ".join(f"{words}: {_listed(which)}" for words, which in odd.items() if which)
    if told:
        fix = "give each once, in any order, and nothing else; or an array, in their order"
        raise InputError(f"{name}: expected columns called as the {len(names)} of {what} ({told})", fix=fix)
    place = {own: number for number, own in enumerate(given)}
    listed = []
    for own in names:
        numbers = _numbers(column(place[own]))
        if numbers.dtype.kind not in "fiub":
            raise InputError(f"{name} must hold numbers (got {numbers.dtype} in column '{own}')")
        listed.append(numbers)
    return np.stack(listed, axis=-1)


def names_of_columns(values: Any) -> tuple[str, ...] | None:
    """What a frame's columns are called; None of anything else, and where they are only counted."""
    if type(columns := getattr(values, "columns", getattr(values, "column_names", None))).__name__ == "RangeIndex":
        return None
    found = None if columns is None else _named(values)
    return None if found is None else tuple(found[0])


def _named(values: Any) -> tuple[list[str], Callable[[int], Any]] | None:
    """(names, column by its place) of what has them."""
    if isinstance(values, Mapping):
        keys = list(values)
        return [str(key) for key in keys], lambda place: values[keys[place]]
    if isinstance(values, list | tuple) and values and all(isinstance(row, Mapping) for row in values):
        keys = list(dict.fromkeys(key for row in values for key in row))
        return [str(key) for key in keys], lambda place: [row.get(keys[place]) for row in values]
    if hasattr(values, "iloc"):
        if hasattr(values, "columns"):
            return [str(own) for own in values.columns], lambda place: values.iloc[:, place]
        # A row of a frame; a column of texts, or of ids, is none.
        row = getattr(values.dtype, "kind", "O") in "fiub" and getattr(values.index.dtype, "kind", "O") not in "iufM"
        return ([str(own) for own in values.index], lambda place: values.iloc[place]) if row else None
    names = getattr(values, "columns" if hasattr(values, "get_column") else "column_names", None)
    if not isinstance(names, list | tuple):
        return None
    return list(names), lambda place: values[names[place]]


def _numbers(column: Any) -> Any:
    """As an array of numbers where it is one, nan for what is missing; Python's numbers come as objects."""
    found = np.asarray(column)
    if found.dtype.kind != "O":
        return found
    own = [np.nan if one is None or type(one).__name__ == "NAType" else one for one in found.ravel().tolist()]
    bare = all(isinstance(one, int | float) for one in own)
    return np.asarray(own, dtype=np.float64).reshape(found.shape) if bare else found


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(f"'{own}'" for own in names[:_MOST]) + rest
