"""How deep lines of JSON are nested, before Arrow reads them: it follows them with the machine's stack, and crashes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from sim.preferences import AnyArray

# No answer is nested so deep; Arrow crashes from some thousands on.
DEEPEST = 64
_PIECE = 1 << 24
_NEWLINE, _RETURN = 10, 13
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_OPENING = (ord("["), ord("{"))
_CLOSING = (ord("]"), ord("}"))


def is_shallow(data: Any) -> bool:
    """Whether a buffer of lines holds an object a line, none of them nested more than `DEEPEST` deep.

    What begins with { and ends with } is a whole object, or no JSON: then nothing is open where a line begins, and a
    line with few opening brackets cannot be deep.  False too where a line is of another form, for the pass over rows.
    """
    text = np.frombuffer(data, dtype=np.uint8)
    begin = 0
    while begin < len(text):
        end = _end_of_piece(text, begin)
        if not _is_shallow_piece(text[begin:end]):
            return False
        begin = end
    return True


def _end_of_piece(text: AnyArray, begin: int) -> int:
    """Behind the last line end within a piece from `begin`, or, where one line is longer, behind its own."""
    size = _PIECE
    while begin + size < len(text):
        ends = np.flatnonzero(text[begin : begin + size] == _NEWLINE)
        if len(ends):
            return begin + int(ends[-1]) + 1
        size *= 2
    return len(text)


def _is_shallow_piece(text: AnyArray) -> bool:
    ends = np.flatnonzero(text == _NEWLINE)
    starts = np.concatenate([[0], ends + 1])
    ends = np.concatenate([ends, [len(text)]])
    ends = ends - ((ends > starts) & (text[ends - 1] == _RETURN))
    filled = ends > starts
    starts, ends = starts[filled], ends[filled]
    if not ((text[starts] == _OPENING[1]) & (text[ends - 1] == _CLOSING[1])).all():
        return False
    long = ends - starts > 2 * DEEPEST
    starts, ends = starts[long], ends[long]
    if not len(starts):
        return True
    opening = np.flatnonzero((text == _OPENING[0]) | (text == _OPENING[1]))
    many = np.searchsorted(opening, ends) - np.searchsorted(opening, starts) > DEEPEST
    return all(_depth(text[a:b]) <= DEEPEST for a, b in zip(starts[many], ends[many], strict=True))


def _depth(line: AnyArray) -> int:
    """The most brackets that are open at once, those in texts left out."""
    bare = np.frombuffer(_STRING.sub(b"", line.tobytes()), dtype=np.uint8)
    step = np.isin(bare, _OPENING).astype(np.int64) - np.isin(bare, _CLOSING)
    return int(np.cumsum(step).max(initial=0))
