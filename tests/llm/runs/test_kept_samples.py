"""What `minmax` and `eval` sampled and scored is kept: a kill loses the piece in flight, and a second call nothing."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from click.testing import CliRunner  # noqa: E402
from saved_runs import ENVIRONMENT, Stop, finished, pairs, run, settings  # noqa: E402, F401
from tiny_llm import open_tiny, random_rows, tiny  # noqa: E402, F401

from llm.base import generation  # noqa: E402
from llm.base.generation import KeptSamples, Sampling, sample_responses  # noqa: E402
from llm.base.journal import Journal  # noqa: E402
from llm.base.reference_policy import ReferencePolicy  # noqa: E402
from llm.runs.quality import draw_samples  # noqa: E402
from llm.scorers.named_scorers import AfterOpening, LengthScorer, Negated, kept_as  # noqa: E402
from llm.training.adapter_policy import AdapterPolicy  # noqa: E402
from pluralign.__main__ import command  # noqa: E402
from sim.streams import Stream  # noqa: E402

MINMAX = ("minmax", "--prompts", "49", "--samples", "2")
DIRECT = (
    "minmax", "--prompts", "4", "--direct", "--set", "steps=2", "--set", "prompts=2", "--set", "checkpoint_steps=1"
)  # fmt: skip
EVAL = ("eval", "--prompts", "20", "--samples", "4", "--twin", "0")
WRITTEN = {MINMAX: ["minmax.json", "mixture.json"], DIRECT: ["minmax.json", "direct.json"], EVAL: ["eval.json"]}


@pytest.fixture
def sampled(monkeypatch):
    """How many responses were written since it was asked last."""
    rows, write = [0], generation._generate

    def count(base, model, prompts, *rest):
        rows[0] += len(prompts)
        return write(base, model, prompts, *rest)

    def since():
        found, rows[0] = rows[0], 0
        return found

    monkeypatch.setattr(generation, "_generate", count)
    return since


def ask(folder, asked, *more):
    """What a command writes about a run."""
    name, *options = asked
    result = CliRunner().invoke(command, ["llm", name, str(folder), *options, *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = {own: (folder / own).read_text() for own in WRITTEN[asked]}
    return {own: text.replace(str(folder), "RUN") for own, text in found.items()}


def content(written):
    """Without checksums, which are of the folder's name too."""
    return {
        name: {key: value for key, value in json.loads(text).items() if key != "checksum"}
        for name, text in written.items()
    }


@pytest.fixture
def empty(run):  # noqa: F811
    """A finished run that nobody sampled from."""
    shutil.rmtree(run / "samples")
    return run


@pytest.mark.parametrize("asked", [MINMAX, DIRECT, EVAL], ids=["minmax", "direct", "eval"])
def test_what_is_finished_is_not_sampled_again(empty, sampled, monkeypatch, asked):
    first = ask(empty, asked)
    assert sampled() > 0
    pieces = {path: path.stat().st_mtime_ns for path in (empty / "samples").rglob("*.safetensors")}
    assert pieces
    assert ask(empty, asked) == first
    assert sampled() == 0
    assert {path: path.stat().st_mtime_ns for path in (empty / "samples").rglob("*.safetensors")} == pieces
    # Another question is another answer, and what nobody asks for any more goes.
    assert ask(empty, asked, "--seed", "1") != first
    assert sampled() > 0
    assert not set(pieces) & set((empty / "samples").rglob("samples-*.safetensors"))


@pytest.mark.parametrize(("asked", "apart"), [(MINMAX, 1), (DIRECT, 2), (EVAL, 3)], ids=["minmax", "direct", "eval"])
def test_a_command_that_is_stopped_again_and_again_ends_as_one_nobody_touched(
    empty, tmp_path, sampled, monkeypatch, asked, apart
):
    """Stopped whenever so many pieces were finished."""
    monkeypatch.setattr(generation, "_PIECE", 1)
    alone = content(ask(shutil.copytree(empty, tmp_path / "alone"), asked))
    whole = sampled()
    write, stops, left = Journal.write, 0, [0]

    def stop(journal, key, *arguments):
        write(journal, key, *arguments)
        left[0] -= journal.folder is not None
        if not left[0]:
            raise Stop

    while True:
        left[0] = apart
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "write", stop)
            try:
                again = content(ask(empty, asked))
            except Stop:
                stops += 1
                continue
        break
    assert stops > 1
    assert again == alone
    # Each was stopped when a piece was finished: no response was written twice.
    assert sampled() == whole


