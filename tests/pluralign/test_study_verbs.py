"""`study status`, `resume`, `merge`, `--shard`, `--dry-run`, `--target-error`, and the same in Python."""

import json

import numpy as np
import pytest
from study_processes import edited, numbers, study_file
from typed_commands import typed, typed_json

import pluralign as pl


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return study_file(tmp_path)


def test_shares_status_and_merge(study, monkeypatch, capsys):
    for part in ("1/2", "2/2"):
        code, out, _ = typed(monkeypatch, capsys, "study", study, "--workers", 1, "--shard", part)
        assert (code, "8 replicates finished" in out) == (0, True)
    code, out, _ = typed(monkeypatch, capsys, "study", "status", "slow-1-of-2")
    assert (code, out) == (
        0, "slow_study:SLOW (share 1/2): finished; 8 of 8 replicates finished, 0 failed\n"
    )  # fmt: skip
    assert typed(monkeypatch, capsys, "study", "merge", "slow-1-of-2", "--out", "m")[2].count("\n") == 1
    merged = typed_json(monkeypatch, capsys, "study", "merge", "slow-1-of-2", "slow-2-of-2", "--out", "m")
    assert (merged["tasks"], merged["out"]) == (16, "m")
    whole = pl.run_study(study, workers=1, out="w")
    assert [row["value"] for row in numbers(study.parent / "m")] == whole.results["value"]
    again = pl.merge_studies("slow-1-of-2", "slow-2-of-2", out="m")
    assert again.results["value"] == whole.results["value"]
    assert pl.study_status("m").state == "finished"


def test_resume_asks_for_the_same_again(study, monkeypatch, capsys):
    words = ("study", study, "--workers", 1, "--set", "replicates=5", "--seed", 9, "--out", "o")
    first = typed_json(monkeypatch, capsys, *words)
    (study.parent / "o" / "results.parquet").unlink()
    found = typed_json(monkeypatch, capsys, "study", "resume", "o", "--engine", "local")
    assert (found["study"], found["resumed"]) == (first["study"], 10)
    assert pl.resume_study("o").results["value"] == [row["value"] for row in numbers(study.parent / "o")]
    request = json.loads((study.parent / "o" / "request.json").read_text())
    assert (request["seed"], request["overrides"], request["study"]) == (9, ["replicates=5"], str(study))
    study.write_text(study.read_text() + "title: another\n")
    code, _, err = typed(monkeypatch, capsys, "study", "resume", "o")
    assert (code, "has changed since the study was begun" in err) == (2, True)


def test_a_request_that_was_changed_is_not_gone_on_with(study, monkeypatch, capsys):
    """A digit of it, and the study would end with fewer replicates than it had."""
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--set", "replicates=5", "--out", "o")
    asked = study.parent / "o" / "request.json"
    before = numbers(study.parent / "o")
    asked.write_text(asked.read_text().replace("replicates=5", "replicates=2"))
    code, _, err = typed(monkeypatch, capsys, "study", "resume", "o")
    assert (code, "was changed since it was written" in err) == (2, True)
    assert numbers(study.parent / "o") == before
    assert "was changed since it was written" in pl.study_status("o").changed
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--set", "replicates=5", "--out", "o")
    assert pl.study_status("o").changed == ""


def test_status_says_what_has_changed_since(study, monkeypatch, capsys):
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--out", "o")
    assert pl.study_status("o").changed == ""
    asked = study.parent / "o" / "request.json"
    text = study.read_text()

    def told():
        lines = typed(monkeypatch, capsys, "study", "status", "o")[1].splitlines()
        assert len(lines) == 2
        assert typed_json(monkeypatch, capsys, "study", "status", "o")["changed"] == lines[1]
        return lines[1]

    edited(asked, code="of another version")
    assert told().endswith("is another version since; `study resume` computes all of it again")
    again = typed_json(monkeypatch, capsys, "study", "resume", "o")
    assert again["resumed"] == again["tasks"]  # only what was written of the version is another here
    study.write_text(text + "title: another\n")
    assert "has changed since; `study resume` goes on with the file as it was only" in told()
    study.unlink()
    assert "is not there any more; `study resume` needs it" in told()
    asked.write_text("{")
    assert told().startswith("request.json, which says how the study was asked for, cannot be read")


