"""The names that an axis has in place of numbers: of what stands at, or about, a place on it."""

from __future__ import annotations

from typing import Any

import numpy as np


class Names:
    """Of one axis of a figure that has been drawn; false where its ticks are numbers, in whatever form."""

    def __init__(self, axis: Any) -> None:
        from matplotlib.category import StrCategoryFormatter, StrCategoryLocator
        from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

        self._names: dict[float, str] = {}
        written = isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter | StrCategoryFormatter)
        if written and isinstance(axis.get_major_locator(), FixedLocator | StrCategoryLocator):
            places = [float(place) for place in axis.get_majorticklocs()]
            words = [" ".join(str(text).split()) for text in axis.get_major_formatter().format_ticks(places)]
            if not all(_is(word, place) for word, place in zip(words, places, strict=True)):
                self._names = {place: word for word, place in zip(words, places, strict=True) if word}
        places = sorted(self._names)
        # A name a whole number: what stands beside it, one of several bars, is of that name.
        self._apart = bool(places) and bool(np.allclose(places, np.arange(len(places)) + round(places[0])))

    def __bool__(self) -> bool:
        return bool(self._names)

    def exact(self, place: float) -> object:
        """The name that stands there, or the place."""
        named = min(self._names, key=lambda at: abs(at - place), default=None)
        if named is not None and abs(named - place) <= 1e-9 * (1.0 + abs(place)):
            return self._names[named]
        return float(place)

    def near(self, place: float) -> object:
        """The name that is nearest, where every whole number has one."""
        named = min(self._names, key=lambda at: abs(at - place), default=None)
        return (
            self._names[named] if self._apart and named is not None and abs(named - place) < 0.5 else self.exact(place)
        )


def _is(word: str, place: float) -> bool:
    """Whether the word is the number of its place, rounded as it may be, or in percent."""
    try:
        told = float(word.rstrip(" %").replace(",", "").replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return not word
    return abs(told - place * (100 if "%" in word else 1)) <= 0.005 * abs(told) + 1e-12
