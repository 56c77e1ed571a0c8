"""The same numbers after every fault: replicates that raise, hang or take their process along; workers, drivers and
schedulers killed; full disks; and whoever comes second."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from places import ROOT
from study_processes import begun, left, numbers, started, study_file, until

from pluralign.commands.study import command
from sim.errors import InputError
from sim.running.watched import _HERE, Ended, dismiss, watched
from sim.studies.cells import run_study
from sim.studies.folder import run_in_folder
from sim.studies.request import Request
from sim.studies.spec import load_spec
from sim.studies.status import StudyStatus


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The values of the study of which nothing goes wrong: those of a replicate depend on nothing else."""
    file = study_file(tmp_path_factory.mktemp("plain"))
    return _values(load_spec(file), file.parent / "cells", engine="local")


def _values(spec, cells, **how):
    return run_study(spec, {}, cells=cells, **how).results["value"]


def _status(folder):
    return StudyStatus.read(folder)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("raise", "RuntimeError (slow_study.py, line "),
        ("nan", "ValueError"),
        # A claim that hangs is in the everyday command.
        pytest.param("hang", "took more than 4 s", marks=pytest.mark.slow),
        ("die", "its process died (signal 9)"),
    ],
)
def test_a_replicate_that_fails_is_counted_and_the_others_are_kept(tmp_path, plain, what, why):
    spec = load_spec(study_file(tmp_path, what=what, at=(3,)))
    run = run_study(spec, {}, cells=tmp_path / "cells", engine="local", time_out=4.0)
    assert (run.n_failed, run.tasks) == (2, 16)
    assert [(row.replicate, row.error.startswith(why)) for row in run.failed] == [(3, True)] * 2
    rows = [(row["replicate"], row["value"], row["status"]) for row in run.results.rows()]
    gone = [row for row in rows if row[0] == 3]
    assert gone == [(3, None, f"failed: {one.error}") for one in run.failed]
    assert [value for number, value, _ in rows if number != 3] == [
        value for place, value in enumerate(plain) if place // 2 % 8 != 3
    ]
    assert len(begun(tmp_path)) == 2, "each once"
    assert run_study(spec, {}, cells=tmp_path / "cells", engine="local", time_out=4.0).resumed == 14, "tried again"
    for process in begun(tmp_path):
        assert what not in ("hang", "die") or not os.path.exists(f"/proc/{process}")


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(tmp_path, plain):
    spec = load_spec(study_file(tmp_path, what="die once", at=(3,)))
    assert _values(spec, tmp_path / "cells", workers=2, engine="joblib") == plain


