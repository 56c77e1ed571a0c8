"""Further methods that a fit is scored beside, by the names somebody gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.errors import InputError
from sim.fitting.method import Method
from sim.fitting.methods import find_method


def asked_beside(asked: Method[Any], names: Sequence[str]) -> list[Method[Any]]:
    """The methods of these names that `asked` has not beside it already, in order.

    Errors: InputError where there is none of a name, or one cannot stand beside `asked`.
    """
    found: dict[str, Method[Any]] = {}
    for name in names:
        method = _found(name)
        if method.name == asked.name:
            if type(method) is not type(asked) and _place(method) != _place(asked):
                raise _two(asked, method)
            raise InputError(f"beside: '{name}' is the method itself", fix="leave it out")
        if method.name in asked.beside:
            continue
        _require_possible(asked, method)
        if (before := found.get(method.name)) is not None and _place(before) != _place(method):
            raise _two(before, method)
        found[method.name] = method
    there = {asked.name, *asked.beside, *found}
    for method in found.values():
        needed = method.size_from or method.like
        if needed is not None and needed not in there:
            raise InputError(
                f"beside: '{method.name}' takes over the size of '{needed}', which is not fitted",
                fix=f"ask for {needed} beside it",
            )
    return list(found.values())


def _place(method: Method[Any]) -> str:
    return f"{type(method).__module__}:{type(method).__qualname__}"


def _two(one: Method[Any], other: Method[Any]) -> InputError:
    return InputError(
        f"beside: two methods are called '{one.name}', {_place(one)} and {_place(other)}",
        fix="give one another name (its attribute `name`)",
    )


def _found(name: str) -> Method[Any]:
    try:
        return find_method(name)
    except InputError as error:
        # The same words of the argument that was given.
        raise InputError("beside: " + str(error).removeprefix("method: ")) from error


def _require_possible(asked: Method[Any], method: Method[Any]) -> None:
    if hasattr(asked, "fit_all"):
        raise InputError(
            f"beside: {asked.name} is chosen on whole annotators, and what stands beside it with it",
            fix=f"ask for method {method.name}, or leave it out",
        )
    if method.wants_contexts and not asked.wants_contexts:
        raise InputError(
            f"beside: '{method.name}' needs what is known of annotators, which {asked.name} does not read",
            fix=f"ask for method {method.name}",
        )
