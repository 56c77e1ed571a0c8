"""A run whose disk is full, that is killed, or that meets another: one line, nothing half-written, nothing lost."""
# ruff: noqa: F811  # fixtures are imported

import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from places import ROOT  # noqa: E402
from saved_runs import (  # noqa: E402, F401
    ENVIRONMENT,
    Stop,
    finished,
    pairs,
    refused,
    run,
    settings,
    train_command,
)  # fmt: skip
from tiny_llm import open_tiny, tiny, write_corpus  # noqa: E402, F401

from llm.runs.run_folder import save_adapter  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from sim.files.locks import LOCK, held  # noqa: E402
from sim.streams import Stream  # noqa: E402

FILES = ("run.json", "mixture.json", "metrics.jsonl", "responsibilities.parquet", "reference.safetensors",
         "group_0/adapter_model.safetensors", "group_1/adapter_model.safetensors")  # fmt: skip


def test_a_full_disk_is_one_line_and_what_was_done_is_not_lost(settings, tmp_path):
    """The system's own refusal of a larger file, in a process of its own."""
    out = tmp_path / "run"
    limited = (
        "import resource, sys; from pluralign.__main__ import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, -1)); sys.exit(main())"
    )
    arguments = [sys.executable, "-c", limited, *map(str, train_command(settings, out))]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, check=False)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert errors[-1].startswith("pluralign: error: "), errors
    assert "File too large" in errors[-1]
    assert str(out) in errors[-1]
    left = {path.name.split("-")[0] for path in out.rglob("*") if path.is_file()}
    assert left <= {"config.json", "reference.safetensors", "reference", "score", "fit", "part", "metrics.jsonl"}
    assert LOCK not in left


@pytest.fixture(scope="module")
def moves(settings, tmp_path_factory):
    """How many files and folders a run puts in their places."""
    count, move = [], os.replace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.replace", lambda *arguments: (count.append(arguments), move(*arguments)))
        train_run(settings, tmp_path_factory.mktemp("moves") / "run")
    return len(count)


@pytest.mark.parametrize("call", [0, 3, 7, -6, -4, -3, -2, -1])
def test_a_disk_that_is_full_at_any_file(settings, finished, tmp_path, monkeypatch, refused, moves, call):
    """The run says it, leaves no half-written file, and ends as if nothing had been when there is space again."""
    out, left, move = tmp_path / "run", [call % moves], os.replace

    def full(old, new):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device", str(new))
        move(old, new)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        assert "No space left on device" in refused(*train_command(settings, out))
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")], "something half-written was left"
    assert not (out / "run.json").exists()
    train_run(settings, out)
    for name in FILES:
        if name != "mixture.json":  # MinMax put its weights there since
            assert (out / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.parametrize("call", range(3))
def test_there_is_an_adapter_at_every_moment(tiny, tmp_path, monkeypatch, call):
    base, _ = open_tiny(tiny)
    for name in ("one", "two"):
        base.add_adapter(name, Stream(1, name))
    save_adapter(base, "one", tmp_path / "x")
    left, move = [call], os.replace

    def killed(old, new):
        left[0] -= 1
        if left[0] < 0:
            raise Stop
        move(old, new)

    monkeypatch.setattr("os.replace", killed)
    if call < 2:
        with pytest.raises(Stop):
            save_adapter(base, "two", tmp_path / "x")
    else:
        save_adapter(base, "two", tmp_path / "x")
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors"
    ]  # fmt: skip
    base.load_adapter(f"again{call}", tmp_path / "x")
    found = base.parameters_of(f"again{call}")
    wanted = base.parameters_of("two" if call == 2 else "one")
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


HOLD = """
import sys, time
from sim.files.locks import held
with held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holding():
    started = []

    def hold(folder):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_process_is_refused(settings, run, tmp_path, refused, holding):
    data = write_corpus(tmp_path / "text.jsonl", 80)
    for folder, *arguments in (
        (tmp_path / "new", *train_command(settings, tmp_path / "new")),
        (run, "llm", "minmax", run), (run, "llm", "eval", run),
        (tmp_path / ".model-unfinished", "llm", "sft", "--data", data, "--out", tmp_path / "model"),
        (tmp_path / "imdb", "llm", "make-imdb", "--data", data, "--model", "x", "--out", tmp_path / "imdb"),
    ):  # fmt: skip
        process = holding(folder)
        said = refused(*arguments)
        assert f"{folder}: process {process.pid} is working there; wait for it, or choose another" in said
        process.kill()
        process.wait()
        assert (folder / LOCK).exists(), "killed: nobody removed its lock"
        with held(folder):
            pass
        assert not (folder / LOCK).exists()


def test_two_trainings_at_once_and_a_kill(settings, finished, tmp_path, refused):
    out = tmp_path / "run"
    arguments = [sys.executable, "-m", "pluralign", *map(str, train_command(settings, out))]
    first = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, env=ENVIRONMENT)
    try:
        while first.poll() is None and not (out / "journal").is_dir():
            pass
        assert first.poll() is None, "it ended before there was a second"
        assert f"{out}: process {first.pid} is working there" in refused(*train_command(settings, out))
    finally:
        first.kill()
        first.wait()
    assert (out / LOCK).exists()
    train_run(settings, out)
    assert not (out / LOCK).exists()
    for name in ("run.json", "group_0/adapter_model.safetensors", "responsibilities.parquet"):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name


def test_a_file_system_without_locks_locks_nobody_out(tmp_path, monkeypatch):
    import fcntl

    def unsupported(*arguments):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with held(tmp_path / "a"), held(tmp_path / "a"):
        pass
    assert not (tmp_path / "a").exists()
