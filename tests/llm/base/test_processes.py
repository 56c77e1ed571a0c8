"""Several processes: who does what, how numbers come together, and one line where one of them fails."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from several_processes import ENVIRONMENT, errors  # noqa: E402

from llm.base.processes import ALONE, Processes, processes, working_together  # noqa: E402
from llm.training.step_shares import own_pieces  # noqa: E402
from pluralign.__main__ import main  # noqa: E402
from sim.streams import Stream  # noqa: E402


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 4, 6, 7])
def test_every_batch_is_one_processes_and_all_have_as_many(world, n):
    batches = list(range(n))
    taken, counted = [], []
    for rank in range(world):
        own = Processes(rank, world)
        mine = own.share(batches)
        taken.append(len(mine))
        counted += [batch for place, batch in enumerate(mine) if own.counts(place, batches)]
    assert sorted(counted) == batches
    assert len(set(taken)) == 1


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize(("n", "tokens"), [(1, 1000), (2, 40), (15, 60), (16, 1000)])
def test_the_answers_of_a_step_are_dealt_out(world, n, tokens):
    """Each counts once, in as many passes in every process, of like lengths."""
    lengths, sequences = Stream(n, "lengths").integers(40, 30) + 5, np.full(30, 2)
    rows = Stream(n, "rows").permutation(30)[:n]
    pieces = []
    for rank in range(world):
        with working_together(Processes(rank, world)):
            pieces.append(own_pieces(rows, lengths, tokens, sequences))
    counted = [piece for own in pieces for piece, counts in own if counts == 1]
    assert sorted(np.concatenate(counted).tolist()) == sorted(rows.tolist())
    assert len({len(own) for own in pieces}) == 1
    assert {counts for own in pieces for _, counts in own} <= {0.0, 1.0}
    longest = [max(lengths[piece].max() for piece, _ in own) for own in pieces]
    if n >= world:
        assert sorted(longest) == sorted(lengths[rows])[-world:], "the longest are dealt first"


def test_one_process_is_alone():
    assert processes() is ALONE
    values = np.array([0.1, 0.2])
    assert ALONE.summed(values) is values
    assert ALONE.filled(values) is values
    assert ALONE.from_first(lambda: (1,)) == (1,), "nothing is sent"


def refused_by(capsys, monkeypatch, environment, *arguments):
    for name in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    # The command sets it where it is not set, for itself.
    monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", "ERROR")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["pluralign", "llm", *arguments])
    code = main()
    printed = capsys.readouterr()
    return code, printed.out, errors(printed.err)


THERE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.mark.parametrize(("environment", "said"), [
    ({"WORLD_SIZE": "two"}, "as WORLD_SIZE (got 'two')"),
    ({"WORLD_SIZE": "2"}, "as RANK (there is none)"),
    ({"WORLD_SIZE": "2", "RANK": "0"}, "there is no MASTER_ADDR"),
    ({"WORLD_SIZE": "2", "RANK": "2", **THERE}, "RANK 2 of WORLD_SIZE 2"),
    ({"WORLD_SIZE": "4", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "1", **THERE}, "LOCAL_RANK 1 of"),
    ({"WORLD_SIZE": "1", "RANK": "0"}, "field 'sharding': one process has nobody to share a base with"),
])  # fmt: skip
def test_a_launch_that_cannot_be_is_one_line(capsys, monkeypatch, environment, said):
    arguments = ("train", "--model", "x", "--data", "y", "--set", "sharding=full")
    code, out, lines = refused_by(capsys, monkeypatch, environment, *arguments)
    assert (code, out, len(lines)) == (2, "", 1), lines
    assert said in lines[0]


def test_other_verbs_are_the_first_processes(capsys, monkeypatch, tmp_path):
    for rank, wanted in (("0", (2, 1)), ("1", (0, 0))):
        environment = {"WORLD_SIZE": "2", "RANK": rank}
        code, _, lines = refused_by(capsys, monkeypatch, environment, "minmax", str(tmp_path / "nowhere"))
        assert (code, len(lines)) == wanted


PRELUDE = """
import sys, time
import numpy as np
import torch
from llm.base.joining import together
from llm.base.processes import processes
from sim.errors import InputError

