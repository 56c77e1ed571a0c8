"""Numbers for a reader."""

from __future__ import annotations

from collections.abc import Sequence

# Where an interval would stand, told once below.
NO_INTERVAL = "[-]"


def interval_text(interval: Sequence[float] | None, digits: str) -> str:
    """`[low, high]`, each formatted by `digits`; of one annotator there is none."""
    if interval is None:
        return NO_INTERVAL
    return f"[{interval[0]:{digits}}, {interval[1]:{digits}}]"
