"""What a tracker is told: every row of metrics.jsonl once, also by a run that was killed; and no run depends on it."""
# ruff: noqa: F811  # fixtures are imported

import json
import sys
import types
from dataclasses import replace
from importlib.machinery import ModuleSpec

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from click.testing import CliRunner  # noqa: E402
from saved_runs import interrupted, pairs, refused, settings, train_command  # noqa: E402, F401
from tiny_llm import tiny  # noqa: E402, F401

from llm.runs import tracking  # noqa: E402
from llm.runs.tracking import Tracking, flat  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from llm.training.group_training import GroupRecord, RoundRecord  # noqa: E402
from pluralign.__main__ import command  # noqa: E402

RESULTS = ("run.json", "metrics.jsonl", "responsibilities.parquet", "group_0/adapter_model.safetensors",
           "group_1/adapter_model.safetensors", "group_0/adapter_config.json")  # fmt: skip
TRACKERS = ("tensorboard", "trackio", "wandb")


@pytest.fixture(scope="module")
def plain(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain") / "run"
    train_run(settings, out)
    return out


def _wanted(out):
    """(name, number) -> value of all that metrics.jsonl says of steps and rounds."""
    found, steps = {}, {}
    for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()):
        if row["phase"] == "fit":
            number = steps[row["adapter"]] = steps.get(row["adapter"], -1) + 1
            for key in ("loss", "rewards/margins", "rewards/accuracies", "grad_norm", "learning_rate"):
                found[f"{key}/{row['adapter']}", number] = row[key]
        if row["phase"] == "round":
            told = {**row, **{f"mixture/group_{k}": share for k, share in enumerate(row["mixture"])}}
            for key in ("log_likelihood", "held_out_log_likelihood", "new_prompts_log_likelihood", "entropy",
                        "adjusted_rand_index", "mixture/group_0", "mixture/group_1"):  # fmt: skip
                if told.get(key) is not None:
                    found[f"round/{key}", row["round"]] = told[key]
    return found


def _told(folder):
    """All that the event files of a folder hold, twice told rows twice."""
    events = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    found = []
    for file in sorted(folder.rglob("events.out.tfevents*")):
        for event in events.LegacyEventFileLoader(str(file)).Load():
            found += [((value.tag, event.step), value.simple_value) for value in event.summary.value]
    return found


def _same_results(out, plain):
    for name in RESULTS:
        assert (out / name).read_bytes() == (plain / name).read_bytes(), name


def test_tensorboard_is_told_every_row_once_and_the_run_is_the_same(settings, plain, tmp_path):
    pytest.importorskip("tensorboard")
    out = tmp_path / "run"
    train_run(replace(settings, tracker="tensorboard"), out)
    told = _told(out / "tracker")
    wanted = _wanted(plain)
    assert len(told) == len(dict(told)) == len(wanted) > 50
    assert dict(told) == pytest.approx(wanted, rel=1e-6)
    _same_results(out, plain)
    # A tracker is none of what decides a run: the finished one is taken as it is, whatever is asked for.
    before = (out / "run.json").read_bytes()
    train_run(settings, out)
    assert (out / "run.json").read_bytes() == before


@pytest.mark.parametrize(("kind", "times"), [("part", 3), ("fit", 3)])
def test_a_killed_run_tells_no_step_twice(settings, plain, tmp_path, monkeypatch, kind, times):
    pytest.importorskip("tensorboard")
    own, out = replace(settings, tracker="tensorboard"), tmp_path / "run"
    interrupted(own, out, monkeypatch, kind, times)
    first = _told(out / "tracker")
    assert 0 < len(first) < len(_wanted(plain))
    train_run(own, out)
    told = _told(out / "tracker")
    assert len(told) == len(dict(told))
    assert dict(told) == pytest.approx(_wanted(plain), rel=1e-6)
    _same_results(out, plain)


def test_another_run_in_the_folder_is_told_apart(settings, tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    own, out = replace(settings, tracker="tensorboard"), tmp_path / "run"
    interrupted(own, out, monkeypatch, "part")
    for name in ("journal", "reference.safetensors"):
        (out / name).rename(tmp_path / name)
    train_run(replace(own, beta=0.2), out)
    folders = sorted(path for path in (out / "tracker").iterdir() if path.is_dir())
    assert len(folders) == 2
    assert sorted(len(_told(folder)) == len(_wanted(out)) for folder in folders) == [False, True]


def test_a_missing_package_is_one_line_before_anything_is_loaded(settings, tmp_path, monkeypatch, refused):
    found = tracking.util.find_spec
    monkeypatch.setattr(tracking.util, "find_spec", lambda name: None if name in TRACKERS else found(name))
    monkeypatch.setattr("llm.runs.train_run.open_base", lambda *_: pytest.fail("the base was loaded"))
    for name in TRACKERS:
        said = refused(*train_command(settings, tmp_path / "run"), "--tracker", name)
        assert f"field 'tracker': {name} needs the package {name}; pip install {name}, or leave it out" in said
    assert not (tmp_path / "run" / "config.json").exists()
    assert "expected one of none, tensorboard, trackio, wandb" in refused(
        *train_command(settings, tmp_path / "run"), "--set", "tracker=mlflow"
    )


class _Run:
    def __init__(self):
        self.rows, self.axes, self.finished = [], {}, False

    def define_metric(self, name, step_metric):
        assert self.axes.setdefault(name, step_metric) == step_metric

    def log(self, values, step=None):
        print("greetings")
        self.rows.append((values, step))

    def finish(self):
        self.finished = True


def _stand_in(monkeypatch, name):
    """A module that behaves as the tracker's does where it is called, and what it was told."""
    run, given = _Run(), {}
    module = types.ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)

    def init(project, name=None, resume="never", embed=True, **options):
        print("greetings")
        given.update(project=project, name=name, resume=resume, **options)
        return run

    module.init, module.config = init, types.SimpleNamespace(update=lambda values, **_: given.update(config=values))
    monkeypatch.setitem(sys.modules, name, module)
    return run, given, module


