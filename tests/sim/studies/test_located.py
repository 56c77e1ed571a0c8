"""Which file a relative path is: beside the study file, or where the study was asked for, whoever goes on with it."""

import numpy as np
import pytest
from study_processes import edited

import pluralign as pl
from sim.errors import InputError
from sim.studies.cells import run_study
from sim.studies.spec import load_spec

MODULE = """
from dataclasses import dataclass
from pathlib import Path
from sim.studies.experiment import Experiment, Measurement

@dataclass(frozen=True)
class Reading:
    file: str = "number.txt"
    other: int = 0

def run(setting, stream, backends):
    return [Measurement("file", "number", float(Path(setting.file).read_text()))]

READING = Experiment(Reading, run, {{}}, files=lambda setting: (Path(setting.file).absolute(),){paths})
"""


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """One folder with a study, and two below it, each with another number in a file of one name."""
    for number, name in enumerate(("", "a", "b"), 1):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "number.txt").write_text(str(number))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _study(folder, name, *, paths, lines=""):
    (folder / f"{name}.py").write_text(MODULE.format(paths=', paths=("file",)' if paths else ""))
    (folder / f"{name}.yaml").write_text(f"experiment: {name}:READING\nreplicates: 2\n{lines}")
    return folder / f"{name}.yaml"


def _numbers(result):
    return sorted(set(result.results["value"]))


@pytest.mark.parametrize(("lines", "settings", "read"), [
    ("settings: {file: number.txt}", {}, [1.0]), ("settings: {file: a/number.txt}", {}, [2.0]),
    ("grid: {file: [number.txt, b/number.txt]}", {}, [1.0, 3.0]),
    ("settings: {file: b/number.txt}", {"file": "number.txt"}, [2.0]),
    ("", {"file": "../b/number.txt"}, [3.0]),
    ("grid: {file: [number.txt]}", {"file": ["number.txt", "../b/number.txt"]}, [2.0, 3.0]),
])  # fmt: skip
def test_beside_the_study_file_or_where_it_is_asked_for(folders, monkeypatch, lines, settings, read):
    study = _study(folders, "located", paths=True, lines=lines)
    monkeypatch.chdir(folders / "a")
    assert _numbers(pl.run_study(study, settings=settings, workers=1)) == read


def test_resumed_from_elsewhere_the_same_file_is_read(folders, monkeypatch):
    """As it was typed in a/; resumed from its parent, where a file of that name has another number."""
    study = _study(folders, "located_on", paths=True)
    monkeypatch.chdir(folders / "a")
    first = pl.run_study(study, settings={"file": "number.txt"}, workers=1, out="o")
    monkeypatch.chdir(folders)
    again = pl.resume_study("a/o")
    assert (_numbers(again), again.run.resumed) == (_numbers(first), 2) == ([2.0], 2)
    assert pl.study_status("a/o").changed == ""
    (folders / "a" / "number.txt").unlink()
    assert str(folders / "a" / "number.txt") in pl.study_status("a/o").changed


def test_what_does_not_say_its_files_is_not_resumed_on_others(folders, monkeypatch):
    study = _study(folders, "unlocated", paths=False)
    monkeypatch.chdir(folders / "a")
    pl.run_study(study, settings={"file": "number.txt"}, workers=1, out="o")
    kept = (folders / "a" / "o" / "results.parquet").read_bytes()
    monkeypatch.chdir(folders)
    with pytest.raises(InputError) as refused:
        pl.resume_study("a/o")
    for words in (f"begun in {folders / 'a'} and read {folders / 'a' / 'number.txt'}", f"read {folders}/number.txt",
                  f"cd {folders / 'a'}"):  # fmt: skip
        assert words in str(refused.value), words
    assert (folders / "a" / "o" / "results.parquet").read_bytes() == kept
    (folders / "a" / "number.txt").write_text("5")
    monkeypatch.chdir(folders / "a")
    with pytest.raises(InputError, match="run only from its own folder"):
        pl.resume_study("o")


