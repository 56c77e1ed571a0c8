"""Two processes on one run: the numbers of one, a base that is spread, and a worker that is killed for real."""
# ruff: noqa: F811  # fixtures are imported

import json
import os
import signal

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from joined_runs import Seen  # noqa: E402
from places import ROOT  # noqa: E402
from saved_runs import FAST, interrupted, pairs, settings  # noqa: E402, F401
from several_processes import ended, errors, launched, until, workers  # noqa: E402
from tiny_llm import tiny  # noqa: E402, F401

from llm.base.processes import Processes  # noqa: E402
from llm.base.sequences import ResponseScorer  # noqa: E402
from llm.base.tensor_files import read_tensors  # noqa: E402
from llm.runs import train_run as train_run_module  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from sim.files.locks import LOCK  # noqa: E402
from sim.settings import read_settings  # noqa: E402

# What float32 leaves of an adapter and of a mean log-likelihood, in nats, where sums are taken in another order.
ADAPTERS, NATS = 5e-5, 1e-5
METHODS = {
    "plain": [],
    "sharded": ["sharding=full", "training.gradient_checkpointing=true"],
    # Pieces of a step, more in one process than in the other.
    # Several passes of both groups, whose pieces are unlike.
    "joint": ["sharding=full", "training.together=true", "training.micro_tokens=600"],
    "robust": ["method=group-dpo", "training.micro_tokens=100"],
}


@pytest.fixture(scope="module")
def overrides(tiny, pairs):
    def of(*more):
        # 15 answers a step: eight in one process, seven in the other, and 14, 13, ... in a last one.
        own = ["training.batch=15", "training.epochs=2", "eval_tokens=256"]
        return [*FAST, *own, f"model={tiny}", f"data.train={pairs}", *more]

    return of


@pytest.fixture(scope="module")
def ones(overrides, tmp_path_factory):
    """The runs of one process, and the batches it scored in each."""
    folder, found = tmp_path_factory.mktemp("ones"), {}
    with pytest.MonkeyPatch.context() as patch:
        for place, name in ((train_run_module, "open_base"), (os, "replace"), (ResponseScorer, "__call__"),
                            (Processes, "sum_gradients")):  # fmt: skip
            patch.setattr(place, name, getattr(place, name))
        seen = Seen()
        for name in ("plain", "robust"):
            train_run(read_settings(RunSettings, None, overrides(*METHODS[name])), folder / name)
            found[name] = [list(batch) for batch in sorted(seen.batches)]
    (folder / "batches.json").write_text(json.dumps(found))
    return folder


@pytest.fixture(scope="module")
def twos(overrides, tmp_path_factory):
    """The same of two processes, one of them begun by one process; what each saw is in seen-0.json and seen-1.json."""
    folder = tmp_path_factory.mktemp("twos")
    with pytest.MonkeyPatch.context() as patch:
        interrupted(read_settings(RunSettings, None, overrides()), folder / "begun", patch, "part", times=3)
    jobs = [[name, overrides(*more)] for name, more in [*METHODS.items(), ("begun", [])]]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    code, out, err = ended(launched(2, ROOT / "tests" / "support" / "joined_runs.py", folder))
    assert code == 0, err
    assert not out
    return folder


@pytest.fixture(scope="module")
def seen(twos):
    return [json.loads((twos / f"seen-{rank}.json").read_text()) for rank in (0, 1)]


def adapters(folder):
    from safetensors.torch import load_file

    return {
        f"{path.parent.name}/{name}": value
        for path in sorted(folder.glob("group_*/adapter_model.safetensors")) for name, value in load_file(path).items()
    }  # fmt: skip


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def require_alike(one, other, adapters_by=ADAPTERS, nats=NATS):
    """Two finished runs with the same adapters, steps and scores, up to rounding."""
    wanted, found = adapters(one), adapters(other)
    assert wanted.keys() == found.keys() != set()
    assert max(float((wanted[name] - found[name]).abs().max()) for name in wanted) < adapters_by
    assert max(float(value.abs().max()) for value in wanted.values()) > 0.02, "they were trained"
    ended_one, ended_other = (json.loads((folder / "run.json").read_text()) for folder in (one, other))
    assert ended_one["mixture"] == pytest.approx(ended_other["mixture"], abs=1e-5)
    for name in ("held_out_log_likelihood", "new_prompts_log_likelihood"):
        assert ended_one[name] == pytest.approx(ended_other[name], abs=nats)
    steps = [[row for row in rows(folder) if row["phase"] == "fit"] for folder in (one, other)]
    assert len(steps[0]) == len(steps[1]) > 10
    for own, theirs in zip(*steps, strict=True):
        for name in ("loss", "grad_norm", "rewards/margins", "rewards/accuracies"):
            assert own[name] == pytest.approx(theirs[name], rel=1e-3, abs=1e-5), (name, own["step"])


