"""Powers of ten on an axis as text, 10⁻²: matplotlib sets them as formulas, each read by a grammar."""

from __future__ import annotations

import re
from typing import Any

from matplotlib.ticker import Formatter, LogFormatter

_POWER = re.compile(r"\$\\mathdefault\{(-?)(?:([\d.]+)\\times)?(\d+)\^\{(-?\d+)\}\}\$")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_FORMULA = re.compile(r"\$\\mathdefault\{([^{}$]*)\}\$")


class PlainPowers(Formatter):
    """What `inner` says, without its formulas."""

    def __init__(self, inner: LogFormatter) -> None:
        self._inner = inner

    def set_axis(self, axis: Any) -> None:
        super().set_axis(axis)
        self._inner.set_axis(axis)

    def set_locs(self, locs: list[float]) -> None:
        super().set_locs(locs)
        self._inner.set_locs(locs)

    def __call__(self, x: float, pos: int | None = None) -> str:
        return without_formula(self._inner(x, pos))


def without_formula(label: str) -> str:
    """A label of `LogFormatterSciNotation` as text."""
    if found := _POWER.fullmatch(label):
        sign, times, base, power = found.groups()
        return f"{sign and chr(0x2212)}{f'{times} {chr(0xD7)} ' if times else ''}{base}{power.translate(_RAISED)}"
    return _FORMULA.sub(r"\1", label).replace("-", chr(0x2212))
