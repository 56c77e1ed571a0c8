"""`pl.fit(method=OBJECT)` fits the object that it is given, and keeps what that was made of when the fit began."""

import importlib
import sys
import warnings

import pytest
from opposed import opposed_types
from own_modules_text import sums_module

import pluralign as pl
from sim.errors import InputError

FIRST = """
    def __init__(self, strength=1.0):
        self.strength = strength
"""
FITTED = "FACTOR * self.strength * answers.differences.mean(axis=0)"


@pytest.fixture(scope="module")
def table():
    return opposed_types(groups=False)


@pytest.fixture
def module(tmp_path, monkeypatch, request):
    name = f"given_{abs(hash(request.node.name))}"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / f"{name}.py").write_text(
        sums_module(name, head="FACTOR = 1.0", first=FIRST, fitted=FITTED, last="\nMETHOD = Sums()")
    )
    importlib.invalidate_caches()
    yield importlib.import_module(name)
    sys.modules.pop(name, None)


def test_the_object_is_fitted_with_its_own_settings_again_and_again(module, table):
    plain = pl.fit(table, method=f"{module.__name__}:METHOD").model
    mine = importlib.import_module(module.__name__).METHOD
    mine.strength = 3.0
    for _ in range(2):
        assert pl.fit(table, method=mine).model == pytest.approx(3.0 * plain)
        assert importlib.import_module(module.__name__).METHOD is mine, "its module is not imported anew"


def test_a_class_is_fitted_also_when_its_module_was_imported_again(module, table):
    kind, held = module.Sums, module.METHOD
    by_name = pl.fit(table, method=f"{module.__name__}:Sums").model
    assert importlib.import_module(module.__name__).Sums is not kind, "by name it is imported as its file is now"
    for method in (kind, held):
        assert pl.fit(table, method=method).model == pytest.approx(by_name)
    held.strength = 2.0
    with pytest.raises(InputError, match=r"has no name in its module, .* by which it could be found again"):
        pl.fit(table, method=held)


def test_an_edit_that_it_does_not_have_is_told_where_it_is_read_back(module, table, tmp_path):
    mine, file = module.METHOD, tmp_path / f"{module.__name__}.py"
    pl.fit(table, method=mine).save(tmp_path / "same")
    file.write_text(file.read_text().replace("FACTOR = 1.0", "FACTOR = 2.0"))
    pl.fit(table, method=mine).save(tmp_path / "before")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file.write_text(file.read_text().replace("FACTOR = 2.0", "FACTOR = 1.0"))
        pl.load_fit(tmp_path / "same")
    file.write_text(file.read_text().replace("FACTOR = 1.0", "FACTOR = 2.0"))
    with pytest.warns(UserWarning, match="has other sources than when .*before was saved"):
        pl.load_fit(tmp_path / "before")


def test_settings_that_its_name_does_not_have_are_told_too(module, table, tmp_path):
    module.METHOD.strength = 3.0
    pl.fit(table, method=module.METHOD).save(tmp_path / "fit")
    sys.modules.pop(module.__name__)
    with pytest.warns(UserWarning, match="has other sources than when"):
        pl.load_fit(tmp_path / "fit")


@pytest.mark.parametrize("after", ["edited", "removed"])
def test_what_a_fit_was_made_with_is_kept_when_it_begins(module, table, tmp_path, after):
    fit = pl.fit(table, method=f"{module.__name__}:METHOD")
    code, file = fit.as_dict()["method_code"], tmp_path / f"{module.__name__}.py"
    text = file.read_text()
    file.unlink()
    if after == "edited":
        file.write_text(text.replace("FACTOR = 1.0", "FACTOR = 2.0"))
    fit.save(tmp_path / "fit")
    assert fit.as_dict()["method_code"] == code
    file.write_text(text.replace("FACTOR = 1.0", "FACTOR = 2.0"))
    with pytest.warns(UserWarning, match="has other sources than when"):
        pl.load_fit(tmp_path / "fit")
