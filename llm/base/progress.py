"""Saying what long work is doing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

# Called with one line at a time; the command line writes it to standard error.
Progress: TypeAlias = Callable[[str], None]
