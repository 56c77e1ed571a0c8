"""What `pluralign new` writes runs as it is, in a folder of nobody's, from the command line with two workers and from
Python; an installed package offers the same by name."""

import json
import os
import subprocess
import sys

import pytest
from places import ROOT

import pluralign as pl
from pluralign.api.skeletons import KINDS
from sim import plugins
from sim.errors import InputError

NAMES = {kind: f"my_{kind}" for kind in KINDS}
ANSWERS = [
    {"who": f"p{i % 6}", "question": f"Which? {i}", "options": [f"a{i % 7}", f"b{i % 5}"], "picked": i % 2}
    for i in range(60)
]


def typed(*words, cwd, expected=0):
    """The command in a process of its own; its standard output."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-W", "error", "-m", "pluralign", *words]
    done = subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == expected, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder outside the repository with one of each."""
    place = tmp_path_factory.mktemp("mine")
    text = typed("new", "claim", NAMES["claim"], cwd=place)
    assert f"wrote {NAMES['claim']}.py" in text.replace(str(place) + os.sep, "")
    for kind, name in NAMES.items():
        if kind != "claim":
            pl.new(kind, name, folder=place)
    (place / "raw.jsonl").write_text("\n".join(map(json.dumps, ANSWERS)))
    pl.write_pairs(place / "pairs.parquet", pl.simulate("opposed_tastes", n_annotators=30, answers=30, seed=1))
    return place


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield folder
    plugins._LOADED.clear()


def test_a_claim(here):
    answer = json.loads(typed("check", "my_claim:CLAIMS", "--workers", "2", "--json", cwd=here))
    assert answer["all_as_expected"]
    assert [row["claim_id"] for row in answer["verdicts"]] == ["my-claim-mean"]
    assert pl.check("my_claim:CLAIMS", workers=2).as_dict()["verdicts"] == answer["verdicts"]
    assert "The mean of n answers" in typed("list", "my_claim:CLAIMS", cwd=here)
    with pytest.raises(InputError, match=r"for claims of my_claim\.py: my_claim:CLAIMS"):
        pl.check("my_claim.py")


def test_an_experiment(here):
    typed("study", "my_experiment.yaml", "--workers", "2", "--out", "typed", "--set", "replicates=5", cwd=here)
    assert (here / "typed" / "my_experiment.svg").stat().st_size > 5000
    result = pl.run_study("my_experiment.yaml", settings={"replicates": 5}, workers=2)
    assert result.results["value"] == pl.load_study("typed").results["value"]


def test_a_folder_keeps_to_one_study(here):
    """By default it has the study's name; another study is refused before the work, and nothing is touched."""
    typed("study", "my_experiment.yaml", "--set", "replicates=2", "--workers", "1", cwd=here)
    before = (here / "my_experiment" / "results.parquet").read_bytes()
    typed("study", "outliers", "--set", "replicates=1", "--out", "my_experiment", cwd=here, expected=2)
    with pytest.raises(InputError, match="my_experiment: holds another study, 'Two estimates of a share' of my_exp"):
        pl.run_study("outliers", settings={"replicates": 1}, out="my_experiment")
    assert (here / "my_experiment" / "results.parquet").read_bytes() == before


def test_a_method(here):
    line = ("fit", "pairs.parquet", "--method", "my_method:METHOD", "--out", "fitted", "--json")
    answer = json.loads(typed(*line, cwd=here))
    assert answer["method"] == "my_method"
    assert answer["against_pooled"]["my_method"]["known_users"]["log_likelihood"] > 0.02
    fit = pl.fit("pairs.parquet", method="my_method:METHOD")
    import my_method

    assert pl.fit("pairs.parquet", method=my_method.MeanDifference).as_dict()["test"] == answer["test"]
    assert fit.as_dict()["test"] == answer["test"]
    x = pl.read_pairs("pairs.parquet").features[:4]
    who = pl.load_fit("fitted").annotators[0]
    assert pl.load_fit("fitted").score_items(x, who).tolist() == fit.score_items(x, who).tolist()


def test_a_converter(here):
    line = ("convert", "my_converter:CONVERTER", "raw.jsonl", "--out", "converted.parquet", "--set", "min_letters=9")
    answer = json.loads(typed(*line, "--json", cwd=here))
    assert answer["pairs"] == 50, "questions of nine letters or more"
    with pytest.raises(InputError, match="seed: converter 'my_converter:CONVERTER' has no option of that name"):
        pl.convert("my_converter:CONVERTER", "raw.jsonl", seed=3)
    table = pl.convert("my_converter:CONVERTER", "raw.jsonl", min_letters=9)
    assert len(table) == len(pl.read_pairs("converted.parquet")) == 50
    assert "state the data's licence here" in typed("convert", "my_converter:CONVERTER", "--help", cwd=here)


def test_a_rule(here):
    line = ("axioms", "--rule", "my_rule:RULE", "--rule", "median", "--trials", "200", "--json")
    rows = json.loads(typed(*line, cwd=here))["rules"]
    assert [row["rule"] for row in rows] == ["my_rule:RULE", "median"]
    with pytest.raises(InputError, match="'my_rule:RULE' stands twice"):
        pl.axioms("my_rule:RULE", "my_rule:RULE", trials=20)
    assert rows[0]["satisfied"]["symmetry"] == 1.0
    assert pl.axioms("my_rule:RULE", "median", trials=200).as_dict()["rules"] == rows


def test_an_environment(here):
    line = ("study", "types", "--set", "environment=my_environment:ENVIRONMENT", "--set", "answers=[5]",
            "--set", "replicates=3", "--workers", "2", "--out", "worlds")  # fmt: skip
    typed(*line, cwd=here)
    found = pl.load_study("worlds").results
    assert set(found["environment"]) == {"my_environment:ENVIRONMENT"}
    assert found.where(method="true_types", metric="accuracy").values().mean() > 0.7
    pairs = pl.simulate("my_environment:ENVIRONMENT", n_annotators=20, answers=5, seed=2)
    assert len(pairs) == 100
    assert set(pairs.group) == {"type 1", "type 2"}


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("claim", "my_claim", "is there already and is left alone"),
        ("claim", "My Claim", "name must be small letters, digits and underscores.*for example my_claim"),
        ("claim", "class", "name must not be a word of Python's own.*for example my_class"),
        ("rule", "random", "name must not be that of another module"),
        ("rule", "yaml", "name must not be that of another module"),
        ("rle", "mine", "unknown key 'rle' in 'kind'; did you mean 'rule'"),
    ],
)
def test_new_refuses(here, kind, name, message):
    before = sorted(path.name for path in here.iterdir())
    with pytest.raises(InputError, match=message):
        pl.new(kind, name)
    assert sorted(path.name for path in here.iterdir()) == before


def test_half_an_experiment_is_not_written(tmp_path):
    (tmp_path / "two.yaml").write_text("mine: too")
    with pytest.raises(InputError, match=r"two\.yaml: is there already"):
        pl.new("experiment", "two", folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["two.yaml"]
