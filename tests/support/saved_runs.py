"""A small run that is finished, killed ones, and commands that are refused: what tests of saved state begin with."""

from __future__ import annotations

import os
import shutil
import sys

import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner  # noqa: E402
from tiny_llm import tiny, write_pairs  # noqa: E402, F401

from llm.base.journal import Journal  # noqa: E402
from llm.runs.run_settings import RunSettings  # noqa: E402
from llm.runs.train_run import train_run  # noqa: E402
from llm.training.sft_settings import SftSettings  # noqa: E402
from pluralign.__main__ import command, main  # noqa: E402
from sim.files.locks import LOCK  # noqa: E402
from sim.settings import read_settings  # noqa: E402

FAST = [
    "threads=1", "device=cpu", "training.rate=2e-3", "training.batch=16", "training.checkpoint_steps=2", "lora.rank=2",
    "training.epochs=1", "groups.rounds=1", "sampling.max_new_tokens=4",
]  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("answers") / "pairs.jsonl", annotators=5, answers=20, unseen=2)


@pytest.fixture(scope="module")
def settings(tiny, pairs):  # noqa: F811
    return read_settings(RunSettings, None, [*FAST, f"model={tiny}", f"data.train={pairs}"])


@pytest.fixture(scope="module")
def finished(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "run"
    train_run(settings, folder)
    for arguments in (
        ["minmax", folder, "--prompts", 4, "--direct", "--set", "steps=2", "--set", "prompts=2"],
        ["eval", folder, "--prompts", 4, "--twin", 0],
    ):
        result = CliRunner().invoke(command, ["llm", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert not list(folder.rglob(LOCK)), "a lock was left in a finished folder"
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def refused(capsys, monkeypatch):
    def ask(*arguments):
        """The one line on standard error of a command that ends with 2."""
        monkeypatch.setattr(sys, "argv", ["pluralign", *map(str, arguments)])
        code = main()
        lines = [line for line in capsys.readouterr().err.strip().splitlines() if "error" in line]
        assert (code, len(lines)) == (2, 1), lines
        return lines[0]

    return ask


def train_command(settings, out):
    return ["llm", "train", "--model", settings.model, "--data", settings.data.train, "--out", out,
            *(part for text in FAST for part in ("--set", text))]  # fmt: skip


def small_sft(data, **changes):
    plain = {"size": "mini", "length": 24, "passage_words": 12, "batch": 16, "steps": 6, "rate": 1e-3, "threads": 1}
    return SftSettings(**{"data": str(data), "device": "cpu", "checkpoint_steps": 2, **plain, **changes})


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Stop(BaseException):
    pass


def interrupted(settings, out, monkeypatch, kind, times=1):
    """The run until `times` pieces of a kind are written."""
    left = [times]
    write = Journal.write

    def stop(journal, key, *arguments):
        write(journal, key, *arguments)
        left[0] -= key.startswith(kind)
        if not left[0]:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", stop)
        with pytest.raises(Stop):
            train_run(settings, out)
