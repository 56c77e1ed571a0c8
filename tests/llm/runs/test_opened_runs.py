"""Commands that open a finished run: what they are asked, which groups they take, where they look for files."""
# ruff: noqa: F811  # fixtures are imported

import io
import sys

import pytest

torch = pytest.importorskip("torch")

from saved_runs import finished, pairs, refused, run, settings  # noqa: E402, F401
from tiny_llm import tiny  # noqa: E402, F401
from typed_commands import typed, typed_json  # noqa: E402

ONE = ["--max-new-tokens", 4]


def test_lines_of_any_system_are_prompts(finished, monkeypatch, capsys):
    """Windows' line ends and byte-order mark are no part of a prompt."""

    def asked(lines):
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines, newline="\n"))
        return typed_json(monkeypatch, capsys, "llm", "generate", finished, *ONE)["responses"]

    assert [row["prompt"] for row in asked("\ufeffThe film\r\n\r\n The plot \r\n")] == ["The film", " The plot "]
    assert asked("The film\r\n The plot \r\n") == asked("The film\n The plot \n")


def test_a_scorer_is_of_a_group_that_is_there(run, refused, monkeypatch, capsys):
    options = ["llm", "eval", run, "--prompts", 2, "--twin", 0]
    before = (run / "eval.json").read_bytes()
    for wrong in ("group_7=length", "goood=length", "=length"):
        line = refused(*options, "--scorer", "group_0=length", "--scorer", wrong)
        assert f"--scorer: no group '{wrong.partition('=')[0]}'; choose one of " in line
        assert all(name in line for name in ("'good'", "'bad'", "'group_0'", "'group_1'"))
    line = refused(*options, "--scorer", "good=length", "--scorer", "good=lexicon")
    assert "group 'good' has a scorer already" in line
    assert (run / "eval.json").read_bytes() == before
    code, _, err = typed(monkeypatch, capsys, *options, "--scorer", "good=length")
    assert code == 0
    assert "note: no scorer was given for group_" in err
