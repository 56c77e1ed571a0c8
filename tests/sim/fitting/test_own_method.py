"""A method of one's own, one class in one file: chosen, fitted, scored, drawn, adapted by its own rule, saved, used."""

import json
import subprocess
import sys

import numpy as np
import pytest
from opposed import opposed_types
from places import ROOT
from tastes import table_of_tastes

from pluralign.__main__ import main
from sim.errors import InputError
from sim.files.preference_files import write_pairs
from sim.fitting.method import Grid, Problem
from sim.fitting.methods import find_method
from sim.fitting.own_methods import grid_of
from sim.fitting.report import fit
from sim.fitting.save import load_fit, save_fit
from sim.fitting.settings import FitSettings

TOY = '''
import numpy as np

from sim.fitting.method import Grid, Method
from sim.likelihoods import log_sigmoid


class Sign(Method):
    """Each annotator weighs one feature: the one whose sign agrees best with her answers; strangers none."""

    title = "one feature each"

    def grid(self, problem):
        return Grid((0,), (0.5, 1.0), untried=1.0, fixed=True)

    def fit(self, answers, size, ridge, task):
        weights = np.zeros((answers.n_annotators, answers.differences.shape[1]))
        for i in answers.answered:
            mean = np.sign(answers.differences[answers.of(i)]).mean(axis=0)
            best = np.abs(mean).argmax()
            weights[i, best] = np.sign(mean[best]) * ridge
        return weights

    def log_likelihood(self, model, answers):
        return log_sigmoid((model[answers.annotator] * answers.differences).sum(axis=1))

    def adapt(self, model, answers):
        return self.fit(answers, 0, np.abs(model).max(), None)

    def describe(self, model, prepared, centre, stream):
        return ()

    def parameters(self, model):
        return {"weights": model}

    def restore(self, parameters):
        return parameters["weights"]
'''

