"""How much of a result a page shows: a file that is absurdly large must not make a page that no browser opens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from sim.errors import InputError

# Bytes of a file that is read whole, and of a page.
FILE, PAGE = 64 << 20, 32 << 20
# Bytes of a witness, of a figure's data and of a study's figure in the page.
WITNESS, CSV, FIGURE = 64 << 10, 512 << 10, 1 << 20
# Rows of a table, annotators, groups of a fit, claims and result folders.
ROWS, PEOPLE, GROUPS, CLAIMS, FOLDERS = 400, 20_000, 40, 5000, 60
# Letters of a text that somebody wrote, and of a label in a figure.
TEXT, LABEL = 2000, 64

T = TypeVar("T")


def require_size(path: Path, most: int = FILE) -> None:
    """Refuse a file that is too large to be read whole; OSError where there is none."""
    size = path.stat().st_size
    if size > most:
        raise InputError(
            f"has {size >> 20} MiB; a page reads at most {most >> 20}", file=path, fix="report on fewer results"
        )


def clipped(text: object, most: int = TEXT) -> str:
    """The text, or its beginning and an ellipsis."""
    whole = str(text)
    return whole if len(whole) <= most else whole[: most - 1] + "…"


def first(rows: Sequence[T], most: int) -> tuple[Sequence[T], int]:
    """The first rows, and how many are left out."""
    return rows[:most], max(len(rows) - most, 0)