@pytest.mark.slow
def test_killed_by_the_system(empty, tmp_path, sampled, monkeypatch):
    """kill -9 as the second piece is about to be written."""
    alone = content(ask(shutil.copytree(empty, tmp_path / "alone"), MINMAX))
    whole = sampled()
    code = f"""
import os, signal
from llm.base import generation
from llm.base.journal import Journal
from pluralign.__main__ import command
generation._PIECE, write, left = 1, Journal.write, [2]
def kill(journal, *arguments):
    left[0] -= journal.folder is not None
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    write(journal, *arguments)
Journal.write = kill
command(["llm", "minmax", {str(empty)!r}, "--prompts", "49", "--samples", "2"])
"""
    ended = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    monkeypatch.setattr(generation, "_PIECE", 1)
    assert content(ask(empty, MINMAX)) == alone
    assert sampled() == whole - 64, "the first piece was kept, the one in flight was not"


def test_a_damaged_piece_is_sampled_again(empty, sampled):
    first = ask(empty, MINMAX)
    sampled()
    piece = sorted((empty / "samples").rglob("samples-*.safetensors"))[0]
    whole = bytearray(piece.read_bytes())
    whole[-3] ^= 1
    piece.write_bytes(whole)
    assert ask(empty, MINMAX) == first
    assert sampled() == 98


def test_the_key_holds_all_that_responses_depend_on(tiny, tmp_path, sampled):  # noqa: F811
    """Each of these changes gives other responses, and must not be given those that are kept."""
    base, _ = open_tiny(tiny)
    base.add_adapter("own", Stream(1))
    journal, contexts = Journal(tmp_path / "kept"), random_rows(base, 5)[0]

    def policies(sampling):
        return (
            AdapterPolicy(base, "own", beta=1.0, sampling=sampling, journal=journal),
            ReferencePolicy(base, sampling=sampling, journal=journal),
        )

    def asked(sampling=Sampling(3, batch=4), stream=Stream(2), rows=contexts, policy=0):  # noqa: B008
        return policies(sampling)[policy].sample(rows, stream)

    plain = asked()
    assert sampled() == 5
    assert (asked() == plain).all()
    assert sampled() == 0
    for change in (
        {"sampling": Sampling(2, batch=4)}, {"sampling": Sampling(3, temperature=0.5, batch=4)},
        {"sampling": Sampling(3, batch=3)}, {"stream": Stream(3)}, {"stream": Stream(2, "other")},
        {"rows": contexts[::-1]}, {"rows": contexts[:4]}, {"policy": 1},
    ):  # fmt: skip
        asked(**change)
        assert sampled() > 0, change
    base.ends = (*base.ends, 7)
    asked()
    assert sampled() == 5, "what ends a response"
    base.identity = "another base"
    asked()
    assert sampled() == 5
    with torch.no_grad():
        next(iter(base.parameters_of("own").values())).add_(0.1)
    asked()
    assert sampled() == 5, "the adapter's weights"


def test_pieces_are_what_is_sampled_at_once(tiny, tmp_path, monkeypatch):  # noqa: F811
    base, _ = open_tiny(tiny)
    contexts = random_rows(base, 11)[0]
    sampling = Sampling(4, batch=3)
    plain = sample_responses(base, None, contexts, Stream(1), sampling)
    monkeypatch.setattr(generation, "_PIECE", 7)
    kept = KeptSamples(Journal(tmp_path / "kept"), "one")
    for _ in range(2):
        assert (sample_responses(base, None, contexts, Stream(1), sampling, kept) == plain).all()
    assert len(list((tmp_path / "kept").iterdir())) == 2, "two batches each"


class _Slow:
    """A scorer whose numbers are worth keeping."""

    name, kept_as = "slow", "slow 1"

    def __init__(self):
        self.calls = 0

    def __call__(self, prompts, responses):
        self.calls += 1
        return np.array([float(len(text)) for text in responses])


def test_scores_of_slow_scorers_are_kept(tiny, tmp_path):  # noqa: F811
    base, tokenizer = open_tiny(tiny)
    contexts = random_rows(base, 4)[0]
    policy = ReferencePolicy(base, sampling=Sampling(4), journal=Journal(tmp_path / "kept"))

    def scores(scorer):
        return draw_samples(policy, [policy], contexts, 2, [scorer], tokenizer, Stream(1)).scores["slow"]

    slow = _Slow()
    first = scores(slow)
    assert (scores(slow) == first).all()
    assert slow.calls == 1
    assert (scores(AfterOpening(slow, "Once")) == first).all()
    assert slow.calls == 2, "it is shown other prompts"
    other = _Slow()
    other.kept_as = "slow 2"
    assert (scores(other) == first).all()
    assert other.calls == 1
    assert kept_as(Negated(slow)) != kept_as(slow) != ""
    assert kept_as(Negated(LengthScorer())) == ""
