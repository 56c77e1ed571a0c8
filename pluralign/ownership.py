"""Whose package is `llm`? Another distribution of that name may stand in front of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

from sim.errors import InputError
from sim.install import install_line


def _origin(name: str) -> Path | None:
    """Folder of a top-level package, found without importing it; None if there is none."""
    try:
        spec = util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    if not places:
        return None
    place = Path(places[0]).resolve()
    return place.parent if place.is_file() else place


def llm_owner_problem() -> str | None:
    """What is wrong if the import name `llm` is not ours, in one line; None if it is ours.

    Nothing is imported: a stranger's package could run anything. Ours lies beside `pluralign`.
    """
    ours = Path(__file__).resolve().parent.parent / "llm"
    found = _origin("llm")
    if found is None:
        return f"the package llm is missing (expected {ours}); install pluralign again"
    if found != ours:
        return (
            f"another installed package owns the import name 'llm' ({found}); pluralign's lies in {ours}. "
            "Use an environment of its own, or 'pip uninstall llm' and install pluralign again"
        )
    # A regular install of both leaves one folder with the files of both: the last one installed wins.
    if not (ours / "networks" / "mlp.py").is_file() or (ours / "default_plugins").is_dir():
        return (
            f"files of another package lie in {ours}; "
            "'pip uninstall llm', then install pluralign again (with --force-reinstall)"
        )
    return None


def require_own_llm() -> None:
    """InputError with the same line, for commands that are about to import `llm`."""
    problem = llm_owner_problem()
    if problem is not None:
        raise InputError(problem)


@contextmanager
def importing_llm(what: str) -> Iterator[None]:
    """Around imports of `llm`: one clear line where another distribution has that name, or a package is missing."""
    require_own_llm()
    try:
        yield
    except ImportError as error:
        raise InputError(f"{what} needs {error.name}", fix=install_line("llm")) from error
