"""Texts given where several names, or a number, are meant; and messages that name what was probably meant."""

from pathlib import Path

import numpy as np
import pytest
from typed_commands import typed, typed_json

import pluralign as pl
from pluralign.api.skeletons import new
from sim.algorithms.mechanism import Mechanism, best_misreports
from sim.errors import InputError
from sim.streams import Stream
from sim.studies.shipped import study_file

EXAMPLES = Path(__file__).parents[2] / "examples"
LONG = "took,who,alt,chid,a\n" + "".join(
    f"{str(j == i % 2).upper()},p{i % 4},{j + 1},{i},{(i * 7 + j * 3) % 5}\n" for i in range(12) for j in (0, 1)
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "suggested"), [
    ("3d", "my_3d"), ("class", "my_class"), ("My-Rule", "my_rule"), ("Class!", "my_class"), ("JSON", "my_json"),
    ("numpy", "my_numpy"), ("--", "mine"),
])  # fmt: skip
def test_a_suggested_name_is_one_that_is_taken(here, name, suggested):
    with pytest.raises(InputError, match=f"for example {suggested}$"):
        new("rule", name)
    assert new("rule", suggested).files[0].is_file()


@pytest.mark.parametrize(("words", "kind", "said"), [
    (("fit", EXAMPLES / "pairs.jsonl.gz", "--method", "my_method"), "method", "my_method:METHOD"),
    (("fit", EXAMPLES / "pairs.jsonl.gz", "--method", "my_method.py"), "method", "my_method:METHOD"),
    (("fit", EXAMPLES / "pairs.jsonl.gz", "--beside", "my_method"), "method", "my_method:METHOD"),
    (("axioms", "--rule", "my_rule"), "rule", "my_rule:RULE"),
    (("study", "my_experiment"), "experiment", "for the file my_experiment.yaml: pluralign study my_experiment.yaml"),
])  # fmt: skip
def test_a_file_beside_is_offered(here, monkeypatch, capsys, words, kind, said):
    new(kind, f"my_{kind}")
    code, _, err = typed(monkeypatch, capsys, *words)
    assert (code, said in err) == (2, True), err


def test_a_file_that_holds_something_else_is_offered_without_a_name(here):
    (here / "mine.py").write_text("OTHER = 1\n")
    with pytest.raises(InputError, match=r"for what mine\.py holds: mine:NAME"):
        pl.fit(EXAMPLES / "pairs.jsonl.gz", method="mine")
    with pytest.raises(InputError, match="there is none called 'mines'; choose one of"):
        pl.fit(EXAMPLES / "pairs.jsonl.gz", method="mines")
    with pytest.raises(InputError, match="names them; a path to a YAML file does too"):
        study_file("mine")


def test_columns_of_other_names_are_said_to_be_named(here, monkeypatch, capsys):
    (here / "long.csv").write_text(LONG)
    code, _, err = typed(monkeypatch, capsys, "choice-model", "long.csv")
    assert (code, "name your columns, --person COLUMN and --choice COLUMN" in err) == (2, True), err
    named = ("--person", "who", "--choice", "took")
    assert typed_json(monkeypatch, capsys, "choice-model", "long.csv", *named)["features"] == ["a"]
    code, _, err = typed(monkeypatch, capsys, "choice-model", "long.csv", *named, "--alternative", "which")
    assert (code, "--alternative COLUMN" in err) == (2, True), err
    code, _, err = typed(monkeypatch, capsys, "choice-model", "long.csv", *named, "--situation", "which")
    assert (code, "name yours, --situation COLUMN" in err) == (2, True), err


def test_one_name_is_one_name():
    fit = pl.fit(EXAMPLES / "pairs.jsonl.gz", method="pooled", ridge=0.1)
    who = fit.annotators[0]
    items = [{"item": "x", "features": dict.fromkeys(fit.features, 0.5)}]
    assert fit.predict(items, who).rows == fit.predict(items, [who]).rows
    with pytest.raises(InputError, match="there is no planted fault 'none'"):
        pl.mutate("unobserved_types", only="none")
    with pytest.raises(InputError, match="random: no feature 'price'"):
        pl.mixed_logit(EXAMPLES / "sets" / "choices_long.csv", random="price")


@pytest.mark.parametrize("value", ["zero", None, [1.0, 2.0], float("nan")])
def test_an_alpha_that_is_no_number(value):
    opinions, rewards = [[0.5, 0.5], [0.2, 0.8]], [[1.0, 2.0], [0.5, 0.1]]
    for call in (
        lambda: pl.pool(opinions, alpha=value), lambda: pl.aggregate(rewards, alpha=value),
        *([lambda: pl.pool(opinions, mechanism=True, distance_alpha=value)] if value is not None else []),
    ):  # fmt: skip
        with pytest.raises(InputError, match="alpha: expected a number, -inf or inf, got"):
            call()


@pytest.mark.parametrize(("seed", "alphas"), [(22, (0.0,)), (23, (0.0, -1.0, 1.0)), (31, (0.0, -1.0))])
def test_no_gain_is_above_its_own_bound(seed, alphas):
    """Opinions of which the search finds a gain of 1e-16 where none is possible: rounding is no gain."""
    rng, above = np.random.default_rng(seed), 0
    for alpha in alphas:
        opinions = rng.dirichlet(np.ones(3), size=3)
        found = pl.pool(opinions, alpha, mechanism=True).as_dict()
        direct = best_misreports(Mechanism(alpha), opinions, stream=Stream(0, "pool"), starts=2)
        above += int((direct.gain > direct.bound).sum())
        for name, gain in found["best_misreport_gain"].items():
            assert 0 <= gain <= found["misreport_gain_at_most"][name]
    assert above > 0
