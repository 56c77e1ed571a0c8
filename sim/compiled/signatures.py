"""The types a kernel is called with, as JSON keeps them: ["array", "float64", 2, "C"], ["tuple", ...], "int64",
and ["module.Class", ...] of a named tuple."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from numba import types

_SCALARS = {
    str(kind): kind for kind in (types.float64, types.float32, types.int64, types.uint64, types.boolean, types.none)
}  # fmt: skip


def as_kept(kind: Any) -> Any:
    """ValueError for a type that no kernel of ours is called with from Python."""
    if isinstance(kind, types.Array):
        if not kind.mutable or not kind.aligned:
            raise ValueError(f"{kind!r}: arrays are kept that can be written to")
        return ["array", as_kept(kind.dtype), kind.ndim, kind.layout]
    if isinstance(kind, types.NamedTuple | types.NamedUniTuple):
        named = kind.instance_class
        return [f"{named.__module__}.{named.__qualname__}", *map(as_kept, kind.types)]
    if isinstance(kind, types.BaseTuple):
        return ["tuple", *map(as_kept, kind.types)]
    if str(kind) in _SCALARS:
        return str(kind)
    raise ValueError(f"no way is known to keep the type {kind!r}")


def from_kept(kept: Any) -> Any:
    """The type again."""
    if isinstance(kept, str):
        return _SCALARS[kept]
    name, *parts = kept
    if name == "array":
        return types.Array(from_kept(parts[0]), *parts[1:])
    inner = tuple(map(from_kept, parts))
    if name == "tuple":
        return types.Tuple(inner)
    module, named = name.rsplit(".", 1)
    return types.BaseTuple.from_types(inner, getattr(import_module(module), named))
