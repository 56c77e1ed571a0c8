"""One line that is rewritten on a terminal, one every few seconds elsewhere; tables as large as the screen."""

import io
import json
import re
import sys
import time

import pytest

from pluralign import progress as module
from pluralign.__main__ import main
from pluralign.progress import Progress, duration
from pluralign.tables import on_screen
from sim.studies.summary import pipe_table
from theory.report.table import markdown_rows


class Terminal(io.StringIO):
    def isatty(self):
        return True


def _screen(text):
    """What stands on a terminal after the text: \\r goes back, what comes then overwrites."""
    lines = [[]]
    place = 0
    for letter in text:
        if letter == "\n":
            lines.append([])
            place = 0
        elif letter == "\r":
            place = 0
        else:
            lines[-1][place : place + 1] = [letter]
            place += 1
    return [("".join(line)).rstrip() for line in lines]


def test_on_a_terminal_one_line_is_rewritten_and_cleared(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    with Progress(stream) as progress:
        progress.show("a text that is much too long for forty columns")
        assert _screen(stream.getvalue())[0].endswith("...")
        assert len(_screen(stream.getvalue())[0]) < 40
        progress.counted(3, 10, 400.0, "claims")
        assert _screen(stream.getvalue()) == ["[0 s] 3 of 10 claims, about 7 min left"]
        progress.note("stays \x1b[31m")
        assert _screen(stream.getvalue())[0] == r"stays \x1b[31m"
        assert _screen(stream.getvalue())[1].startswith("[0 s] 3 of 10")
        progress.make_room()
        assert _screen(stream.getvalue())[1] == ""
    assert _screen(stream.getvalue()) == [r"stays \x1b[31m", ""]


def test_elsewhere_lines_are_seconds_apart(monkeypatch):
    stream, now = io.StringIO(), [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with Progress(stream) as progress:
        for second in range(12):
            now[0] = float(second)
            progress.show(f"step {second}")
    assert stream.getvalue() == "[5 s] step 5\n[10 s] step 10\n"


def test_silence_is_said_too(monkeypatch):
    monkeypatch.setattr(module, "_REWRITE", 0.01)
    monkeypatch.setattr(module, "UNCHANGED", 0.02)
    stream = io.StringIO()
    with Progress(stream, every=0.0) as progress:
        progress.show("one long step")
        deadline = time.monotonic() + 30
        while stream.getvalue().count("one long step") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert stream.getvalue().count("one long step") >= 3


def test_nobody_reading_progress_does_not_end_the_work():
    stream = io.StringIO()
    with Progress(stream, every=0.0) as progress:
        stream.close()
        progress.show("on")
        progress.note("on")


def test_durations():
    assert [duration(s) for s in (0.4, 89, 200, 7800)] == ["0 s", "89 s", "3 min", "2 h 10 min"]


def test_tables_are_broken_and_cut_to_the_screen():
    head = ("parties", "method", *(f"metric_{k}" for k in range(12)))
    body = [(str(row), "nash", *(f"{row}.{k:03d} ± 0.1" for k in range(12))) for row in range(50)]
    text = "Means\n\n" + pipe_table(head, body) + "\nafter"
    shown = on_screen(text, width=80, rows=7, rest="all in x.md")
    assert max(map(len, shown.splitlines())) <= 80
    assert "(7 of 50 rows; all in x.md)" in shown
    assert all(f"6.{k:03d} ± 0.1" in shown and f"7.{k:03d} ± 0.1" not in shown for k in range(12))
    assert shown.startswith("Means\n\nparties  method")
    assert shown.endswith("after")
    blocks = [line for line in shown.splitlines() if line.startswith("parties  method")]
    assert len(blocks) == 3, "every block says what its rows are"
    assert on_screen(text, width=300, rows=60, rest="").count("parties  method") == 1


def test_names_with_pipes_and_line_breaks_stay_in_their_cell():
    """Of the summary and of the terminal; names are people's."""
    names = ["a|b", "two\nlines", "c\r\nd", "|", "e\u2028f"]
    text = pipe_table(("x|y", "method"), [(str(place), name) for place, name in enumerate(names)])
    lines = text.splitlines()
    assert len(lines) == 2 + len(names)
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert len({len(line) for line in lines}) == 1, "aligned"
    shown = on_screen(text, width=60, rows=9, rest="").splitlines()
    assert [line.split("  ")[-1].strip() for line in shown[2:]] == ["a|b", "two lines", "c d", "|", "e f"]
    assert markdown_rows([("h",), ("a\n|",)]).splitlines() == ["| h |", "| --- |", "| a \\| |"]


def test_a_long_cell_gives_way():
    text = pipe_table(("cell", "method"), [("a" * 200, "b" * 50)])
    assert max(map(len, on_screen(text, width=60, rows=9, rest="").splitlines())) <= 60


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_the_table_of_a_check_fits_and_shows_first_what_is_not_as_expected(columns, monkeypatch, tmp_path, capsys):
    from dataclasses import replace

    from pluralign.verdicts import verdict_table
    from theory.engine.registry import find
    from theory.engine.runner import run_checks

    check = run_checks([find("zero-row")], profile="quick", seed=0, engine="local").checks[0]
    checks = [replace(check, claim_id=f"claim-{k}", expected="VIOLATED" if k == 250 else check.verdict)
              for k in range(287)]  # fmt: skip
    monkeypatch.setenv("COLUMNS", columns)
    lines = verdict_table(checks, tmp_path).splitlines()
    assert max(map(len, lines[:-1])) <= int(columns)
    assert len(lines) == 43
    assert lines[2].startswith("claim-250")
    assert "(expected" in lines[2]
    assert "40 of 287 rows" in lines[-1]
    assert "verdicts.md" in lines[-1]


def _type(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["pluralign", *arguments])
    code = main()
    return code, *capsys.readouterr()


def test_list_is_by_paper_with_sources(monkeypatch, capsys):
    _, out, _ = _type(monkeypatch, capsys, "list")
    for paper in ("unobserved_types: EM-DPO and MinMax-DPO", "multi_party: Provable", "arXiv 2405.15065"):
        assert paper in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    _, own, _ = _type(monkeypatch, capsys, "list", "multi_party")
    assert "multi_party: " in own
    assert "unobserved_types" not in own
    assert "(Theorem 7)" in own


def test_list_is_searched_in_names_statements_and_sources(monkeypatch, capsys):
    def found(*words):
        arguments = [part for word in words for part in ("--search", word)]
        code, out, _ = _type(monkeypatch, capsys, "list", *arguments, "--json")
        assert code == 0
        return json.loads(out)["claims"]

    everything = found()
    some = found("PESSIMISM", "theorem 7")
    assert some
    for claim in some:
        text = f"{claim['claim_id']} {claim['statement']} {claim['source']}".lower()
        assert all(word in text for word in ("pessimism", "theorem", "7"))
    assert len(some) < len(found("pessimism")) < len(everything)
    assert found("2405.15065")
    code, out, _ = _type(monkeypatch, capsys, "list", "--search", "no-such-word")
    assert code == 0
    assert out == "no claim has 'no-such-word'; `pluralign list` shows all\n"


def test_shipped_studies_are_listed_a_line_each(monkeypatch, capsys):
    code, out, _ = _type(monkeypatch, capsys, "study", "--list")
    assert code == 0
    assert "reward_free" in out
    assert max(map(len, out.splitlines())) <= 80
    _, out, _ = _type(monkeypatch, capsys, "study", "--list", "--json")
    listed = {row["name"]: row for row in json.loads(out)["studies"]}
    assert listed["section_5_1"]["cells"] == 6
    assert listed["section_5_1"]["replicates"] == 20
