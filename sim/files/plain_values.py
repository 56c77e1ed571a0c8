"""Python's own numbers, lists and mappings, out of what programs hold them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_PLAIN = {str, float, int, bool, type(None)}


def plain(value: Any) -> Any:
    """NumPy's scalars and arrays, and tuples, as Python's numbers and lists, inside lists and mappings too.

    None for the missing values of any library; nan stays, for whoever reads it to say what it means.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.floating):
        return float(value)  # a longdouble's item() is a longdouble
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return _plain_list(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if type(value).__name__ in ("NAType", "NaTType") else value


def _plain_list(values: Sequence[Any]) -> Sequence[Any]:
    # A look at the kinds alone: features of ten thousand rows are millions of numbers, nearly always plain ones.
    if set(map(type, values)) <= _PLAIN:
        return list(values) if isinstance(values, tuple) else values
    return [plain(value) for value in values]
