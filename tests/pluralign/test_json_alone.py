"""With --json standard output holds one JSON object, whatever code of other people's prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT
from typed_commands import typed

import pluralign as pl

EXAMPLES = Path(__file__).parents[2] / "examples"
# By Python, by the C library's door, and by a process of its own.
NOISE = "import os, subprocess; print('dbg'); os.write(1, b'dbg'); subprocess.run(['echo', 'dbg'])"
COMMANDS = {
    "experiment": ("def run(setting, stream, backends):", ("study", "my_experiment.yaml", "--set", "replicates=2")),
    "method": ("def fit(self,", ("fit", EXAMPLES / "pairs.jsonl.gz", "--method", "my_method:METHOD")),
    "claim": ("def draw(self, setting, stream):", ("check", "my_claim:CLAIMS")),
    "converter": (None, ("convert", "my_converter:CONVERTER", EXAMPLES / "raw_answers.jsonl")),
}  # fmt: skip


def _noisy(kind, place):
    """A skeleton that prints where it works, and when it is imported."""
    pl.new(kind, f"my_{kind}")
    file = Path(f"my_{kind}.py")
    text = file.read_text()
    if place is not None:
        first = next(line for line in text.splitlines() if line.strip().startswith(place.split("(")[0] + "("))
        room = " " * (len(first) - len(first.lstrip()) + 4)
        text = text.replace(first, f"{first}\n{room}{NOISE}", 1)
    head, mark, rest = text.partition(
        "\nimport pluralign as pl\n" if "\nimport pluralign as pl\n" in text else "\nfrom "
    )
    file.write_text(head + "\n" + NOISE + mark + rest)


@pytest.mark.parametrize("kind", COMMANDS)
def test_what_plug_ins_print_goes_to_standard_error(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    place, words = COMMANDS[kind]
    _noisy(kind, place)
    workers = ("--workers", "2") if kind in ("experiment", "claim") else ()
    out = "made.jsonl" if kind == "converter" else "made"
    done = subprocess.run(
        [sys.executable, "-m", "pluralign", *map(str, words), *workers, "--out", out, "--json"], capture_output=True,
        text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert done.stderr.count("dbg") >= 3


def test_within_a_process_that_has_a_stream_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _noisy("converter", None)
    code, out, err = typed(monkeypatch, capsys, *COMMANDS["converter"][1], "--out", "made.jsonl", "--json")
    assert (code, "dbg" in err) == (0, True)
    assert json.loads(out)


def test_every_command_prints_its_object_there():
    """`click.echo` would print it to standard error."""
    commands = ROOT / "pluralign" / "commands"
    assert [file.name for file in commands.glob("*.py") if "click.echo(json.dumps" in file.read_text()] == []
    given = [file for file in commands.glob("*.py") if '"--json"' in file.read_text() and file.stem != "llm_options"]
    assert len(given) > 25
    shown = "print_answer(", "show_report(", "run_and_show("
    assert [file.name for file in given if not any(own in file.read_text() for own in shown)] == []


def test_help_stays_on_standard_output(monkeypatch, capsys):
    assert "Usage:" in typed(monkeypatch, capsys, "study", "--json", "--help")[1]


def test_a_program_that_calls_the_command_prints_where_it_did(tmp_path):
    (tmp_path / "u.csv").write_text("party,A,B\nx,1,2\ny,2,1\n")
    program = "import sys; from pluralign.__main__ import main; main(); print('after')"
    told = subprocess.run(
        [sys.executable, "-c", program, "welfare", "u.csv", "--json"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    assert told.stdout.startswith("{")
    assert told.stdout.endswith("}\nafter\n")
