"""Numbers that JSON does not have: null for readers, a word where they must be read again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_WORDS = ("nan", "inf", "-inf")


def finite(value: object) -> object:
    """The same with null for NaN and infinities, and lists for arrays."""
    return _mapped(value, exact=False)


def exact(value: object) -> object:
    """The same with "nan", "inf" and "-inf" for these, and lists for arrays."""
    return _mapped(value, exact=True)


def _mapped(value: object, exact: bool) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value)) if exact else None
    if isinstance(value, dict):
        return {key: _mapped(part, exact) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(part, exact) for part in value]
    if isinstance(value, np.generic | np.ndarray):
        return _mapped(value.tolist(), exact)
    return value


def number(value: object, unknown: float | None = math.nan) -> float:
    """One number that `exact` or `finite` wrote; unknown: what null stands for, None: nothing.

    Errors: TypeError for anything else.
    """
    if value is None and unknown is not None:
        return unknown
    if isinstance(value, str) and value in _WORDS:
        return float(value)
    if isinstance(value, int | float):
        return value
    raise TypeError(f"expected a number, got {str(value)[:40]!r}")


def numbers(value: object, unknown: float | None = math.nan) -> Any:
    """A number, or lists of them, nested as they are."""
    return [numbers(part, unknown) for part in value] if isinstance(value, list) else number(value, unknown)
