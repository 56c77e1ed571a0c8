"""Commands that open a finished run: what they are asked, which groups they take, where they look for files."""
# ruff: noqa: F811  # fixtures are imported

import io
import json
import sys

import numpy as np
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


def test_a_coin_in_figures_is_that_of_the_answers(run):
    from llm.base.folder_format import read_stamped, stamped
    from llm.runs.run_figures import draw_run, training_figure
    from pluralign.page.runs import _coins

    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    axis = training_figure(rows, [-1.7918]).axes[1]
    assert [line.get_ydata()[0] for line in axis.get_lines() if line.get_linestyle() == ":"][-1] == -1.7918
    assert [text.get_text() for text in axis.texts] == ["a coin"]
    found = read_stamped(run / "run.json", "")
    assert [line.at for line in _coins(found)] == [round(-np.log(2), 6)]
    # A run of before does not say it.
    for name in ("held_out_coin", "new_prompts_coin"):
        del found[name]
    (run / "run.json").write_text(json.dumps(stamped(found)))
    assert draw_run(run)
    assert not _coins(found)
