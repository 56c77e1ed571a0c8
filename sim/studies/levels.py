"""The values a study file may give: levels of its factors, and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.errors import InputError, short
from sim.studies.results import COLUMNS
from sim.studies.settings_kept import require_plain


def levels_of(name: str, values: Any, file: Path) -> tuple[Any, ...]:
    """A factor's levels, of which no two are equal: rows of equal levels are one group of the results."""
    if name in COLUMNS:
        raise InputError(
            f"a factor cannot be called '{name}': results have a column of that name", file=file,
            field=f"grid.{name}", fix="give the setting's field another name",
        )  # fmt: skip
    if not isinstance(values, list) or not values:
        raise InputError(f"expected a list of values, got {short(values)}", file=file, field=f"grid.{name}")
    frozen = tuple(setting_value(f"grid.{name}", value, file) for value in values)
    seen: dict[Any, Any] = {}
    for value in frozen:
        if _holds_mapping(value):
            raise InputError(
                f"a level cannot be a mapping (got {short(value)})", file=file, field=f"grid.{name}",
                fix="give the setting a field for each part, and vary these",
            )  # fmt: skip
        if value in seen:
            also = "" if repr(value) == repr(seen[value]) else f": {short(seen[value])} and {short(value)} are equal"
            raise InputError(f"a value occurs twice{also}", file=file, field=f"grid.{name}", fix="remove one")
        seen[value] = value
    return frozen


def _holds_mapping(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, tuple) and any(map(_holds_mapping, value)))


def setting_value(field: str, value: Any, file: Path) -> Any:
    """As a setting holds it: lists as tuples."""
    try:
        require_plain(value, field)
    except InputError as error:
        raise InputError(error.problem, file=file, field=field, fix=error.fix) from error
    return _frozen(value)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
