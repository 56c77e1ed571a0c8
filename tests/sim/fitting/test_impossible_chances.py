"""What a method of one's own calls log-probabilities must be such, or it is refused by name and row."""

import json

import numpy as np
import pytest
from tastes import rows_of_tastes

import pluralign as pl
from sim.errors import InputError
from sim.fitting.chances import log_chances
from sim.fitting.methods import find_method
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings

SOURCE = """
import numpy as np

from sim.fitting.method import Grid, Method
from sim.likelihoods import log_sigmoid


class Coin(Method):
    beside = ("pooled",)

    def grid(self, problem):
        return Grid((0,), (1.0,), untried=1.0, fixed=True)

    def fit(self, answers, size, ridge, task):
        return np.zeros(answers.differences.shape[1])

    def log_likelihood(self, model, answers):
        margin = answers.differences @ model
        return BODY

    def adapt(self, model, answers):
        return model

    def describe(self, model, prepared, centre, stream):
        return ()

    def parameters(self, model):
        return {"theta": model}

    def restore(self, parameters):
        return parameters["theta"]
"""
REFUSED = {
    "0 * margin + 0.5": r"row \d+: method Coin: log_likelihood must be at most 0, the logarithm of a probability \(got "
    r"0.5 for this answer; \d+ such\); return log P",
    "np.where(margin < 1, np.nan, margin)": r"row \d+: method Coin: log_likelihood must be a number \(got nan for this",
    "np.full(3, -1.0)": r"method Coin: log_likelihood must return one number an answer, \(\d+,\) \(got float64 ",
    "float(log_sigmoid(margin).mean())": r"must return one number an answer, \(\d+,\) \(got float64 \(\)\)",
    "None": r"must return one number an answer, \(\d+,\) \(got None\)",
    "0 * margin - 0.01": r"row \d+: method Coin: log_likelihood gives this answer and its opposite 1.98 together, more "
    r"than 1 \(\d+ such\)",
}


def _method(body, folder, monkeypatch, name):
    (folder / f"{name}.py").write_text(SOURCE.replace("BODY", body))
    monkeypatch.chdir(folder)
    return f"{name}:Coin"


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    path = tmp_path_factory.mktemp("answers") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_of_tastes(people=12, answers=12, n_items=10)))
    return path


@pytest.mark.parametrize("body", REFUSED)
def test_it_is_refused_with_method_and_row(body, answers, tmp_path, monkeypatch):
    name = _method(body, tmp_path, monkeypatch, f"refused{list(REFUSED).index(body)}")
    with pytest.raises(InputError, match=REFUSED[body]) as told:
        fit(pl.read_pairs(answers), FitSettings(method=name))
    assert ("pairs.jsonl, row" in str(told.value)) == (REFUSED[body].startswith("row"))


def test_what_ties_may_have_and_rounding_are_let_pass(answers, tmp_path, monkeypatch):
    """P(first) + P(second) < 1 where neither may be; log P of 1 in float32 may be 1e-6 above 0."""
    name = _method("log_sigmoid(margin) - 0.1", tmp_path, monkeypatch, "passing")
    report = fit(pl.read_pairs(answers), FitSettings(method=name))
    assert report.as_json()["test"]["known_users"]["log_likelihood"] == pytest.approx(-np.log(2) - 0.1)
    rounded = find_method(_method("0 * margin + 1e-6", tmp_path, monkeypatch, "rounding"))
    held = report.prepared.answers(report.prepared.test)
    np.testing.assert_array_equal(log_chances(rounded, np.zeros(held.differences.shape[1]), held), 0.0)