def main():
    with together() as ours:
        assert processes() is ours and ours.world == 2
        work(ours)

def safely():
    try:
        main()
    except InputError as error:
        print("pluralign: error:", error, file=sys.stderr)
        sys.exit(2)
"""
TOGETHER = """
def work(ours):
    own = np.array([0.1 + ours.rank, 1e16 * (1 - 2 * ours.rank)])
    assert ours.summed(own).tolist() == [0.1 + 1.1, 0.0]
    part = np.zeros(4)
    part[ours.rank :: 2] = 1 + ours.rank
    assert ours.filled(part).tolist() == [1, 2, 1, 2]
    assert ours.from_first(lambda: {"who": ours.rank, "none": None}) == {"who": 0, "none": None}
    assert ours.from_first(lambda: None) is None
    assert ours.bytes_from_first(lambda: b"" if ours.is_first else b"other") == b""
    assert ours.array_from_first(lambda: np.full((2, 3), 0.1)).tolist() == [[0.1] * 3] * 2
    assert ours.array_from_first(lambda: None) is None
    two = [torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.ones(3))]
    two[0].grad, two[2].grad = torch.full((2, 2), 1.0 + ours.rank), torch.arange(3.0)
    ours.sum_gradients(two)
    assert two[1].grad is None and two[0].grad.tolist() == [[3, 3], [3, 3]] and two[2].grad.tolist() == [0, 2, 4]
    turns = []
    for one_by_one in (False, True):
        with ours.in_turn(one_by_one):
            turns.append(time.monotonic())
            time.sleep(0.2)
            turns.append(time.monotonic())
    begun, ended = ours.summed(np.array(turns[2:3])*ours.rank)[0], ours.summed(np.array(turns[3:4])*(1-ours.rank))[0]
    assert begun >= ended, "the second began before the first had ended"
    ours.require_same("name", "x", "no way out")
    ours.require_same("base", str(ours.rank), "give every machine the same files")
safely()
"""
FAILS = """
def work(ours):
    if ours.rank == 1:
        raise InputError("the second knows why")
    ours.wait()
safely()
"""
FIRST = """
def work(ours):
    if ours.rank == 0:
        raise InputError("the first knows why")
    ours.wait()
safely()
"""
LATE = """
def work(ours):
    ours.wait()
    time.sleep(0.7 * ours.rank)
    raise InputError("both know why")
safely()
"""
SILENT = """
def work(ours):
    if ours.rank == 1:
        time.sleep(60)
    ours.wait()
safely()
"""


def pair(program, **environment):
    """Both processes, begun without a launcher."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port = place.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), **environment}
    return [
        subprocess.Popen(
            [sys.executable, "-c", PRELUDE + program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**ENVIRONMENT, **common, "RANK": str(rank)},
        )
        for rank in (0, 1)
    ]  # fmt: skip


def test_numbers_come_together_and_failures_are_said_once():
    """The same pairs of processes wait for each other's start, so all begin at once."""
    started = {
        name: pair(program)
        for name, program in (("together", TOGETHER), ("fails", FAILS), ("first", FIRST), ("late", LATE))
    }
    started["silent"] = pair(SILENT, PLURALIGN_WAIT="3")
    try:
        for name, said in (
            ("together", "process 1 of 2 (from 0) has another base than the first; give every machine the same files"),
            ("fails", "the second knows why"),
            ("first", "the first knows why"),
            ("late", "both know why"),
        ):
            ended = [process.communicate(timeout=100)[1] for process in started[name]]
            assert [process.returncode for process in started[name]] == [2, 2], ended
            lines = [line for err in ended for line in errors(err)]
            assert lines == [f"pluralign: error: {said}"], ended
        first, second = started["silent"]
        err = first.communicate(timeout=100)[1]
        assert first.returncode == 2, err
        assert "process 0 of 2 lost the others: one was silent for 3 s" in err
        assert second.poll() is None
    finally:
        for process in (process for both in started.values() for process in both):
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
    assert "WORLD_SIZE" not in os.environ