def test_an_edit_of_ones_own_code_or_data_is_seen(study, monkeypatch, capsys):
    """Without loading any of it; and when the study goes on, the line says which of them it was."""
    code, data = study.parent / "slow_study.py", study.parent / "read.txt"
    code.write_text(code.read_text().replace(
        "SLOW = Experiment(Setting, run, {})",
        "SLOW = Experiment(Setting, run, {}, files=lambda setting: (Path(setting.folder) / 'read.txt',))",
    ))  # fmt: skip
    data.write_text("1")
    words = ("study", study, "--workers", 1, "--out", "o")
    typed(monkeypatch, capsys, *words)
    assert pl.study_status("o").changed == ""
    kept = code.read_text()
    code.write_text("raise SystemExit('loaded')\n" + kept)
    assert "the code of one's own that it runs (slow_study.py)" in pl.study_status("o").changed
    code.write_text("# edited\n" + kept)
    assert "has changed since" in pl.study_status("o").changed
    err = typed(monkeypatch, capsys, "study", "resume", "o")[2]
    assert "16 replicates that were finished in o are of other code of one's own; they are not taken" in err
    assert pl.study_status("o").changed == ""
    data.write_text("2")
    assert (
        pl.study_status("o").changed == f"{data}, which it reads, has changed since; `study resume` computes what "
        "it decides again"
    )
    err = typed(monkeypatch, capsys, *words, "--seed", 4)[2]
    assert "are of another seed (3, now 4) and other data; they are not taken" in err
    data.unlink()
    assert pl.study_status("o").changed.endswith("is not there any more; `study resume` needs it")
    asked = study.parent / "o" / "request.json"
    edited(asked, decided=...)
    assert pl.study_status("o").changed == "", "a folder of before it was kept"
    for odd in (3, {"own": []}, {"own": {"files": ["/"], "packages": []}, "data": {}}, {
        "own": {"files": [], "packages": []}, "data": {}, "backends": {"a": {"sources": ["/"], "packages": []}},
    }):  # fmt: skip
        edited(asked, decided=odd)
        assert pl.study_status("o").changed.startswith(("request.json, which says", "/, which the study was"))


def test_states_and_plans_print_as_the_commands_say_them(study, monkeypatch, capsys):
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--out", "o", "--shard", "1/2")
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--out", "o")
    for file in (study.parent / "o" / "cells").rglob("*.jsonl"):
        file.unlink()
    status = pl.study_status("o")
    lines = typed(monkeypatch, capsys, "study", "status", "o")[1].splitlines()
    assert repr(status).splitlines()[0] == lines[0]
    assert repr(status).splitlines()[1].split()[-2:] == ["finished", "of"]
    assert "<table>" in status._repr_html_()
    assert status.as_dict() == typed_json(monkeypatch, capsys, "study", "status", "o")
    plan = pl.plan_study(study, workers=1, out="o")
    assert [line.split("  ")[0] for line in repr(plan).splitlines()[2:]] == ["replicates", "memory", "time"]
    assert f"{plan.replicates:,} of {plan.cells} cells" in repr(plan)


def test_a_folder_that_was_sent_resumes_no_code(study, monkeypatch, capsys, tmp_path):
    """Code of one's own is run only from its own folder."""
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--out", "o")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, _, err = typed(monkeypatch, capsys, "study", "resume", "../o")
    assert code == 2
    assert "names code of one's own, 'slow_study:SLOW', which is run only from its own folder" in err
    payload = study_file(tmp_path / "o")
    edited(tmp_path / "o" / "request.json", study=str(payload))
    monkeypatch.chdir(tmp_path)
    code, _, err = typed(monkeypatch, capsys, "study", "resume", "o")
    assert (code, "which is run only from its own folder" in err) == (2, True)


