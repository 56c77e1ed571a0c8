"""A number of a result that was changed after it was written is not shown: the file is named, and what to do."""

import json
import shutil
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pluralign as pl
from pluralign.__main__ import main
from sim.errors import InputError
from sim.files.checksums import NAME, forget_checksums, require_unchanged, write_checksums

STUDY = """
experiment: reward_free
title: Small
seed: 3
replicates: 2
grid: {cyclic: [0.0, 1.0], parties: [1, 3], spread: [1.0]}
settings: {actions: 3, answers: 30}
"""


def _run(*words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["pluralign", *map(str, words)])
        return main()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A fit, a study and a check, each in its folder."""
    place = tmp_path_factory.mktemp("results")
    answers = "examples/pairs.jsonl.gz"
    assert _run("fit", answers, "--method", "em-dpo", "--types", 2, "--restarts", 1, "--out", place / "fit") == 0
    assert _run("check", "regret-beta", "--out", place / "check") == 0
    (place / "small.yaml").write_text(STUDY)
    assert _run("study", place / "small.yaml", "--workers", "1", "--out", place / "study") == 0
    return place


def _edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _set(values, column, path):
    table = pq.read_table(path)
    name = next(name for name in table.column_names if name.startswith(column))
    place = table.column_names.index(name)
    field = table.schema.field(name)
    pq.write_table(table.set_column(place, field, pa.array([values] * table.num_rows, field.type)), path)


def _measured(content):
    content["verdicts"][0]["measured"] = 0.5


def _scored(content):
    content["test"]["known_users"]["log_likelihood"] = -0.01


CHANGES = {
    "fit/fit.json": lambda path: _edit_json(path, _scored),
    "fit/annotators.parquet": lambda path: _set(0.5, "group_", path),
    "study/results.parquet": lambda path: _set(0.0, "value", path),
    "study/study.json": lambda path: _edit_json(path, lambda content: content.update(replicates=300)),
    "check/verdicts.json": lambda path: _edit_json(path, _measured),
}
LOADS = {"fit": pl.load_fit, "study": pl.load_study, "check": pl.load_check}


@pytest.mark.parametrize("changed", CHANGES)
def test_it_is_not_shown(changed, results, tmp_path, capsys):
    name, _, file = changed.partition("/")
    folder = shutil.copytree(results / name, tmp_path / name)
    assert _run("report", folder) == 0
    (folder / "report.html").unlink()
    CHANGES[changed](folder / file)
    capsys.readouterr()
    assert _run("report", folder) == 2
    said = capsys.readouterr().err
    assert f"{file}: was changed since it was written (checksum); copy or compute it again, or delete {NAME}" in said
    assert not (folder / "report.html").exists()
    if file != "annotators.parquet":
        with pytest.raises(InputError, match="was changed since it was written"):
            LOADS[name](folder)
    (folder / NAME).unlink()
    assert _run("report", folder) == 0


def test_a_witness_is_replayed_as_it_was_written(results, tmp_path, capsys):
    folder = shutil.copytree(results / "check", tmp_path / "check")
    witness = next((folder / "witnesses").glob("*.json"))
    _edit_json(witness, lambda content: content.update(limit=content["limit"] + 1))
    assert _run("replay", witness) == 2
    assert f"{witness.name}: was changed since it was written" in capsys.readouterr().err
    alone = shutil.copy(witness, tmp_path)
    assert _run("replay", alone) == 0


def test_a_study_goes_on_and_is_written_again(results, tmp_path):
    folder = shutil.copytree(results / "study", tmp_path / "study")
    _set(0.0, "value", folder / "results.parquet")
    (folder / "summary.md").write_text("mine")
    assert _run("study", "resume", folder) == 0
    found = pl.load_study(folder).results
    assert found.to_arrow().equals(pl.load_study(results / "study").results.to_arrow())


def test_checksums_go_before_results_are_replaced(results, tmp_path, monkeypatch):
    """One that is killed between two files leaves none that speak of the other state."""
    folder = shutil.copytree(results / "study", tmp_path / "study")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sim.studies.report.StudyReport.write", killed)
    assert _run("study", "resume", folder) == 130
    assert not (folder / NAME).exists()


def test_folders_are_written_again_and_older_ones_are_read(results, tmp_path):
    folder = shutil.copytree(results / "check", tmp_path / "check")
    _edit_json(folder / "verdicts.json", _measured)
    assert _run("check", "regret-beta", "--out", folder) == 0
    pl.load_check(folder)
    (folder / NAME).unlink()
    pl.load_check(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"blake2b": 3}', "\x00", '"\ud83d"'])
def test_a_file_of_checksums_that_is_none_is_said(tmp_path, text):
    (tmp_path / NAME).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match="is no file of checksums; copy the folder again, or delete it"):
        require_unchanged(tmp_path, "a.json")


def test_what_is_not_there_or_not_known_is_no_change(tmp_path):
    (tmp_path / "a.json").write_text("1")
    write_checksums(tmp_path, ["a.json", "missing.json"])
    assert set(json.loads((tmp_path / NAME).read_text())["blake2b"]) == {"a.json"}
    (tmp_path / "b.json").write_text("2")
    require_unchanged(tmp_path, "a.json", "b.json", "missing.json")
    (tmp_path / "a.json").unlink()
    require_unchanged(tmp_path, "a.json")
    forget_checksums(tmp_path)
    forget_checksums(tmp_path)
