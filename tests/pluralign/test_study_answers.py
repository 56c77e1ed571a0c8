"""What `study` and `report` say to odd requests, odd measurements and folders that were moved."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from study_processes import edited, study_file
from typed_commands import typed, typed_json

import pluralign as pl
from sim.errors import InputError

_ODD = """
from dataclasses import dataclass
from sim.studies.experiment import Experiment, Measurement

@dataclass(frozen=True)
class Setting:
    what: str = "well"

def run(setting, stream, backends):
    return {
        "well": [Measurement("m", "x", 1.0)], "nothing": [], "text": [Measurement("m", "x", "abc")],
        "list": [Measurement("m", "x", [1.0])], "nan": [Measurement("m", "x", float("nan"))],
        "name": [Measurement(3, "x", 1.0)], "clock": [Measurement("m", "x", 1.0, None)],
    }[setting.what]

ODD = Experiment(Setting, run, {})
"""
_WHY = {
    "nothing": "measured nothing", "text": "value of 'x': expected a number, got str",
    "list": "value of 'x': expected a number, got list", "nan": "value of 'x' is nan",
    "name": "method: expected a text, got int", "clock": "wall_s of 'x': expected a number, got NoneType",
}  # fmt: skip


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return study_file(tmp_path)


@pytest.mark.parametrize("what", _WHY)
def test_what_is_no_measurement_is_a_failed_replicate(tmp_path, monkeypatch, capsys, what):
    (tmp_path / f"odd_{what}.py").write_text(_ODD)
    file = tmp_path / "odd.yaml"
    file.write_text(f"experiment: odd_{what}:ODD\nreplicates: 2\ngrid: {{what: [well, {what}]}}\n")
    code, out, _ = typed(
        monkeypatch, capsys, "study", file, "--workers", 1, "--engine", "local", "--out", tmp_path / "o", "--json"
    )
    found = json.loads(out)
    assert (code, found["n_failed"]) == (1, 2)
    assert all(_WHY[what] in row["error"] for row in found["failed"])
    assert (tmp_path / "o" / "results.parquet").is_file()


def test_a_folder_tells_of_itself_wherever_it_is(study, tmp_path, monkeypatch, capsys):
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--out", "o")
    (tmp_path / "o").rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    status = pl.study_status("../moved")
    assert (status.state, status.done, status.total) == ("finished", 16, 16)
    # Somebody's own experiment, not to be found from here: its numbers are shown, without its figure.
    code = "import pluralign as pl; print(len(pl.load_study('../moved').results)); print(pl.report('../moved'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("32\n")
    page = (tmp_path / "moved" / "report.html").read_text()
    assert "slow_study:SLOW" in page
    assert "cannot be imported here (" in page
    assert "no study file at or below" in page


def test_a_study_that_ended_at_its_target_is_finished(study, monkeypatch, capsys):
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--set", "replicates=40", "--target-error", 0.5,
          "--out", "o")  # fmt: skip
    out = typed(monkeypatch, capsys, "study", "status", "o")[1]
    assert out == "slow_study:SLOW: finished; 32 replicates, each cell at its target error or at 40, 0 failed\n"


@pytest.mark.parametrize("seconds", ["nan", "inf"])
@pytest.mark.parametrize("command", ["study", "check"])
def test_a_time_out_is_a_number_of_seconds(study, tmp_path, monkeypatch, capsys, command, seconds):
    words = (study,) if command == "study" else ("mixture-linear",)
    code, out, err = typed(monkeypatch, capsys, command, *words, "--time-out", seconds, "--out", tmp_path / "new")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"time_out must be a positive number of seconds (got {seconds})" in err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"shard": "1/2"}, "shard must be a pair"), ({"shard": (1,)}, "shard must be a pair"),
        ({"shard": (1.5, 2)}, "shard must be a whole number"), ({"shard": (3, 2)}, "expected i/n with 1 <= i <= n"),
        ({"time_out": True}, "time_out must be a positive number"), ({"batch": 1.5}, "batch must be a whole number"),
        ({"batch": "a"}, "batch must be a whole number"), ({"workers": 1.5}, "workers must be a whole number"),
        ({"time_out": "3"}, "time_out must be a positive number"), ({"tls": ("a", "b")}, "tls must name three files"),
        ({"cells": ""}, "expected a folder or an address"), ({"cells": "memory://x"}, "no longer than this process"),
    ],
    ids=str,
)  # fmt: skip
def test_odd_arguments_are_told(study, asked, message):
    with pytest.raises(InputError, match=message):
        pl.run_study(study, **asked)


def test_a_file_without_an_ending_has_a_folder_of_another_name(study, tmp_path, monkeypatch, capsys):
    study.rename(tmp_path / "status")
    found = typed_json(monkeypatch, capsys, "study", "./status", "--workers", 1, "--set", "replicates=1")
    assert found["out"] == "status-results"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    typed_json(monkeypatch, capsys, "study", "../status", "--workers", 1, "--set", "replicates=1")
    assert (tmp_path / "elsewhere" / "status-results" / "results.parquet").is_file()


def test_shares_are_told_from_studies(study, monkeypatch, capsys):
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--shard", "1/2")
    with pytest.raises(InputError, match="has no results: a share of a study"):
        pl.load_study("slow-1-of-2")
    code, _, err = typed(monkeypatch, capsys, "study", "merge", "slow-1-of-2", "--out", "slow-1-of-2")
    assert (code, "is one of the shares" in err) == (2, True)


def test_python_plans_and_resumes_as_the_command_does(study):
    assert pl.plan_study(study, workers=1, shard=(1, 2)).replicates == 8
    pl.run_study(study, workers=1, out="o")
    assert pl.resume_study("o", engine="local", workers=2).results["value"]


def test_verdicts_of_other_kinds_inside_are_told(tmp_path, monkeypatch, capsys):
    pl.check("mixture-linear", workers=1, out=tmp_path)
    path = tmp_path / "verdicts.json"
    found = json.loads(path.read_text())
    found["verdicts"][0]["measured"] = "<script>"
    path.write_text(json.dumps(found))
    code, _, err = typed(monkeypatch, capsys, "report", tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert "is not a verdict file of this version" in err
    assert not (tmp_path / "report.html").exists()


def test_work_of_other_code_is_told(study, tmp_path, monkeypatch, capsys):
    """Resumed, and shares put together, after the experiment's own code changed."""
    for part in (1, 2):
        typed(monkeypatch, capsys, "study", study, "--workers", 1, "--shard", f"{part}/2", "--out", f"part-{part}")
    module = tmp_path / "slow_study.py"
    module.write_text(module.read_text() + "# changed\n")
    code, _, err = typed(monkeypatch, capsys, "study", "merge", "part-1", "part-2", "--out", "whole")
    assert (code, err.count("\n")) == (2, 1)
    assert "was computed with other code of the experiment" in err
    code, _, err = typed(monkeypatch, capsys, "study", "resume", "part-1")
    assert code == 0
    assert "8 replicates that were finished in part-1 are of other code of one's own; they are not taken" in err
    code, _, err = typed(monkeypatch, capsys, "study", "resume", "part-1")
    assert (code, "of another seed" in err, "8 of 8 replicates were taken" in err) == (0, False, True)


