"""Which converter reads a file, by its columns."""

from __future__ import annotations

# The files' reader names it in its messages, and stands below the converters: so it lives there.
from sim.files.recognise import recognise

__all__ = ["recognise"]