@pytest.mark.parametrize("chosen", [None, "online"])
def test_weights_and_biases_stay_on_the_machine_unless_its_user_says_otherwise(
    settings, plain, tmp_path, monkeypatch, chosen
):
    run, given, _ = _stand_in(monkeypatch, "wandb")
    for name in ("WANDB_MODE", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, chosen or "x")
        if chosen is None:
            monkeypatch.delenv(name)
    out = tmp_path / "run"
    result = CliRunner().invoke(command, [*map(str, train_command(settings, out)), "--tracker", "wandb", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["out"] == str(out), "standard output is the command's own"
    assert (given["mode"], given["dir"]) == (chosen or "offline", str(out / "tracker"))
    assert given["config"]["training.rate"] == "0.002"
    assert run.finished
    told = {}
    for values, step in run.rows:
        assert step is None, "its one axis only grows, and groups take turns"
        (axis,) = {name for name in values if name.startswith("step/") or name == "round/number"}
        for name, value in values.items():
            if name != axis:
                assert run.axes[name] == axis
                told[name, values[axis]] = value
    assert told == _wanted(plain)
    _same_results(out, plain)


def test_trackio_is_given_what_it_takes(settings, plain, tmp_path, monkeypatch):
    run, given, module = _stand_in(monkeypatch, "trackio")
    utils = types.ModuleType("trackio.utils")
    utils.TRACKIO_DIR = tmp_path / "elsewhere"
    monkeypatch.setitem(sys.modules, "trackio.utils", utils)
    module.utils, said = utils, []
    # Set and taken away again, so that what the run sets is taken away, too.
    monkeypatch.setenv("TRACKIO_DIR", "x")
    monkeypatch.delenv("TRACKIO_DIR")
    train_run(replace(settings, tracker="trackio"), tmp_path / "run", said.append)
    assert f"note: trackio keeps its files in {tmp_path / 'elsewhere'}, as it was told before" in said
    assert given["resume"] == "allow"
    told = {(name, step): value for values, step in run.rows for name, value in values.items()}
    assert told == _wanted(plain)
    assert run.finished


def test_a_failing_run_ends_its_tracker(settings, tmp_path, monkeypatch):
    run, _, _ = _stand_in(monkeypatch, "wandb")
    monkeypatch.setattr("llm.runs.train_run.fit_candidates", lambda inputs: 1 / 0)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    with pytest.raises(ZeroDivisionError):
        train_run(replace(settings, tracker="wandb"), tmp_path / "run")
    assert run.finished


def test_names_of_known_groups_and_of_several_numbers_of_types():
    class Tracker:
        name, rows = "tensorboard", []

        def log(self, values, step):
            self.rows.append((values, step))

    own = Tracking(Tracker())
    own.steps("k2_group_0", [{"step": 0, "loss": 0.5, "group_weights": {"praise": 0.4, "blame": 0.6}}], ended=True)
    own.steps("k2_group_0", [{"step": 0, "loss": 0.4}])
    record = RoundRecord(0, (1.0,), -3.0, None, -0.6, (False,), 0.0,
                         groups=(GroupRecord("praise", 0.4, -0.7, None, -0.6),))  # fmt: skip
    own.round(2, record, many=True)
    assert Tracker.rows == [
        ({"loss/k2_group_0": 0.5, "group_weights/praise/k2_group_0": 0.4, "group_weights/blame/k2_group_0": 0.6}, 0),
        ({"loss/k2_group_0": 0.4}, 1),
        ({"round/2/log_likelihood": -3.0, "round/2/new_prompts_log_likelihood": -0.6, "round/2/entropy": 0.0,
          "round/2/mixture/group_0": 1.0, "round/2/groups/weight/praise": 0.4,
          "round/2/groups/log_likelihood/praise": -0.7,
          "round/2/groups/new_prompts_log_likelihood/praise": -0.6}, 0),
    ]  # fmt: skip
    assert flat({"a": {"b": 1}, "c": None, "d": "x"}) == {"a/b": 1}