def test_a_dry_run_counts_and_measures_and_writes_nothing(study, monkeypatch, capsys):
    before = sorted(path.name for path in study.parent.iterdir() if path.name != "__pycache__")
    code, out, _ = typed(monkeypatch, capsys, "study", study, "--workers", 2, "--dry-run", "--out", "o")
    assert code == 0
    assert out.startswith("replicates: 16 of 2 cells; 0 of them are finished\nmemory: not known\ntime: about ")
    assert "measured on 2 of 2 cells)" in out
    assert sorted(path.name for path in study.parent.iterdir() if path.name != "__pycache__") == before
    typed(monkeypatch, capsys, "study", study, "--workers", 1, "--out", "o")
    plan = pl.plan_study(study, settings={"replicates": 9}, out="o")
    assert (plan.cells, plan.replicates, plan.finished) == (2, 18, 16)


def test_a_target_on_the_command_line_and_in_python(study, monkeypatch, capsys):
    words = ("study", study, "--workers", 1, "--set", "replicates=40", "--target-error", "x=0.5", "--out", "o")
    found = typed_json(monkeypatch, capsys, *words)
    assert (found["tasks"], found["study"]["target_error"]) == (32, {"x": 0.5})
    assert found["above_target"] == {}
    assert len(pl.run_study(study, settings={"replicates": 40}, target_error=0.5, workers=1).results) == 64


def test_a_target_that_was_not_reached_is_told(study, monkeypatch, capsys):
    words = ("study", study, "--workers", 1, "--set", "replicates=20", "--target-error", "x=0.0001")
    code, _, err = typed(monkeypatch, capsys, *words, "--out", "o")
    told = "2 cells of the study ended at 20 replicates above the target error; the first, "
    assert (code, told in err) == (0, True)
    assert ", asked 0.0001" in err
    assert told in typed(monkeypatch, capsys, "study", "status", "o")[1]
    found = typed_json(monkeypatch, capsys, *words, "--out", "p")
    assert [row["target"] for row in found["above_target"].values()] == [0.0001, 0.0001]
    of_cells = {}
    for row in numbers(study.parent / "p"):
        of_cells.setdefault(row["cell_id"], {}).setdefault(row["replicate"], []).append(row["value"])
    wanted = {}
    for cell, rows in of_cells.items():
        # A replicate measures it twice; two more like the smallest and two like the largest.
        own = np.mean(list(rows.values()), axis=1)
        more = np.concatenate([own, [own.min(), own.max()] * 2])
        wanted[cell] = np.std(more, ddof=1) / np.sqrt(len(more))
    assert {cell: row["error"] for cell, row in found["above_target"].items()} == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("status",), "Missing argument 'FOLDER'"),
        (("status", "nowhere"), "nowhere: is not the folder of a study; name the folder"),
        (("./status",), "no study './status'"),
        (("resume", "nowhere"), "nowhere: is not the folder of a study"),
        (("merge", "--out", "x"), "Missing argument 'FOLDER...'"),
        (("merge", "nowhere", "--out", "x"), "nowhere: is not the folder of a study"),
        (("slow.yaml", "--shard", "3/2"), "--shard: expected i/n with 1 <= i <= n, got '3/2'"),
        (("slow.yaml", "--target-error", "x"), "--target-error: expected a positive number or METRIC=number, got 'x'"),
        (("slow.yaml", "--shard", "1/2", "--target-error", "1"), "cannot be shared out"),
        (("slow.yaml", "--tls-ca", "ca.pem"), "TLS needs all of --tls-ca, --tls-cert and --tls-key"),
        (("slow.yaml", "--scheduler", "tcp://127.0.0.1:1"), "belongs to engine 'dask'"),
    ],
)
def test_what_is_wrong_is_one_line(study, monkeypatch, capsys, words, said):
    code, out, err = typed(monkeypatch, capsys, "study", *words)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err


def test_a_study_called_status_is_reached_as_a_path(study, monkeypatch, capsys):
    study.rename(study.parent / "status")
    code, _, err = typed(monkeypatch, capsys, "study", "./status", "--workers", 1, "--out", "o")
    assert code == 0, err
