"""`--fresh`: what was there counts no more, whoever looks, and whatever ends the run that was to replace it."""

import json
import os
import signal

import pytest
from study_processes import started, until

import pluralign as pl
from sim.errors import InputError
from sim.studies.cells import run_study
from sim.studies.folder import merge_folders, run_in_folder
from sim.studies.grid import Share
from sim.studies.planning import plan_study
from sim.studies.report import SavedStudy
from sim.studies.request import Request
from sim.studies.spec import load_spec
from sim.studies.status import StudyStatus

# Its numbers are of what a file holds that nobody is told of, which is what --fresh is for.
_CODE = """
import time
from dataclasses import dataclass
from pathlib import Path

from sim.studies.experiment import Experiment, Measurement

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Setting:
    a: float = 1.0


def run(setting, stream, backends):
    with (HERE / "begun").open("a") as begun:
        begun.write("x")
    if stream.replicate == 5:
        while (HERE / "wait").exists():
            (HERE / "waits").touch()
            time.sleep(0.02)
    if stream.replicate < 2 and (HERE / "fail").exists():
        raise RuntimeError("bad luck")
    return [Measurement("m", "v", float((HERE / "told").read_text()))]


HIDDEN = Experiment(Setting, run, {})
"""


@pytest.fixture
def study(tmp_path, request):
    """Its file; in a folder and module of its own, which is imported once a process."""
    name = f"hidden_{abs(hash(request.node.name))}"
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / f"{name}.py").write_text(_CODE)
    (folder / "hidden.yaml").write_text(
        f"experiment: {name}:HIDDEN\ntitle: h\nreplicates: 8\ngrid: {{a: [1.0, 2.0]}}\n"
    )
    (folder / "told").write_text("1")
    return folder / "hidden.yaml"


def _run(study, out, told, **how):
    (study.parent / "told").write_text(str(told))
    run = run_in_folder(out, Request(str(study), engine="local"), {}, **how).run
    return run.results["value"]


def test_a_run_that_is_killed_leaves_what_it_was_to_replace_dead(study, tmp_path, monkeypatch):
    out = tmp_path / "o"
    assert _run(study, out, 1) == [1.0] * 16
    (study.parent / "told").write_text("2")
    (study.parent / "wait").touch()
    (study.parent / "begun").unlink()
    driver = started("study", study, "--workers", 1, "--out", out, "--fresh")
    until((study.parent / "waits").exists, "it came to the replicate that waits")
    done = (study.parent / "begun").stat().st_size - 1
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    (study.parent / "wait").unlink()
    status = StudyStatus.read(out)
    assert (status.state, status.done, status.total) == ("killed", done, 16)
    monkeypatch.chdir(tmp_path)
    run = run_in_folder(out, Request.read(out), {}).run
    assert (run.resumed, run.results["value"]) == (done, [2.0] * 16)
    assert (len(list((out / "cells").iterdir())), StudyStatus.read(out).done) == (1, 16)


def test_a_kill_before_anything_is_computed_is_a_kill_too(study, tmp_path, monkeypatch):
    out = tmp_path / "o"
    assert _run(study, out, 1) == [1.0] * 16

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("sim.studies.request.Request.write", killed)
    with pytest.raises(KeyboardInterrupt):
        _run(study, out, 2, fresh=True)
    monkeypatch.undo()
    assert StudyStatus.read(out).done == 0
    assert _run(study, out, 2) == [2.0] * 16


def test_what_failed_in_it_has_failed(study, tmp_path):
    out = tmp_path / "o"
    assert _run(study, out, 1) == [1.0] * 16
    (study.parent / "fail").touch()
    assert _run(study, out, 2, fresh=True).count(2.0) == 12
    status = StudyStatus.read(out)
    assert (status.state, status.done, status.failed) == ("finished", 12, 4)
    (study.parent / "fail").unlink()
    assert _run(study, out, 2) == [2.0] * 16


def test_workers_that_go_on_in_their_files_do_not_bring_it_back(study, tmp_path):
    """One process, as a Python session is: workers keep a file in the place, which they go on in at the next run."""
    spec, values = load_spec(study), []
    for told, fresh in ((1, False), (3, True), (3, False)):
        (study.parent / "told").write_text(str(told))
        run = run_study(spec, {}, cells=tmp_path / "c", workers=2, batch=1, fresh=fresh, tidy=False)
        values.append(set(run.results["value"]))
        assert run.resumed == (16 if values[-1] == {3.0} and not fresh else 0)
    assert values == [{1.0}, {3.0}, {3.0}]


