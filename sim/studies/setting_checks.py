"""A setting's fields held against their annotations: a study file may hold anything."""

from __future__ import annotations

import math
import types
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from sim.arguments import require_between, require_choice
from sim.errors import short

__all__ = ["AtLeast", "Count", "Extended", "check_kinds", "require_choice", "require_share"]


@dataclass(frozen=True)
class AtLeast:
    """Marks a whole number whose least value is not 1."""

    least: int


@dataclass(frozen=True)
class MayBeInfinite:
    """Marks a number that infinity is one of."""


# No memory has so many of anything, and arithmetic with them stays exact.
LARGEST = 10**15

# A whole number that may be zero, unlike a plain int.
Count: TypeAlias = Annotated[int, AtLeast(0)]
# A number or plus or minus infinity, unlike a plain float.
Extended: TypeAlias = Annotated[float, MayBeInfinite()]


def check_kinds(setting: Any) -> None:
    """Whole numbers of at least 1 where a field is an int (0 where it is a `Count`), finite numbers where it is a float
    (infinite ones too where it is `Extended`), truth values, texts, choices of a Literal, lists and unions of these.

    Annotations are resolved, so that it does not matter how they were written; one that is none of these is an error
    of whoever wrote the setting (TypeError): no field goes unchecked.
    """
    hints = get_type_hints(type(setting), include_extras=True)
    for field in fields(setting):
        value, kind = getattr(setting, field.name), hints[field.name]
        if not _is(value, kind):
            finite = "finite, and " if isinstance(value, float) and not math.isfinite(value) else ""
            raise ValueError(f"{field.name} must be {finite}{_words(kind)} (got {short(value)})")
        if isinstance(value, int) and value > LARGEST:
            raise ValueError(f"{field.name} must be at most {LARGEST:.0e} (got {short(value)})")


def require_share(**values: float) -> None:
    """Each lies in [0, 1]."""
    require_between(0.0, 1.0, **values)


def _parts(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """(bool, int, float, str, None, tuple, Literal or Union; its least number, entries, choices or members)."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        marks = [mark for mark in arguments[1:] if isinstance(mark, AtLeast | MayBeInfinite)]
        base, parts = _parts(arguments[0])
        return base, tuple(mark.least if isinstance(mark, AtLeast) else mark for mark in marks) or parts
    if origin in (Union, types.UnionType):
        return Union, arguments
    if origin in (tuple, Literal):
        return origin, arguments
    if kind in (bool, int, float, str, type(None)):
        return kind, (1,) if kind is int else ()
    raise TypeError(f"a setting's field may be a bool, int, float, str, Literal, tuple or a union, not {kind!r}")


def _is(value: Any, kind: Any) -> bool:
    base, parts = _parts(kind)
    if base is Union:
        return any(_is(value, part) for part in parts)
    if base is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if base is tuple:
        each = parts[:1] * len(value) if isinstance(value, tuple) and parts[1:] == (...,) else parts
        return isinstance(value, tuple) and len(value) == len(each) and all(map(_is, value, each))
    if base is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= parts[0]
    if base is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (isinstance(value, int) or math.isfinite(value) or (bool(parts) and math.isinf(value)))
    return isinstance(value, base)


def _words(kind: Any) -> str:
    base, parts = _parts(kind)
    if base is Union:
        return " or ".join(map(_words, parts))
    if base is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if base is tuple:
        return f"a list of {_several(parts[0])}" if parts[1:] == (...,) else f"a list: {', '.join(map(_words, parts))}"
    names = {int: f"a whole number of at least {(*parts, 1)[0]}", float: "a number", bool: "true or false"}
    return {**names, str: "a text", type(None): "null"}[base]


def _several(kind: Any) -> str:
    base, parts = _parts(kind)
    if base is Literal:
        return f"entries out of {', '.join(map(str, parts))}"
    names = {int: f"whole numbers of at least {(*parts, 1)[0]}", float: "numbers", bool: "truth values", str: "texts"}
    return names.get(base, f"entries, each {_words(kind)}")