@pytest.mark.parametrize("name", ["plain", "robust", "begun", "joint"])
def test_two_processes_are_as_one(ones, twos, name):
    require_alike(ones / ("robust" if name == "robust" else "plain"), twos / name)
    assert not list(twos.rglob(LOCK))
    assert not list(twos.glob("*/journal"))


def test_scores_do_not_depend_on_the_number_of_processes(ones, twos, seen):
    """Nor do the batches that are scored, of which each takes its share."""
    for name, batches in json.loads((ones / "batches.json").read_text()).items():
        assert sorted({tuple(batch) for own in seen for batch in own[name]["batches"]}) == list(map(tuple, batches))
    first, second = (
        read_tensors(folder / "plain" / "reference.safetensors", "reference")[0]["log_probability"]
        for folder in (ones, twos)
    )
    assert torch.equal(first, second)


def test_processes_see_the_same_and_each_scores_its_share(seen):
    first, second = seen
    for name in METHODS:
        assert first[name]["summary"] == second[name]["summary"]
        assert first[name]["as_reference"]
        assert first[name]["finite"]
        shares = np.array([own[name]["tokens"] for own in seen]) / sum(own[name]["tokens"] for own in seen)
        assert shares.min() > 0.4, shares


def test_the_first_one_writes(seen):
    first, second = seen
    assert any("run.json" in name for name in first["plain"]["files"])
    assert [own["files"] for own in second.values()] == [[]] * len(second)


def test_two_processes_go_on_from_where_one_was_killed(seen):
    """Three checkpoints were there, two steps apart, and the reference's scores."""
    for own in seen:
        assert 0 < own["begun"]["steps"] <= own["plain"]["steps"] - 6
        assert own["begun"]["tokens"] < own["plain"]["tokens"]


def test_a_base_that_is_spread_gives_the_same_bits(twos, seen):
    """Layers are DTensors, half of each weight in each process; adapters, embeddings and head are whole."""
    for own in seen:
        sharded, plain = own["sharded"], own["plain"]
        assert not plain["spread"]
        assert sharded["placements"] == ["(Shard(dim=0),)"]
        assert set(sharded["shares"]) == {0.5}
        assert len([name for name in sharded["spread"] if name.endswith("base_layer.weight")]) == 14
        assert all(".layers." in name and "lora" not in name for name in sharded["spread"])
        assert all("lora" in name or ".layers." not in name for name in sharded["whole"])
    for name, value in adapters(twos / "plain").items():
        assert torch.equal(value, adapters(twos / "sharded")[name]), name


def test_a_worker_that_is_killed_stops_the_job(overrides, ones, tmp_path):
    """The one that writes: the other says so in a line, and from a whole checkpoint one process goes on."""
    out = tmp_path / "run"
    changes = [part for text in overrides() for part in ("--set", text)]
    process = launched(2, "-m", "pluralign", "llm", "train", "--out", out, *changes)
    until(lambda: list(out.glob("journal/part-*")), process)
    os.kill(workers(process)[0], signal.SIGKILL)
    code, printed, err = ended(process)
    assert code != 0
    assert not printed
    assert len(errors(err)) == 1, err
    assert "process 1 of 2" in errors(err)[0]
    assert "give the same command again" in errors(err)[0]
    assert not (out / "run.json").exists()
    for piece in out.glob("journal/*"):
        read_tensors(piece, piece.stem)
    train_run(read_settings(RunSettings, None, overrides()), out)
    require_alike(ones / "plain", out)


@pytest.mark.parametrize("code", [[], ["0"], ["3"]])
def test_processes_end_while_something_holds_their_group(code):
    """Of four, one or more were aborted at the interpreter's end (exit -6) in three of four launches."""
    process = launched(4, ROOT / "tests" / "support" / "held_groups.py", *code)
    ended_with, out, err = ended(process)
    assert out.count("sum 4") == 4
    assert "terminate" not in err
    assert "exitcode: -" not in err
    assert (ended_with != 0) == (code == ["3"])
