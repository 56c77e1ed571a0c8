"""Settings of a study as Python has them, as the texts KEY=VALUE that the command line takes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import yaml

from sim.errors import InputError, short


def override(key: Any, value: Any) -> str:
    """KEY=VALUE, the value YAML: numbers of NumPy, arrays, columns of pandas and polars, paths as text."""
    if not isinstance(key, str) or "=" in key or not key.strip():
        raise InputError(f"settings: expected a key of the study file, got {short(key)}", fix="name it by a text")
    text = yaml.safe_dump(plain(value, key), default_flow_style=True, width=1 << 20, allow_unicode=True)
    return f"{key}={text.removesuffix('...' + chr(10)).strip()}"


def plain(value: Any, key: str) -> Any:
    """The value in what YAML has; InputError, naming the key, where it has none of the kind."""
    if value is None or isinstance(value, bool | int | float | str):
        # Subclasses, as a member of an enumeration, are what they count as.
        kinds = (bool, int, float, str)
        return value if value is None else next(kind(value) for kind in kinds if isinstance(value, kind))
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(value, np.generic | np.ndarray):
        made = value.tolist()
        return float(value) if isinstance(made, np.generic) else plain(made, key)
    if isinstance(value, Mapping):
        return {plain(name, key): plain(item, key) for name, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(item, key) for item in value]
    # A column or an index of pandas or polars; a frame has no such method, and a set no order.
    for name in ("to_list", "tolist"):
        listed = getattr(value, name, None)
        if callable(listed) and not isinstance(value, Set | type):
            return plain(listed(), key)
    raise InputError(
        f"settings: {key}: expected numbers, texts, truth values, None or lists of them, got {type(value).__name__}",
        fix="give a list" if isinstance(value, Set) else "give what a study file could hold",
    )  # fmt: skip