def test_a_killed_driver_leaves_no_process_and_loses_nothing(tmp_path, plain, monkeypatch):
    file, out = study_file(tmp_path / "s", what="wait", at=(5,)), tmp_path / "o"
    driver = started("study", file, "--workers", 2, "--out", out)
    until(lambda: len(begun(file.parent)) == 2, "both workers came to the replicate that waits")
    with pytest.raises(InputError, match=f"process {driver.pid} is working there"):
        run_in_folder(out, Request(str(file)), {})
    assert _status(out).state == "running"
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    until(lambda: not left(driver), "its workers ended too")
    found = _status(out)
    assert (found.state, found.failed) == ("killed", 0)
    assert 10 <= found.done < 16, "each cell has its first five, and perhaps the last two"
    (file.parent / "go").touch()
    monkeypatch.chdir(file.parent)
    done = CliRunner().invoke(command, ["resume", str(out), "--workers", "1", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["resumed"] == found.done
    assert [row["value"] for row in numbers(out)] == plain
    assert _status(out).state == "finished"
    assert not (out / ".lock").exists()


def test_interrupted_workers_are_gone_and_it_is_written_down(tmp_path):
    file, out = study_file(tmp_path / "s", what="wait", at=(5,)), tmp_path / "o"
    driver = started("study", file, "--workers", 2, "--out", out)
    until(lambda: len(begun(file.parent)) == 2, "both workers came to the replicate that waits")
    os.killpg(driver.pid, signal.SIGINT)
    _, err = driver.communicate()
    assert (driver.returncode, err.count("Traceback")) == (130, 0)
    until(lambda: not left(driver), "its workers ended too")
    assert _status(out).state == "interrupted"
    assert 10 <= _status(out).done < 16


def test_a_full_disk_is_one_line_and_the_study_goes_on_when_there_is_room(tmp_path, plain):
    """As where no file may grow beyond some kilobytes: in the driver and, by inheritance, in its workers."""
    file, out = study_file(tmp_path / "s", replicates=100), tmp_path / "o"
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, -1))"
    driver = started("study", file, "--workers", 2, "--batch", 20, "--out", out, limits=full)
    _, err = driver.communicate()
    assert driver.returncode == 2, err
    (line,) = [line for line in err.splitlines() if not line.startswith("[")]
    assert "finished work cannot be written (File too large); make room" in line
    found = _status(out)
    assert found.state == "stopped"
    assert "File too large" in found.message
    assert 0 < found.done < 200
    run = run_in_folder(out, Request(str(file), engine="local"), {}).run
    assert run.resumed == found.done
    assert run.notices == (), "what did not fit is the end of a file, no damage"
    values = run.results["value"]
    assert values[:16] + values[200:216] == plain


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    file = study_file(tmp_path)
    with pytest.raises(InputError, match=r"/proc/studies/cells: cannot be written"):
        run_in_folder(Path("/proc/studies"), Request(str(file)), {})


