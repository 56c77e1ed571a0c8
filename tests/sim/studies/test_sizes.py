"""What cannot fit is refused before it is begun, for every size of every shipped experiment; a failure is counted."""

import dataclasses
import sys

import pytest

from sim.errors import InputError
from sim.running import memory
from sim.running.engines import run_tasks
from sim.studies.cells import run_study
from sim.studies.registry import EXPERIMENTS as DOOR
from sim.studies.report import StudyReport
from sim.studies.shipped import shipped_studies, study_file
from sim.studies.spec import load_spec

EXPERIMENTS = {name: DOOR.find(name) for name in DOOR.ours}
# Limits of loops and of what is left out: they cost time or nothing, and no memory.
LOOPS = {
    "epochs", "epochs_normalised", "em_rounds", "restarts", "restarts_inexact", "hedge_rounds", "largest",
}  # fmt: skip
# What is beyond the other sizes is not looked at.
CUT = {("scaling", "rank"), ("reward_free", "answers")}
# Bounded by other sizes, which are then what is refused.
BOUNDED = {"rank", "fit_rank", "known", "hidden"}
SIZES = [
    (name, field.name)
    for name, experiment in EXPERIMENTS.items()
    for field in dataclasses.fields(experiment.setting)
    if isinstance(field.default, int) and not isinstance(field.default, bool) and field.name not in LOOPS
]


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda: 64 << 30)


@pytest.mark.parametrize("place", ["settings", "grid"])
@pytest.mark.parametrize(("name", "dial"), SIZES)
def test_every_size_of_every_experiment_is_refused(name, dial, place, tmp_path, machine):
    levels = 10**11 if place == "settings" else [10**11]
    (tmp_path / "s.yaml").write_text(f"experiment: {name}\nreplicates: 1\n{place}: {{{dial}: {levels}}}\n")
    if (name, dial) in CUT:
        load_spec(tmp_path / "s.yaml")
        return
    with pytest.raises(InputError) as refused:
        load_spec(tmp_path / "s.yaml")
    assert "s.yaml" in str(refused.value)
    assert dial.removeprefix("fit_") in str(refused.value)
    if dial not in BOUNDED and "would need about" in str(refused.value):
        assert f"field '{place}.{dial}'" in str(refused.value)


def test_shipped_studies_fit_on_a_small_machine(monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda: 2 << 30)
    for path in shipped_studies().values():
        load_spec(path)


def test_tasks_are_counted_before_they_are_listed(tmp_path, machine):
    factors = "".join(
        f"  {name}: [{', '.join(map(str, range(2, 302)))}]\n" for name in ("parties", "actions", "answers")
    )
    (tmp_path / "s.yaml").write_text(f"experiment: profiles\nreplicates: 100\ngrid:\n{factors}")
    with pytest.raises(InputError, match=r"field 'grid.parties': 2,700,000,000 replicates \(27,000,000 cells"):
        load_spec(tmp_path / "s.yaml")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("profiles", {"answers": 4000}),
        ("representation", {"answers": 3000}),
        ("scaling", {"answers": 6000}),
        ("pessimism", {"well": 12_000}),
    ],
)
def test_what_is_said_is_about_what_is_used(name, keys):
    import tracemalloc

    from sim.streams import Stream

    experiment = EXPERIMENTS[name]
    setting = experiment.setting(**keys)
    experiment.run(setting, Stream(0, "warm"), {})
    tracemalloc.start()
    experiment.run(setting, Stream(0, "x"), {})
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.5 * used < experiment.memory(setting) < 2.0 * used


def test_memory_of_a_group_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("1048576\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(memory, "_group_files", lambda: [tmp_path / "memory.max", tmp_path / "none", tmp_path / "not"])
    assert memory.machine_memory.__wrapped__() == 1048576
    assert memory.in_bytes(1048576) == "1.0 MiB"


SOME_FAIL = """
from dataclasses import dataclass
from sim.studies.experiment import Experiment, Measurement

@dataclass(frozen=True)
class Setting:
    n: int = 1

def run(setting, stream, backends):
    if setting.n == 2 and stream.replicate == 1:
        raise RuntimeError("bad luck\\nin two lines")
    value = float("nan") if setting.n == 2 and stream.replicate == 2 else float(stream.replicate)
    return [Measurement("m", "x", value)]

SOME_FAIL = Experiment(Setting, run, {})
"""


def test_a_replicate_that_raises_is_counted_and_the_others_are_kept(tmp_path):
    (tmp_path / "some_fail_study.py").write_text(SOME_FAIL)
    (tmp_path / "s.yaml").write_text("experiment: some_fail_study:SOME_FAIL\nreplicates: 3\ngrid: {n: [1, 2]}\n")
    spec = load_spec(tmp_path / "s.yaml")
    run = run_study(spec, {}, cells=tmp_path / "cells", engine="local")
    assert [row.error.partition(" ")[0].rstrip(":") for row in run.failed] == ["RuntimeError", "ValueError"]
    said = run.failed[0].error
    assert said.startswith("RuntimeError (some_fail_study.py, line ")
    assert said.endswith("): bad luck in two lines")
    assert run.results["value"] == [0.0, 1.0, 2.0, 0.0, None, None]
    assert run.results["status"][4] == f"failed: {said}"
    (line,) = StudyReport(run, None).remarks(tmp_path / "cells")
    assert line.startswith("2 of 6 replicates failed; the first, cell")
    again = run_study(spec, {}, cells=tmp_path / "cells", engine="local")
    assert again.resumed == 4, "what failed is tried again"


def test_shipped_studies_have_names(tmp_path, monkeypatch):
    found = shipped_studies()
    assert {"section_5_1", "reward_free", "low_rank/x"} & set(found) == {"section_5_1", "reward_free"}
    assert "reference" not in found
    assert study_file("reward_free") == study_file("reward_free/reward_free") == found["reward_free"]
    assert study_file("bandit/section_5_1.yaml") == found["section_5_1"]
    with pytest.raises(InputError, match="did you mean 'reward_free'"):
        study_file("reward_fre")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reward_free").write_text("mine")
    assert study_file("reward_free").read_text() == "mine", "a file that is there goes first"


def _die(task):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_one_line():
    with pytest.raises(InputError, match="a worker process died"):
        run_tasks(_die, [1, 2, 3], workers=2, engine="joblib")


@pytest.mark.parametrize("place", ["tcp://127.0.0.1:9", "nonsense"])
def test_no_scheduler_is_one_line(monkeypatch, place):
    pytest.importorskip("distributed")
    monkeypatch.setattr(sys.modules["sim.running.dask_engine"], "_PATIENCE", 1)
    with pytest.raises(InputError, match="does not answer"):
        run_tasks(abs, [1], engine="dask", scheduler=place)


def _hears_interrupts(task):
    import signal

    return signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_workers_leave_interrupts_to_the_process_that_waits_for_them():
    """A terminal sends Ctrl-C to all of them, also to one that has nothing to do."""
    assert run_tasks(_hears_interrupts, [1, 2], workers=2, engine="joblib") == [False, False]
    assert run_tasks(_hears_interrupts, [1, 2], engine="local") == [True, True]
