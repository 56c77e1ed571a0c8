"""A mistake in what a method of one's own says of a fit beside its numbers loses no fit: it is a warning, in a line."""

import json
import re
import sys

import pyarrow.parquet as pq
import pytest
from opposed import opposed_types
from own_modules_text import sums_module

import pluralign as pl
from pluralign.__main__ import main
from sim.errors import InputError
from sim.files.preference_files import write_pairs

TOLD = """
class Told(Sums):
    def fit(self, answers, size, ridge, task):
        self.n = answers.n_annotators
        return super().fit(answers, size, ridge, task)

    def diagnostics(self, fits, prepared, settings, stream, say):
        return {diagnosis}

    def table(self, model):
        return {table}

    def describe(self, model, prepared, centre, stream):
        return {groups}

    def shares(self, model):
        return {shares}

    def n_types(self, model, size, prepared):
        return {count}
"""
GOOD = {"diagnosis": 'Diagnosis({"mine": {"n": 1}}, ("a word",))', "table": '{"n": np.arange(self.n)}', "groups": "()",
        "shares": "np.array([0.25, 0.75])", "count": "len(self.shares(model))"}  # fmt: skip
MISTAKES = {
    "diagnosis raises": ({"diagnosis": "1 / 0"}, r"diagnostics raised ZeroDivisionError \({name}.py, line 36\): .*"),
    "diagnosis raises marks": (
        {"diagnosis": "self.grid('\\x1b[31m' * 500 + 1)"},
        r"diagnostics raised TypeError .*",
    ),
    "diagnosis raises much": (
        {"diagnosis": "{}['\\x1b[31m' * 500]"},
        r"diagnostics raised KeyError .*x1b.{100,500}\.\.\.",
    ),
    "diagnosis is nothing": ({"diagnosis": "None"}, r"diagnostics must return a Diagnosis \(got None\)"),
    "diagnosis has objects": ({"diagnosis": 'Diagnosis({"mine": {1, 2}})'}, "diagnostics: parts must hold what JSON.*"),
    "diagnosis has numbers": ({"diagnosis": "Diagnosis({}, (3,))"}, "diagnostics: warnings must be texts .*"),
    "table raises": ({"table": "1 / 0"}, r"table raised ZeroDivisionError \({name}.py, line 39\): .*"),
    "table is nothing": ({"table": "None"}, r"table raised AttributeError .*"),
    "table is short": ({"table": '{"n": np.arange(2)}'}, "table: 'n' must hold numbers or texts, a row for each of .*"),
    "groups raise": ({"groups": "1 / 0"}, r"describe raised ZeroDivisionError \({name}.py, line 42\): .*"),
    "groups are text": ({"groups": "'abc'"}, "describe must return a tuple of Group, .*"),
    "shares raise": ({"shares": "1 / 0"}, r"shares raised ZeroDivisionError \({name}.py, line 45\): .*"),
    "shares are text": ({"shares": "np.array(['a'])"}, "shares must return a vector of numbers, .*"),
    "shares are unknown": ({"shares": "np.array([np.nan])"}, "shares must return a vector of numbers, .*"),
    "types raise": ({"count": "1 / 0"}, r"n_types raised ZeroDivisionError \({name}.py, line 48\): .*"),
    "types are text": ({"count": "'three'"}, r"n_types must return a whole number \(got 'three'\)"),
    "table of objects": ({"table": '{"n": [object()] * self.n}'}, "table: 'n' must hold numbers or texts, .*"),
}


@pytest.fixture(scope="module")
def table():
    return opposed_types(groups=False)


def _method(folder, name, change):
    (folder / f"{name}.py").write_text(sums_module(name, last=TOLD.format(**{**GOOD, **change})))
    return f"{name}:Told"


@pytest.mark.parametrize("kind", MISTAKES)
def test_it_is_a_warning_and_the_fit_is_saved(kind, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    change, message = MISTAKES[kind]
    name = "hooks_" + kind.replace(" ", "_")
    good = pl.fit(table, method=_method(tmp_path, f"{name}_good", {}))
    assert good.as_dict()["mine"] == {"n": 1}
    assert list(good.warnings)[:1] == ["a word"]
    fit = pl.fit(table, method=_method(tmp_path, name, change))
    fit.save("saved")
    again = pl.load_fit("saved")
    for found in (fit, again):
        (said,) = (line for line in found.warnings if line.startswith(f"method {name}: "))
        assert said.isprintable()
        assert len(said) < 600
        assert re.fullmatch(f"method {name}: {message.replace('{name}', name)}; the fit is without it", said), said
    shares, count = [1.0] if "shares" in change else [0.25, 0.75], 1 if "count" in change or "shares" in change else 2
    assert again.as_dict()["mixture"] == shares
    assert again.as_dict()["n_types"] == fit.n_types == count
    assert again.as_dict()["test"] == fit.as_dict()["test"] == good.as_dict()["test"]
    columns = pq.read_table("saved/annotators.parquet").column_names
    assert columns == ["annotator_id", *(["n"] if "table" not in change else [])]
    if "table" in change:
        with pytest.raises(InputError, match=f"^method {name}: table"):
            _ = again.table


def test_beside_another_it_is_a_warning_too(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    method = _method(tmp_path, "hooks_beside", {"count": "1 / 0"})
    for asked, beside in (("pooled", [method]), (_method(tmp_path, "hooks_asked", {}), ["pooled", method])):
        fit = pl.fit(table, method=asked, beside=beside)
        (said,) = (line for line in fit.warnings if "hooks_beside" in line)
        assert said.startswith("method hooks_beside: n_types raised ZeroDivisionError")
        assert fit.as_dict()["baselines"]["hooks_beside"]["n_types"] == 1


def test_from_the_command_line(table, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    write_pairs("pairs.parquet", table)
    method = _method(tmp_path, "hooks_typed", {"diagnosis": "1 / 0", "table": "1 / 0"})
    monkeypatch.setattr(sys, "argv", ["pluralign", "fit", "pairs.parquet", "--method", method, "--out", "o", "--json"])
    assert main() == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert [line.partition(" raised")[0] for line in warnings if "hooks_typed" in line] == [
        "method hooks_typed: diagnostics", "method hooks_typed: table",
    ]  # fmt: skip
    assert (tmp_path / "o" / "fit.json").exists()