def test_shares_that_were_asked_for_in_two_folders_are_one_study(folders, monkeypatch):
    """A cell is called by what was written; that both read the same is seen in what the files hold."""
    study = _study(folders, "shared_out", paths=True)
    (folders / "b" / "number.txt").write_text("2")
    for number, name in ((1, "a"), (2, "b")):
        monkeypatch.chdir(folders / name)
        pl.run_study(study, settings={"file": "number.txt"}, workers=1, shard=(number, 2), out="o")
    monkeypatch.chdir(folders)
    assert _numbers(pl.merge_studies("a/o", "b/o", out="m")) == [2.0]
    (folders / "a" / "number.txt").write_text("7")
    with pytest.raises(InputError, match="or other data, than are here"):
        pl.merge_studies("a/o", "b/o", out="m2")


def test_shipped_studies_read_where_they_are_asked_for(tmp_path, monkeypatch):
    (tmp_path / "away").mkdir()
    table = np.random.default_rng(0).normal(size=(60, 20))
    np.save(tmp_path / "hidden.npy", table)
    monkeypatch.chdir(tmp_path / "away")
    from sim.studies.shipped import study_file

    spec = load_spec(study_file("best_of_n"), ["file=hidden.npy"], where=tmp_path)
    assert {setting.file for _, setting in spec.cells()} == {str(tmp_path / "hidden.npy")}
    assert spec.settings["file"] == "hidden.npy"
    tastes = load_spec(study_file("tastes"), where=tmp_path)
    assert {setting.questions for _, setting in tastes.cells()} == {
        str(tmp_path / "imdb.parquet"), str(tmp_path / "hh.parquet"),
    }  # fmt: skip
    real = load_spec(study_file("tldr"))
    assert {setting.answers_file for _, setting in real.cells()} == {str(tmp_path / "away" / "tldr.jsonl")}


@pytest.mark.parametrize("where", [3, ["a"], "a\0b"])
def test_a_folder_that_is_none_is_one_line(folders, where):
    study = _study(folders, "kept_nowhere", paths=True)
    pl.run_study(study, workers=1, out="o")
    edited(folders / "o" / "request.json", where=where)
    with pytest.raises(InputError, match="where must be a folder"):
        pl.resume_study("o")


def test_a_folder_of_before_it_was_kept_goes_on_where_it_is(folders):
    study = _study(folders, "before", paths=True)
    pl.run_study(study, workers=1, out="o")
    edited(folders / "o" / "request.json", where=...)
    assert pl.resume_study("o").run.resumed == 2


def test_a_file_that_is_gone_is_said_with_where_the_study_was_asked_for(tmp_path, monkeypatch):
    from sim.studies.request import Request

    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="relative paths are of there") as refused:
        Request("best_of_n", ("file=hidden.npy",), where=str(tmp_path / "a")).spec()
    assert str(tmp_path / "a") in str(refused.value)


def test_a_file_that_changes_while_it_runs_stops_it(folders):
    """What it decides would be kept as the numbers of what it held when the run began."""
    study = load_spec(_study(folders, "torn_reading", paths=True, lines="settings: {other: 3}"), ["replicates=6"])

    def edit(counts):
        if counts.done == 3:
            (folders / "number.txt").write_text("7")

    with pytest.raises(InputError, match="a file that it reads changed while the study ran"):
        run_study(study, {}, cells=folders / "cells", engine="local", on_progress=edit)
    again = run_study(study, {}, cells=folders / "cells", engine="local")
    assert (again.resumed, _numbers(again)) == (0, [7.0])
    (folders / "number.txt").write_text("1")
    before = run_study(study, {}, cells=folders / "cells", engine="local")
    assert _numbers(before) == [1.0]
    assert before.resumed >= 3


def test_a_file_that_changes_in_the_middle_of_a_replicate_is_seen_behind_it(folders):
    study = _study(folders, "torn_inside", paths=True)
    own = study.with_suffix(".py")
    own.write_text(own.read_text().replace("    return [M", "    Path(setting.file).write_text('7')\n    return [M"))
    with pytest.raises(InputError, match="a file that it reads changed while the study ran"):
        run_study(load_spec(study), {}, cells=folders / "cells", engine="local")
