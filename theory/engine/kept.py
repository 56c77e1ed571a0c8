"""What a claim computes of one draw for several of its readings and controls, computed once in a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_KEPT: ContextVar[dict[Any, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def keeping() -> Iterator[None]:
    """Inside, functions that are `kept` compute once for the same arguments; all is forgotten with the context."""
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def kept(function: Callable[P, R]) -> Callable[P, R]:
    """A function of a stream and what else can be hashed, whose answer is small and never changed: of a draw that a
    control shares with what it breaks (`Theorem.drawn_as`), the part that both have. Outside of a check it is plain."""

    @wraps(function)
    def once(*args: P.args, **kwargs: P.kwargs) -> R:
        known = _KEPT.get()
        if known is None:
            return function(*args, **kwargs)
        key = (function, args, tuple(sorted(kwargs.items())))
        if key not in known:
            known[key] = function(*args, **kwargs)
        found: R = known[key]
        return found

    return once
