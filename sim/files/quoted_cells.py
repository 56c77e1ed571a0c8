"""Whether quotes in comma-separated text open and close cells, as RFC 4180 has it; Arrow reads on where they do not.

Of a quote that is lost or too many, Arrow makes cells that hold the rows up to the next one, and says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sim.preferences import BoolArray, IntArray

ByteArray: TypeAlias = NDArray[np.uint8]

_BLOCK = 1 << 24
_QUOTE = ord('"')
_MARK = b"\xef\xbb\xbf"


def are_whole(data: bytes, separator: str) -> bool:
    """Whether a strict reader finds no fault with the quotes: a cell that begins with one ends with one, and each
    between is doubled.  Elsewhere (5" wide) they are characters like others.
    """
    if b'"' not in data:
        return True
    # A byte-order mark is before the first cell, not in it.
    begin = len(_MARK) * data.startswith(_MARK)
    return (
        not _any_opens(data, separator, begin)
        or _alternate(data, separator, begin)
        or _cell_by_cell(data, separator, begin)
    )


def _places(raw: ByteArray) -> Iterator[IntArray]:
    """Where quotes are, block by block."""
    for start in range(0, len(raw), _BLOCK):
        yield np.flatnonzero(raw[start : start + _BLOCK] == _QUOTE) + start


def _borders(separator: str, more: str = "") -> BoolArray:
    """Of each byte whether it lies between cells."""
    found = np.zeros(256, dtype=np.bool_)
    found[list(f"{separator}\n\r{more}".encode())] = True
    return found


def _any_opens(data: bytes, separator: str, begin: int) -> bool:
    """Whether any cell begins with a quote."""
    raw, border = np.frombuffer(data, dtype=np.uint8), _borders(separator)
    return data.startswith(b'"', begin) or any(bool(border[raw[place[place > 0] - 1]].any()) for place in _places(raw))


def _alternate(data: bytes, separator: str, begin: int) -> bool:
    """Whether every other quote, from the first, has a cell's beginning before it, and the others a cell's end after
    them.  Two in a row inside a cell are an end and a beginning, side by side.  False may also mean a quote inside a
    cell without quotes.
    """
    raw, border, inside = np.frombuffer(data, dtype=np.uint8), _borders(separator, '"'), 0
    for place in _places(raw):
        opening, closing = place[inside::2], place[1 - inside :: 2]
        before, after = opening[opening > begin] - 1, closing[closing < len(raw) - 1] + 1
        if not (border[raw[before]].all() and border[raw[after]].all()):
            return False
        inside = (inside + len(place)) % 2
    return inside == 0


def _cell_by_cell(data: bytes, separator: str, begin: int) -> bool:
    """The same, cell by cell: some ten times as slow."""
    ends = re.escape(separator).encode() + rb"\r\n"
    quoted, bare = rb'"(?:[^"]++|"")*+"(?![^%b])' % ends, rb'[^"%b][^%b]*+' % (ends, ends)
    cells = re.compile(rb"(?:%b|%b|[%b]++)*+" % (quoted, bare, ends))
    return cells.fullmatch(data, begin) is not None
