"""Files of others whose functions become part of our kernels; found without importing their package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_NAMES = ("pivoting.py", "linprog_simplex.py", "minmax.py")


def simplex_files() -> list[Path]:
    """quantecon's simplex and its matrix games, what one imports before it."""
    found = find_spec("quantecon")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'quantecon'", name="quantecon")
    return [Path(found.origin).parent / "optimize" / name for name in _NAMES]
