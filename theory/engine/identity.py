"""What a value is, as a text: the same in every process, and another one for another value.

Settings are measured once for one text and draw from the streams of that text, so two values may not share one, and
none may depend on an address in memory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from sim.errors import InputError

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")
# Words that are told without quotes: what could be another type's text, or the end of a field, is none.
_WORD = re.compile(r"(?!(?:True|False|None|nan|inf)$)[A-Za-z_][\w */:>()\[\]-]*|")
_FIX = "give numbers, texts, tuples, arrays, dataclasses of these, or functions of a module by their names"

# Modules whose functions came to this process with a claim: what is called so here may be another one.
_SENT: set[str] = set()


@contextmanager
def sent_from(modules: Sequence[str]) -> Iterator[None]:
    """Inside, functions of these modules have the names that they were looked up by where they were sent from."""
    added = set(modules) - _SENT
    _SENT.update(added)
    try:
        yield
    finally:
        _SENT.difference_update(added)


def identity(value: object) -> str:
    """The value as a text; arrays by type, shape and a digest of their bytes, functions by module and name.

    Errors: InputError for what has no lasting identity: a lambda, a function made inside another, an object that says
    no more of itself than where it lies in memory.
    """
    if isinstance(value, str) and not isinstance(value, Enum):
        return value if _WORD.fullmatch(value) else repr(value)
    return _inner(value)


def _inner(value: Any) -> str:
    """As inside a tuple, where texts have quotes."""
    if isinstance(value, Enum):
        return f"{value}"
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        # A subclass may print as another one, or as nothing that tells it from its neighbours.
        own: Any = next(kind for kind in (bool, int, float, complex, str, bytes, type(None)) if isinstance(value, kind))
        return str(own.__repr__(value))
    if isinstance(value, np.ndarray | np.generic):
        return _array(value)
    if isinstance(value, tuple | list):
        return _sequence(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_inner(key)}: {_inner(part)}" for key, part in value.items()) + "}"
    if isinstance(value, Set):
        # Its order is another one in every process.
        return "{" + ", ".join(sorted(map(_inner, value))) + "}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = (f"{field.name}={_inner(getattr(value, field.name))}" for field in dataclasses.fields(value))
        return f"{type(value).__qualname__}({', '.join(parts)})"
    if isinstance(value, partial):
        return f"partial({_inner(value.func)}, {_inner(value.args)}, {_inner(value.keywords)})"
    if isinstance(value, MethodType):
        return f"{_inner(value.__self__)}.{value.__name__}"
    if isinstance(value, type | FunctionType | BuiltinFunctionType | np.ufunc) or hasattr(value, "__qualname__"):
        return _named(value)
    return _told(value)


def _sequence(value: tuple[Any, ...] | list[Any]) -> str:
    inside = ", ".join(map(_inner, value))
    named = "" if type(value) in (tuple, list) else type(value).__qualname__
    if isinstance(value, list):
        return f"{named}[{inside}]"
    return f"{named}({inside},)" if len(value) == 1 else f"{named}({inside})"


def _array(value: Any) -> str:
    if value.dtype.hasobject:
        return f"array({value.shape}, {_inner(value.tolist())})"
    if value.ndim == 0 and value.dtype in (np.float64, np.int64, np.bool_):
        return repr(value.item())
    raw = np.ascontiguousarray(value)
    if raw.dtype.byteorder == ">":
        raw = raw.astype(raw.dtype.newbyteorder("<"))
    digest = hashlib.blake2b(raw.tobytes(), digest_size=16).hexdigest()
    return f"array({value.dtype.name}, {value.shape}, {digest})"


def _named(value: Any) -> str:
    """module.name of what is found again under that name."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None) or value.__name__
    if isinstance(value, np.ufunc):
        module = "numpy"
    if module in _SENT and "<" not in name:
        return f"{module}.{name}"
    try:
        found = importlib.import_module(str(module))
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        found = None
    if found is not value:
        raise InputError(f"{name} of {module} cannot be found again by its name", fix=_FIX)
    return f"{module}.{name}"


def _told(value: Any) -> str:
    """What an object says of itself, if that is its own and not where it lies."""
    kind: Any = type(value)
    # The longer of the two as a rule: a generator of random numbers names its kind alone in the other one.
    says = next((own for own in (kind.__repr__, kind.__str__) if own not in (object.__repr__, object.__str__)), None)
    text = "" if says is None else says(value)
    # What has an array's face cuts and rounds what it prints.
    if says is None or _ADDRESS.search(text) or hasattr(value, "__array__"):
        raise InputError(f"an object of {kind.__module__}.{kind.__qualname__} has no lasting identity", fix=_FIX)
    return f"{kind.__qualname__}<{text}>"