def test_a_claim_that_hangs_stops_the_checks_in_one_line_once_the_others_are_kept(tmp_path):
    (tmp_path / "hanging_claim.py").write_text(HANGING)
    done = subprocess.run(
        [sys.executable, "-m", "pluralign", "check", "hanging_claim:CLAIMS", "--workers", "1", "--time-out", "5",
         "--out", str(tmp_path / "o")],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    line = done.stderr.splitlines()[-1]
    assert "claim 'hangs': took more than 5 s; 1 claims were checked; they are kept" in line
    assert [path.name.rpartition("-")[0] for path in (tmp_path / "o" / "cells").iterdir()] == ["goes-on"]


HANGING = """
import time
from dataclasses import dataclass, replace
from theory.engine.judges import EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant

@dataclass(frozen=True)
class Draws(Setting):
    replicates: int = 100
    shift: float = 0.0

class GoesOn(Theorem[Draws]):
    claim_id, paper, source, statement = "goes-on", "hanging_claim", "Theorem 1", "Draws are at most 1."
    SETTINGS = {"as_stated": Variant(Draws())}

    def bound(self, setting):
        return EveryDraw(1.0)

    def draw(self, setting, stream):
        return float(stream.uniforms(1)[0]) + setting.shift

    def control(self, setting):
        return (Control("shifted by one", replace(setting, shift=1.0)),)

class Hangs(GoesOn):
    claim_id = "hangs"

    def draw(self, setting, stream):
        time.sleep(600)

CLAIMS = [Hangs(), GoesOn()]
"""


def _square(task):
    return task * task


def _hang_after(task):
    import time

    from sim.running.watched import beat, prepared

    prepared()
    for _ in range(task):
        beat()
    time.sleep(600)


def _die(task):
    os.kill(os.getpid(), signal.SIGSEGV)


def _import_slowly(task):
    import importlib
    import time

    from sim.running.watched import prepared

    folder, halves = task
    sys.path.insert(0, folder)
    prepared()
    import slow_to_import  # noqa: F401

    importlib.import_module("slow_to_import_too")
    for _ in range(halves):
        with contextlib.suppress(ImportError):
            import not_there_at_all  # noqa: F401
        time.sleep(0.5)


def test_imports_where_they_are_first_needed_do_not_count_and_what_is_not_there_is_asked_for_once(tmp_path):
    """Modules that take longer to load than a call may, one within the other; four halves of a second then count."""
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(1.5)\nimport slow_within\ntime.sleep(1.5)")
    (tmp_path / "slow_within.py").write_text("import time\ntime.sleep(0.5)")
    (tmp_path / "slow_to_import_too.py").write_text("import slow_within_too")
    (tmp_path / "slow_within_too.py").write_text("import time\ntime.sleep(1.5)")
    assert watched(_import_slowly, (str(tmp_path), 0), 1.2) is None
    assert watched(_import_slowly, (str(tmp_path), 4), 1.2) == Ended(0, "took more than 1.2 s")


def _compile_slowly(halves):
    import time

    import numpy as np
    from numba import njit

    from sim.compiled.jit import JIT
    from sim.running.watched import prepared

    @njit(**{**JIT, "cache": False})
    def sorted_by(values):
        return np.sort(values)[::-1].sum() + np.linalg.solve(np.eye(values.size), values).sum()

    prepared()
    began = time.monotonic()
    sorted_by(np.ones(3))
    took = time.monotonic() - began
    for _ in range(halves):
        time.sleep(0.5)
    return took


def test_compilation_does_not_count():
    """On a machine where it takes no longer than the time-out nothing is shown."""
    took = watched(_compile_slowly, 0, 60.0)
    dismiss()
    assert took > 1.2
    assert watched(_compile_slowly, 0, 0.9) > 0.9
    dismiss()
    assert watched(_compile_slowly, 4, 0.9) == Ended(0, "took more than 0.9 s")


def test_a_study_of_short_replicates_ends_well_under_a_short_time_out(tmp_path):
    """Each time-out starts a new process, in which scipy and numba are to be imported again; warm it takes none."""
    (tmp_path / "cold_study.py").write_text(
        "from dataclasses import dataclass\n"
        "from sim.studies.experiment import Experiment, Measurement\n"
        "@dataclass(frozen=True)\nclass Setting:\n    a: float = 1.0\n"
        "def run(setting, stream, backends):\n"
        "    return [Measurement('m', 'v', float(stream.child('x').normals(1)[0]))]\n"
        "COLD = Experiment(Setting, run, {})\n"
    )
    (tmp_path / "cold.yaml").write_text("experiment: cold_study:COLD\ntitle: c\nreplicates: 4\ngrid: {a: [1.0]}\n")
    run = run_study(load_spec(tmp_path / "cold.yaml"), {}, cells=tmp_path / "c", engine="local", time_out=0.6)
    assert (run.n_failed, run.failed) == (0, ())


def _own_process(task):
    return os.getpid()


def test_a_watched_process_with_nothing_to_do_is_not_left_behind(monkeypatch):
    """As on workers of somebody's Dask cluster, or joblib's in a Python session: nobody says there that it is over."""
    monkeypatch.setattr("sim.running.watched._IDLE", 0.3)
    first = watched(_own_process, 0, 60.0)
    assert watched(_own_process, 0, 60.0) == first
    until(lambda: not os.path.exists(f"/proc/{first}"), "it is ended, and its parent knows")
    assert watched(_own_process, 0, 60.0) != first
    with pytest.raises(TypeError):
        watched(_square, "x", 60.0)
    last = _HERE.child._process.pid
    until(lambda: not os.path.exists(f"/proc/{last}"), "after an error, too")
    dismiss()


def test_a_watched_call_comes_back_or_says_how_it_ended(monkeypatch):
    assert watched(_square, 3, 60.0) == 9
    assert watched(_hang_after, 2, 0.5) == Ended(2, "took more than 0.5 s")
    assert watched(_die, 0, 60.0) == Ended(0, "its process died (signal 11)")
    assert watched(_square, 4, 60.0) == 16, "another process took its place"
    with pytest.raises(TypeError, match="can't multiply"):
        watched(_square, "x", 60.0)
