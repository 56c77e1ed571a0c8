"""`check`, `list`, `show`, `replay`, `report`, `doctor` as a user meets them."""

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest
import yaml
from places import ROOT
from typed_commands import typed


def _process(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pluralign", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False
    )


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def pluralign(monkeypatch, capsys):
    """A command in this process; that of `run` has one of its own."""
    monkeypatch.chdir(ROOT)
    return lambda *arguments: Done(*typed(monkeypatch, capsys, *arguments))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    done = _process("check", "regret-beta", "many-answers-one-user", "--out", folder / "report", "--json")
    return folder, done


def test_json_is_the_object_of_the_format(run):
    _, done = run
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["all_as_expected"] is True
    assert answer["controls_caught"] == answer["controls_total"] > 0
    fields = {
        "claim_id",
        "paper",
        "variant",
        "verdict",
        "expected",
        "bound",
        "measured",
        "interval",
        "power",
        "controls",
    }
    for row in answer["verdicts"]:
        assert fields | {"witness", "statement", "premises", "control_verdict"} <= set(row)
        assert all({"name", "verdict", "caught"} <= set(control) for control in row["controls"])
        assert (row["witness"] is not None) == (row["verdict"] == "VIOLATED")


def test_folder_holds_everything(run):
    folder, _ = run
    report = folder / "report"
    assert yaml.safe_load((report / "resolved.yaml").read_text())["seed"] == 0
    assert "regret-beta" in (report / "verdicts.md").read_text()
    names = {path.name for path in (report / "figures").iterdir()}
    assert {"verdicts.png", "verdicts.svg", "rate-many-answers-one-user-as_stated.png"} <= names


def test_witness_replays_and_a_tampered_one_does_not(run, tmp_path, pluralign):
    path = run[0] / "report" / "witnesses" / "regret-beta--as_printed.json"
    assert pluralign("replay", path).returncode == 0
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps({**json.loads(path.read_text()), "value": 1.0}))
    result = pluralign("replay", changed, "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["reproduced"] is False
    changed.write_text("no")
    assert pluralign("replay", changed).returncode == 2


def test_a_second_run_resumes_and_report_draws_again(run, pluralign):
    again = pluralign("check", "regret-beta", "many-answers-one-user", "--out", run[0] / "report")
    assert again.returncode == 0
    assert "2 of 2 claims were taken from" in again.stderr
    drawn = pluralign("report", run[0] / "report", "--json")
    assert len(json.loads(drawn.stdout)["verdicts"]) == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("check", "regret-bta"), "did you mean 'regret-beta'"),
        (("check", "unobserved_type"), "did you mean 'unobserved_types'"),
        (("chek",), "did you mean 'check'"),
        (("check", "--profil", "quick"), "--profile"),
        (("show", "nothing-like-it"), "pluralign list"),
        (("report", "no-such-folder"), "holds no verdicts.json"),
        (("replay", "no-such-file"), "cannot be read"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(arguments, expected, pluralign):
    done = pluralign(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_list_and_show(pluralign):
    claims = json.loads(pluralign("list", "--json").stdout)["claims"]
    assert len(claims) >= 40
    assert {"claim_id", "paper", "source", "statement", "variants"} <= set(claims[0])
    shown = json.loads(pluralign("show", "zero-row", "--json").stdout)
    assert shown["variants"]["as_stated"]["controls"]
    assert "zero-row" in pluralign("show", "zero-row").stdout


def test_doctor_finds_this_installation_sound(pluralign):
    done = pluralign("doctor", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == (1 if answer["problems"] else 0)
    assert answer["packages"]["numpy"]


@pytest.mark.parametrize(
    "verb", ["check", "list", "show", "replay", "study", "convert", "fit", "report", "minmax", "doctor"]
)
def test_every_verb_has_help(verb, pluralign):
    done = pluralign(verb, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 5
