"""Tables of arguments made bad: a public function must refuse them and name the argument."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest


def _nan(values: Any) -> Any:
    out = np.array(values, dtype=np.float64)
    out.flat[0] = np.nan
    return out


def _index(values: Any) -> Any:
    out = np.array(values)
    out.flat[0] = 1_000_000
    return out


def _minus(values: Any) -> Any:
    out = np.array(values)
    out.flat[0] = -1
    return out


# What a word in a table does to the good argument.
SPOILERS: Mapping[str, Callable[[Any], Any]] = {
    "nan": _nan,
    "short": lambda values: values[:-1],
    "narrow": lambda values: values[..., :-1],
    "axis": lambda values: np.asarray(values)[None],
    "index": _index,
    "minus": _minus,
}


@dataclass(frozen=True)
class Border:
    """call(**good) works; with one argument replaced by what `bad` says of it, it must not."""

    call: Callable[..., Any]
    good: Mapping[str, Any]
    bad: Mapping[str, Sequence[Any]]

    @property
    def name(self) -> str:
        return self.call.__name__


def border(call: Callable[..., Any], good: Mapping[str, Any], /, **bad: Any) -> Border:
    """bad: for each argument a text of words from `SPOILERS`, or the bad values themselves."""
    return Border(call, good, {name: how.split() if isinstance(how, str) else how for name, how in bad.items()})


def cases(borders: Sequence[Border]) -> list[Any]:
    """pytest parameters: (border, argument, bad value)."""
    found = []
    for own in borders:
        for argument, ways in own.bad.items():
            for number, way in enumerate(ways):
                spoil = SPOILERS.get(way) if isinstance(way, str) else None
                value = way if spoil is None else spoil(own.good[argument])
                label = way if spoil is not None else number
                found.append(pytest.param(own, argument, value, id=f"{own.name}-{argument}-{label}"))
    return found


def assert_works(own: Border) -> None:
    own.call(**own.good)


def assert_refuses(own: Border, argument: str, value: Any) -> None:
    """ValueError whose text has the argument's name as a word."""
    with pytest.raises(ValueError, match=rf"\b{re.escape(argument)}\b"):
        own.call(**{**own.good, argument: value})


def assert_complete(
    room: str, borders: Sequence[Border], excused: Mapping[str, str], elsewhere: Mapping[str, str]
) -> None:
    """Every public function and class of a package has a row in its table, or a reason in `excused`; modules in
    `elsewhere` check their arguments in tests of their own. No excuse outlives what it excused."""
    entered = {own.name for own in borders}
    names = set()
    for module, name in _public(room):
        if module in elsewhere:
            continue
        names.add(name)
        assert name in entered or name in excused, f"{room}.{module}.{name} has no row in the table of borders"
    assert not set(excused) - names, f"excused, but not there: {sorted(set(excused) - names)}"
    assert not set(excused) & entered, f"excused, and in the table: {sorted(set(excused) & entered)}"


def _public(room: str) -> Iterator[tuple[str, str]]:
    package = importlib.import_module(room)
    for found in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{room}.{found.name}")
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(value) or (inspect.isclass(value) and not _needs_no_row(value)):
                yield found.name, name


def _needs_no_row(value: type) -> bool:
    """Protocols, enumerations and abstract classes: nobody calls them with arguments."""
    return getattr(value, "_is_protocol", False) or issubclass(value, Enum) or inspect.isabstract(value)