def test_shares_of_two_versions_of_the_program_are_told(study, monkeypatch, capsys, tmp_path):
    for part in (1, 2):
        typed(monkeypatch, capsys, "study", study, "--workers", 1, "--shard", f"{part}/2", "--out", f"part-{part}")
    edited(tmp_path / "part-2" / "request.json", code="another")
    code, _, err = typed(monkeypatch, capsys, "study", "merge", "part-1", "part-2", "--out", "whole")
    assert (code, err.count("\n")) == (2, 1)
    assert "another version of the program, or of the packages it runs on, than part-1" in err


def test_a_dry_run_says_why_a_replicate_failed(tmp_path, monkeypatch, capsys):
    (tmp_path / "odd_dry.py").write_text(_ODD)
    file = tmp_path / "odd.yaml"
    file.write_text("experiment: odd_dry:ODD\nreplicates: 2\ngrid: {what: [well, text]}\n")
    code, out, _ = typed(monkeypatch, capsys, "study", file, "--dry-run", "--workers", 1)
    assert code == 0
    assert "the first that failed: what text: TypeError" in out
    assert "value of 'x': expected a number, got str" in out


def test_numpy_numbers_and_lists_are_taken(study):
    """As a loop over arrays gives them."""
    found = pl.run_study(study, workers=np.int64(1), batch=np.int32(3), time_out=np.float64(60), shard=[1, 2], out="o")
    assert found.run.tasks == 8
    asked = json.loads(Path("o/request.json").read_text())
    assert (asked["workers"], asked["batch"], asked["time_out"], asked["shard"]) == (1, 3, 60.0, [1, 2])


@pytest.mark.parametrize("error", ["-1", "nan", "regret=inf", "x=y"])
def test_a_target_error_is_named_as_typed(study, monkeypatch, capsys, error):
    code, _, err = typed(monkeypatch, capsys, "study", study, "--target-error", error)
    assert (code, f"--target-error: expected a positive number or METRIC=number, got '{error}'" in err) == (2, True)


def test_what_contradicts_itself_is_refused(study, monkeypatch, capsys):
    for words, message in (
        (("--list", study), "give no study with it"),
        ((study, "--target-error", 0.1, "--target-error", 0.2), "all metrics given twice"),
    ):
        code, _, err = typed(monkeypatch, capsys, "study", *words)
        assert (code, message in err) == (2, True)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("status.json", {"cells": 3}, "another kind of value than expected"),
        ("status.json", {"state": ...}, "no 'state' in it"),
        ("request.json", {"overrides": ...}, "no 'overrides' in it"),
    ],
)
def test_damaged_files_are_told_in_words(study, tmp_path, monkeypatch, capsys, name, change, message):
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--set", "replicates=1", "--out", "o")
    path = tmp_path / "o" / name
    edited(path, **change)
    verb = "status" if name == "status.json" else "resume"
    code, _, err = typed(monkeypatch, capsys, "study", verb, "o")
    assert (code, err.count("\n")) == (2, 1)
    assert f"is damaged, or not of this version ({message}" in err
