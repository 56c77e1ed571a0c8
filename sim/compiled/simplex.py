"""quantecon's simplex and its matrix games, as pieces of our kernels.

Three of its files are loaded, and not the package, which imports all of its economics (.6 s of processor time; 2.1 s
with an empty cache, for it compiles as it is imported). Their functions are made pieces as ours are, so that none is
compiled alone before it becomes part of a kernel. Nothing of theirs is changed, and the numbers are the same.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import FunctionType, ModuleType
from typing import Any

from numba import njit
from numba.core.registry import CPUDispatcher

from sim.compiled.borrowed import simplex_files
from sim.compiled.linking import Piece

# A package of ours that holds their files: what they import from each other they find in it.
_HOLDER = "sim.compiled._quantecon"


def _loaded() -> list[ModuleType]:
    files = simplex_files()
    holder = ModuleType(_HOLDER)
    holder.__path__ = [str(files[0].parent)]
    sys.modules[_HOLDER] = holder
    return [import_module(f"{_HOLDER}.{file.stem}") for file in files]


def _pieces(modules: list[ModuleType]) -> dict[str, Any]:
    """Every compiled function of theirs by its name, calling pieces where it calls functions."""
    pieces: dict[str, Any] = {}
    for module in modules:
        # In a module of its own, so to speak: what a function calls it finds by name when it is compiled.
        names = {**vars(module)}
        for name, value in vars(module).items():
            if isinstance(value, CPUDispatcher):
                if name not in pieces:
                    own = value.py_func
                    pieces[name] = njit(pipeline_class=Piece)(
                        FunctionType(own.__code__, names, own.__name__, own.__defaults__)
                    )
                names[name] = pieces[name]
    return pieces


_MODULES = _loaded()
_PIECES = _pieces(_MODULES)
PivOptions: Any = _MODULES[1].PivOptions
linprog_simplex: Any = _PIECES["linprog_simplex"]
minmax: Any = _PIECES["minmax"]

__all__ = ["PivOptions", "linprog_simplex", "minmax"]
