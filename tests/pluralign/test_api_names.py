"""`import pluralign`: every name is there, has the type the imports say, and none is loaded before it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pluralign as pl

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", pl.__all__)
def test_every_name_resolves(name):
    assert getattr(pl, name) is not None
    assert name in dir(pl)


def test_what_is_imported_for_types_is_what_is_loaded():
    """The imports under TYPE_CHECKING, which editors and mypy read, against what `__getattr__` gives."""
    tree = ast.parse((ROOT / "pluralign" / "__init__.py").read_text("utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {}
    for node in guarded.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            told[alias.asname or alias.name] = (node.module, alias.name)
    assert {*told, "__version__"} == set(pl.__all__)
    assert pl.__all__ == sorted(pl.__all__)
    for name, (module, there) in told.items():
        found = getattr(pl, name)
        home = sys.modules.get(module)
        assert found is getattr(home, there), name


def test_every_name_says_what_it_is():
    assert all(getattr(pl, name).__doc__ for name in pl.__all__ if name != "__version__")


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'frit'"):
        pl.frit  # noqa: B018


def _loaded(code):
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
                          capture_output=True, text=True, check=True, cwd=ROOT)  # fmt: skip
    return {name.partition(".")[0] for name in done.stdout.split()}


HEAVY = {"torch", "numba", "matplotlib", "pandas", "polars", "scipy", "sklearn", "datasets", "numpy", "pyarrow"}


def test_importing_loads_nothing_heavy():
    assert not _loaded("import pluralign") & HEAVY
    assert not _loaded("import pluralign; dir(pluralign); pluralign.InputError; pluralign.Verdict") & HEAVY


def test_reading_pairs_loads_neither_torch_nor_kernels():
    code = "import pluralign as pl; pl.read_pairs(chosen=['a'], rejected=['b'], annotator=['x'])"
    assert not _loaded(code) & {"torch", "numba", "matplotlib", "pandas", "polars", "datasets"}
