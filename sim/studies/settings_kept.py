"""A study's setting: what a file may name of it, what it is, and how workers come by the very same."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, fields
from datetime import date
from typing import Any

from sim.errors import InputError, short


def names_of(kind: type[Any]) -> tuple[str, ...]:
    """What a study file may set: what the dataclass takes, `InitVar`s too, fields with init=False not."""
    own = inspect.signature(kind).parameters.values()
    return tuple(one.name for one in own if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL))


def resolved(setting: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Its fields, and what was given that is none of them (`InitVar`): all that decides a cell, as JSON holds it.

    given: what the study file says.  InputError where a field holds something else, or nan.
    """
    try:
        found = asdict(setting)
    except AttributeError as error:
        raise InputError(f"setting: a field has no value after __post_init__ ({error})", fix="set it there") from error
    found |= {name: value for name, value in given.items() if name not in found}
    for name, value in found.items():
        try:
            require_plain(value, name)
        except InputError as error:
            raise InputError(f"setting, as __post_init__ left it: {error}") from error
    return found


def require_plain(value: Any, field: str) -> None:
    """InputError where JSON has no such value, infinite numbers apart: nothing could say what was computed."""
    if isinstance(value, float) and math.isnan(value):
        raise InputError("nan is no setting", field=field, fix="write a number, or null where none is meant")
    if isinstance(value, list | tuple):
        for item in value:
            require_plain(item, field)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise InputError(f"expected names in a mapping, got {short(name)}", field=field, fix="quote it")
            require_plain(item, field)
    elif not (value is None or isinstance(value, bool | int | float | str)):
        quote = "; quote what is meant as text" if isinstance(value, date) else ""
        raise InputError(
            f"expected a number, text, true, false, null or a list of them, got {type(value).__name__} {short(value)}",
            field=field, fix=f"write one of these{quote}",
        )  # fmt: skip


def as_plain(value: Any) -> Any:
    """As a JSON file holds it: infinite numbers, which it has not, as the text that YAML reads as one."""
    if isinstance(value, float) and math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    if isinstance(value, dict):
        return {name: as_plain(item) for name, item in value.items()}
    return [as_plain(item) for item in value] if isinstance(value, list | tuple) else value


def kept(setting: Any) -> dict[str, Any]:
    """All that it holds, for `again`.  It is not made a second time from its fields: `__post_init__` may have changed
    them, or have looked at where it ran."""
    slots = {own.name: getattr(setting, own.name) for own in fields(setting) if hasattr(setting, own.name)}
    try:
        return deepcopy({**slots, **getattr(setting, "__dict__", {})})
    except Exception as error:  # a lock, a file: whatever the object raises
        raise InputError(
            f"setting: cannot be copied for workers ({type(error).__name__}: {short(str(error))})",
            fix="keep numbers and texts in it, and make in run what is made of them",
        ) from error


def again(kind: type[Any], state: Mapping[str, Any]) -> Any:
    """The setting that `kept` kept, a fresh one each time."""
    setting = object.__new__(kind)
    for name, value in deepcopy(dict(state)).items():
        object.__setattr__(setting, name, value)
    return setting
