"""What is done with hostile inputs: a command as typed, or a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asked:
    """files: name -> bytes, or a folder that is copied.  words: a command as typed, or reader: a function of paths."""

    files: dict[str, Any]
    words: tuple[Any, ...] = ()
    reader: Any = None
    kept: tuple[str, ...] = ()
