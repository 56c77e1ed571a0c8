"""Answers that are numbers in texts, as in every CSV: 27 and 27.0 are one item.

A data frame that met an empty cell in a column of numbers writes that column as decimals, and not the other one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
_WHOLE = re.compile(r"([+-]?[0-9]+)\.0*")
_SIDES = ("chosen", "rejected")


def are_numbers(texts: Iterable[Any]) -> bool:
    """Whether all are texts that are numbers, empty ones aside.  Beside another text, "3.0" is a text like it."""
    return all(text is None or text == "" or (isinstance(text, str) and _NUMBER.fullmatch(text)) for text in texts)


def item_number(text: str) -> str:
    """A number as items are called by: without decimals where it has none."""
    found = _WHOLE.fullmatch(text)
    return found.group(1) if found else text


def spelt(features: Mapping[str, float]) -> str:
    """The text of an item that is nothing but its features, "price 2400, time 1.5": with every digit, or two would
    have one text, and without the sign of zero, as -0 equals 0."""
    return ", ".join(f"{name} {repr(float(value) + 0.0).removesuffix('.0')}" for name, value in features.items())


def with_item_numbers(rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The rows, chosen and rejected by their value where all that say something are numbers in texts."""
    if not are_numbers(_telling(rows)):
        return rows
    return [
        {**row, **{name: item_number(row[name]) for name in _SIDES if isinstance(row.get(name), str)}} for row in rows
    ]


def _telling(rows: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    for row in rows:
        first, second = (row.get(name) for name in _SIDES)
        if first != second and row.get("weight") != 0:
            yield from (first, second)
