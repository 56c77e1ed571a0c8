"""What an object would do, as a digest of the code and the values that it holds here, whatever its files say now.

For what has no file (cells of a notebook, text that was executed), and for objects that are given as they are: their
module's file may have been edited since it was imported.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Mapping, Set
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import numpy as np

from sim.plugin_sources import OURS, is_installed, made_of, sources_from

# Of a class: where it stands, what it says, and what Python keeps in it for itself.
_BESIDE = {"__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__static_attributes__", "_abc_impl"}

# id -> (its number, itself: one that were gone would leave its id to another).
_Seen: TypeAlias = dict[int, tuple[int, object]]


def code_digest(thing: object) -> str:
    """Of code, defaults, attributes, and what the code names in its module, followed through; of what is ours,
    Python's or an installed package's the name alone.  The same in every process of one version of Python."""
    return hashlib.blake2b(_text(thing, {}).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _text(value: Any, seen: _Seen) -> str:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if id(value) in seen:
        return f"again {seen[id(value)][0]}"
    seen[id(value)] = len(seen), value
    if isinstance(value, np.ndarray | np.generic):
        raw = repr(value.tolist()) if value.dtype.hasobject else np.ascontiguousarray(value).tobytes().hex()
        return f"{value.dtype}{value.shape}{raw}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}[{', '.join(_text(one, seen) for one in value)}]"
    if isinstance(value, Set):
        # In an order of its own in every process: each by itself.
        return f"set[{', '.join(sorted(_text(one, dict(seen)) for one in value))}]"
    if isinstance(value, Mapping):
        return f"map[{', '.join(f'{_text(key, seen)}: {_text(one, seen)}' for key, one in value.items())}]"
    if isinstance(value, CodeType):
        return _code(value, seen)
    if isinstance(value, ModuleType):
        return _module(value)
    if isinstance(value, functools.partial):
        return f"partial{_text((value.func, value.args, value.keywords), seen)}"
    if isinstance(value, staticmethod | classmethod | MethodType):
        own = getattr(value, "__self__", None)
        return f"{type(value).__name__}{_text((value.__func__, own), seen)}"
    if isinstance(value, property):
        return f"property{_text((value.fget, value.fset, value.fdel), seen)}"
    if isinstance(compiled := getattr(value, "py_func", None), FunctionType):  # numba's
        return f"compiled {_text(compiled, seen)}"
    if isinstance(value, FunctionType):
        return _function(value, seen)
    if isinstance(value, type):
        return _class(value, seen)
    return f"{_text(type(value), seen)}{_text(_attributes(value), seen)}"


def _attributes(value: Any) -> dict[str, Any]:
    """Of an object of somebody's own class, or a dataclass; what others hold (locks, loggers) need not last."""
    kept = dict(vars(value)) if _is_own(type(value).__module__) and hasattr(value, "__dict__") else {}
    if dataclasses.is_dataclass(value):
        kept |= {own.name: getattr(value, own.name, None) for own in dataclasses.fields(value)}
    return kept


def _function(value: FunctionType, seen: _Seen) -> str:
    if not _is_own(value.__module__):
        return f"{value.__module__}.{value.__qualname__}"
    cells = [_held(cell) for cell in value.__closure__ or ()]
    named = {name: value.__globals__[name] for name in sorted(_names(value.__code__)) if name in value.__globals__}
    return f"function{_text((value.__code__, value.__defaults__, value.__kwdefaults__, cells, named), seen)}"


def _class(value: type[Any], seen: _Seen) -> str:
    name = f"{value.__module__}.{value.__qualname__}"
    if not _is_own(value.__module__):
        return name
    own = {name: one for name, one in sorted(vars(value).items()) if name not in _BESIDE}
    return f"class {value.__qualname__}{_text((value.__bases__, own), seen)}"


def _code(code: CodeType, seen: _Seen) -> str:
    return f"code{_text((code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_consts), seen)}"


def _names(code: CodeType) -> set[str]:
    return set(code.co_names).union(*(_names(one) for one in code.co_consts if isinstance(one, CodeType)))


def _held(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _module(module: ModuleType) -> str:
    name = module.__name__
    if not _is_own(name) or getattr(module, "__file__", None) is None:
        return f"module {name}"
    return f"module {name} {sources_from(*made_of(name)).digest}"


def _is_own(module: str | None) -> bool:
    """Whether code of that module is a user's: not ours, Python's or of an installed package."""
    top = (module or "").partition(".")[0]
    if top in OURS or (top in sys.stdlib_module_names and top != "__main__"):
        return False
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    return file is None or not is_installed(Path(file))
