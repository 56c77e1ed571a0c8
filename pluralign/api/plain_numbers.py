"""Numbers that callers give, as Python's own: what a result keeps of them must go into JSON and come back the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from sim.arguments import whole_number

P = ParamSpec("P")
R = TypeVar("R")


def plain_numbers(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose arguments are checked by their annotations alone: `int`, or `int | None`, takes a whole
    number of any kind (`whole_number`) and is given Python's, `float` likewise is given Python's for NumPy's.

    What range a number has to lie in, the function itself says.  Errors: InputError names the argument.
    """
    parameters = inspect.signature(function).parameters
    kinds = {name: str(own.annotation) for name, own in parameters.items()}
    # Not those behind *names, which take all that comes by place.
    places = [name for name, own in parameters.items() if own.kind is own.POSITIONAL_OR_KEYWORD]

    def plain(name: str, value: Any) -> Any:
        kind = kinds.get(name, "")
        if value is None and kind.endswith(" | None"):
            return None
        if kind.partition(" | ")[0] == "int":
            return whole_number(name, value)
        return value.item() if kind.startswith("float") and isinstance(value, np.number) else value

    @wraps(function)
    def checked(*args: Any, **named: Any) -> Any:
        # More of them than it takes are its own to refuse.
        given = [plain(places[number], value) if number < len(places) else value for number, value in enumerate(args)]
        return function(*given, **{name: plain(name, value) for name, value in named.items()})

    return checked