BY_CONTEXT = '''
import numpy as np

from sim.fitting.method import Grid, Method
from sim.likelihoods import log_sigmoid


class Sums(Method):
    """What is known of a person times what she chose, summed over all: an intercept and slopes by hand."""

    title, wants_contexts, beside = "sums", True, ("pooled",)

    def grid(self, problem):
        return Grid((0,), (0.5, 1.0), untried=1.0, fixed=True)

    def fit(self, answers, size, ridge, task):
        return ridge * answers.contexts[answers.annotator].T @ answers.differences / len(answers.differences)

    def log_likelihood(self, model, answers):
        return log_sigmoid(((answers.contexts @ model)[answers.annotator] * answers.differences).sum(axis=1))

    def adapt(self, model, answers):
        return model

    def describe(self, model, prepared, centre, stream):
        return ()

    def parameters(self, model):
        return {"sums": model}

    def restore(self, parameters):
        return parameters["sums"]
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    (tmp_path / "toymethod.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    yield "toymethod:Sign"
    sys.modules.pop("toymethod", None)


@pytest.fixture(scope="module")
def table():
    return opposed_types(groups=False)


def test_it_stands_in_every_table_and_figure(toy, table, tmp_path, monkeypatch, capsys):
    path, out = tmp_path / "pairs.parquet", tmp_path / "own"
    write_pairs(path, table)
    monkeypatch.setattr(sys, "argv", ["pluralign", "fit", str(path), "--method", toy, "--out", str(out), "--json"])
    assert main() == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["method"] == "Sign"
    assert set(answer["baselines"]) == {"pooled", "personal", "shared", "cluster", "coin", "length"}
    assert answer["against_pooled"]["Sign"]["known_users"]["log_likelihood"] > 0.1
    assert {c["method"] for c in answer["selection"]["candidates"]} >= {"Sign", "shared"}
    assert "Sign" in answer["new_users"][-1]
    monkeypatch.setattr(sys, "argv", ["pluralign", "report", str(out)])
    assert main() == 0
    printed = capsys.readouterr().out
    assert printed.count("Sign") >= 5
    svg = (out / "figures" / "gains.svg").read_text()
    assert "one feature each" in svg
    assert "Sign" in (out / "figures" / "scores.svg").read_text()


def test_new_annotators_are_adapted_to_by_its_own_rule(toy, table):
    """Not by `personal`'s: the scores after answers are those of its adapt, by hand."""
    report = fit(table, FitSettings(toy, seed=1))
    rows = report.comparison.new_annotators
    own = [row.by_method["Sign"].score.log_likelihood for row in rows]
    personal = [row.by_method["personal"].score.log_likelihood for row in rows]
    assert own[0] == pytest.approx(np.log(0.5)), "strangers weigh no feature"
    assert own[-1] > own[0] + 0.1
    assert all(abs(a - b) > 1e-6 for a, b in zip(own, personal, strict=True))


def test_it_is_loaded_in_another_process(toy, table, tmp_path):
    report = fit(table, FitSettings(toy))
    save_fit(tmp_path / "own", report)
    who = int(report.prepared.trained[0])
    x = table.features[:5]
    expected = report.prepared.scales.standard("items", x) @ report.model[who]
    code = (
        "import sys, json, numpy as np; from sim.fitting.save import load_fit\n"
        f"fit = load_fit({str(tmp_path / 'own')!r})\n"
        f"print(json.dumps(fit.score_items(np.array({x.tolist()}), {table.annotators[who]!r}).tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert json.loads(done.stdout) == pytest.approx(expected.tolist(), abs=1e-12)


def test_one_that_wants_contexts_is_saved_and_serves_strangers(tmp_path, monkeypatch, tmp_path_factory):
    """Its model has no `theta` and no table of its own: neither is asked for."""
    (tmp_path / "sumsmethod.py").write_text(BY_CONTEXT)
    monkeypatch.syspath_prepend(tmp_path)
    table = table_of_tastes(tmp_path_factory, people=40, answers=30)
    report = fit(table, FitSettings("sumsmethod:Sums"))
    save_fit(tmp_path / "own", report)
    told = report.prepared.table.annotator_features[:1]
    x, scales = table.features[:4], report.prepared.scales
    context = report.prepared.known.contexts[0]
    worth = load_fit(tmp_path / "own").score_items(x, annotator_features=np.repeat(told, 4, axis=0))
    assert worth == pytest.approx(scales.standard("items", x) @ (context @ report.model), abs=1e-12)
    sys.modules.pop("sumsmethod", None)


def test_what_it_raises_is_said_with_its_line_and_an_edit_is_told(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "editedmethod.py"
    module.write_text(TOY)
    save_fit(tmp_path / "own", fit(table, FitSettings("editedmethod:Sign")))
    load_fit(tmp_path / "own")
    module.write_text(TOY + "# edited\n")
    with pytest.warns(UserWarning, match="editedmethod:Sign has other sources than when"):
        load_fit(tmp_path / "own")
    module.write_text(TOY.replace("return log_sigmoid", "return 1 / 0 + log_sigmoid"))
    line = 1 + module.read_text().splitlines().index(next(x for x in module.read_text().splitlines() if "1 / 0" in x))
    with pytest.raises(InputError, match=rf"method Sign raised ZeroDivisionError \(editedmethod.py, line {line}\)"):
        fit(table, FitSettings("editedmethod:Sign"))
    sys.modules.pop("editedmethod", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("    def adapt", "    def adapted"), "does not say how to adapt"),
        (("class Sign(Method)", "class Sign"), "is not a method"),
        (('    title = "one feature each"', '    name = "shared"'), "has the name 'shared' of one of ours"),
    ],
)
def test_what_is_missing_is_said(tmp_path, monkeypatch, change, message):
    (tmp_path / "brokenmethod.py").write_text(TOY.replace(*change))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=message):
        find_method("brokenmethod:Sign")
    sys.modules.pop("brokenmethod", None)


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere:Sign", "No module named 'nowhere'"), ("json:Sign", "has no Sign"), ("shred", "did you mean 'shared'")],
)
def test_methods_that_are_not_there(name, message):
    with pytest.raises(InputError, match=message):
        find_method(name)


_GRID = "return Grid((0,), (0.5, 1.0), untried=1.0, fixed=True)"


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("return [0.5, 1.0]", r"must return a Grid \(got .*0.5.*\); return Grid"),
        ("return Grid((0,), (), untried=1.0)", r"ridges must hold one at least \(got none\)"),
        ("return Grid((0,), 0.5, untried=1.0)", r"ridges must be several numbers \(got .*0.5"),
        ("return Grid((0,), (-1.0, 1.0), untried=1.0)", r"ridges must be finite numbers, 0 or more \(got .*-1.0"),
        ("return Grid((0,), (float('nan'),), untried=1.0)", r"ridges must be finite numbers, 0 or more \(got .*nan"),
        ("return Grid((0,), (1.0,), untried=None)", r"ridges must be finite numbers, 0 or more \(got .*None"),
        ("return Grid((0,), (1.0,), untried=1.0, lower=('a',))", r"ridges must be finite numbers, 0 or more \(got .*a"),
        ("return Grid((1.5,), (1.0,), untried=1.0)", r"sizes must be whole numbers, 0 or more \(got .*1.5"),
    ],
)
def test_a_grid_is_looked_at(tmp_path, monkeypatch, table, grid, message):
    (tmp_path / "gridmethod.py").write_text(TOY.replace(_GRID, grid))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=rf"^method Sign: grid:? ?{message}"):
        fit(table, FitSettings("gridmethod:Sign"))
    sys.modules.pop("gridmethod", None)


def test_a_grid_of_arrays_is_one_of_tuples():
    class Arrays:
        name = "Arrays"

        def grid(self, problem):
            return Grid(range(1, 3), np.array([0.1, 1.0]), untried=1)

    assert grid_of(Arrays(), Problem(9, 2)) == Grid((1, 2), (0.1, 1.0), untried=1)


@pytest.mark.parametrize(
    ("restored", "message"),
    [
        ('parameters["weights"] * 0.5', "restore must give back the model; log P of an answer is "),
        ("None", "log_likelihood of what restore gives raised TypeError"),
        ('parameters["wieghts"]', "restore raised KeyError"),
    ],
)
def test_what_does_not_come_back_is_not_saved(tmp_path, monkeypatch, table, restored, message):
    (tmp_path / "lostmethod.py").write_text(TOY.replace('return parameters["weights"]', f"return {restored}"))
    monkeypatch.syspath_prepend(tmp_path)
    report = fit(table, FitSettings("lostmethod:Sign"))
    with pytest.raises(InputError, match=rf"^method Sign: {message}"):
        save_fit(tmp_path / "own", report)
    assert not (tmp_path / "own").exists()
    sys.modules.pop("lostmethod", None)
