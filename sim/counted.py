"""How many of what, in words."""

from __future__ import annotations

_ONE = {"people": "person"}


def counted(number: int, things: str, *, grouped: bool = False) -> str:
    """`3 held-out answers`, `1 held-out answer`; things: in the plural, whose last word then is the singular; grouped:
    `3,000`."""
    if number != 1:
        return f"{number:,} {things}" if grouped else f"{number} {things}"
    before, space, last = things.rpartition(" ")
    return f"{number} {before}{space}{_ONE.get(last, last.removesuffix('s'))}"


def are(number: int) -> str:
    """`is` of one, `are` of others."""
    return "is" if number == 1 else "are"