def test_a_share_computes_its_own_part_again_and_a_whole_run_all_that_was_ever_there(study, tmp_path):
    cells, spec, fewer = tmp_path / "c", load_spec(study), load_spec(study, ["replicates=4"])

    def values(spec, told, **how):
        (study.parent / "told").write_text(str(told))
        return run_study(spec, {}, cells=cells, engine="local", **how).results["value"]

    values(spec, 1)
    assert values(spec, 2, share=Share(1, 2), fresh=True) == [2.0] * 8
    assert sorted(values(spec, 3)) == [1.0] * 8 + [2.0] * 8
    values(fewer, 4, fresh=True)
    assert sorted(values(spec, 5)) == [4.0] * 8 + [5.0] * 8


def test_a_plan_of_it_takes_nothing(study, tmp_path):
    out = tmp_path / "o"
    _run(study, out, 1)
    request = Request(str(study), engine="local")
    assert [plan_study(out, request, {}, fresh=fresh).finished for fresh in (False, True)] == [16, 0]
    assert pl.plan_study(study, out=out, workers=1, fresh=True).finished == 0
    assert StudyStatus.read(out).done == 16, "nothing is run, and nothing goes"


@pytest.mark.parametrize("share", [Share(), Share(1, 2)])
def test_another_study_is_refused_where_one_was_begun(study, tmp_path, monkeypatch, share):
    """Ended by a failure of the disk, say, or a share: no study.json is there yet, or ever."""
    out, other = tmp_path / "o", study.with_name("other.yaml")
    other.write_text(study.read_text().replace("title: h", "title: other"))
    request = Request(str(study), engine="local", shard=(share.number, share.of))

    def stopped(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if share == Share():
            patched.setattr("sim.studies.folder.run_study", stopped)
            with pytest.raises(KeyboardInterrupt):
                run_in_folder(out, request, {})
        else:
            run_in_folder(out, request, {})
    kept = (out / "request.json").read_bytes()
    for how in ({}, {"shard": (1, 2)}):
        with pytest.raises(InputError, match="holds another study, 'h' of hidden_"):
            run_in_folder(out, Request(str(other), engine="local", **how), {})
    assert (out / "request.json").read_bytes() == kept
    assert run_in_folder(out, request, {}).run.n_failed == 0


def test_a_folder_named_as_an_address_is_kept_whole(study, tmp_path, monkeypatch):
    monkeypatch.chdir(study.parent)
    pl.run_study(study, workers=1, cells="file://kept", out=tmp_path / "o")
    monkeypatch.chdir(tmp_path)
    assert pl.study_status(tmp_path / "o").done == 16
    assert (study.parent / "kept").is_dir()


def test_a_folder_that_somebody_sent_chooses_no_module_that_lies_here(study, tmp_path, monkeypatch):
    """A module beside the reader, which no study file of the reader's names as an experiment."""
    pl.run_study(study, workers=1, engine="local", out=tmp_path / "o")
    (tmp_path / "cleanup.py").write_text("import pathlib\npathlib.Path('was-run').touch()\n")
    monkeypatch.chdir(tmp_path)
    assert SavedStudy.read(tmp_path / "o").definition is not None, "one's own is found"
    for name in ("study.json", "request.json"):
        path = tmp_path / "o" / name
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"experiment": "cleanup:x"}))
    (tmp_path / "o" / "checksums.json").unlink(missing_ok=True)
    saved = SavedStudy.read(tmp_path / "o")
    assert (saved.definition, saved.figure) == (None, None)
    assert "names it" in saved.unknown
    assert not (tmp_path / "was-run").exists()


def test_what_was_tried_again_after_a_merge_stays_when_shares_are_merged_again(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shares = [tmp_path / "1", tmp_path / "2"]
    (study.parent / "fail").touch()
    for number, share in enumerate(shares, start=1):
        run_in_folder(share, Request(str(study), engine="local", shard=(number, 2)), {})
    run = merge_folders(shares, tmp_path / "o", {}).run
    assert (run.n_failed, run.resumed) == (4, 12)
    (study.parent / "fail").unlink()
    assert run_in_folder(tmp_path / "o", Request.read(tmp_path / "o"), {}).run.n_failed == 0
    run = merge_folders(shares, tmp_path / "o", {}).run
    assert (run.n_failed, run.resumed, StudyStatus.read(tmp_path / "o").done) == (0, 16, 16)
