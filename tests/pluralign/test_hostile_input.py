"""Files that are endless, too deep, too large or name what cannot be: one line, exit 2, nothing written."""

import gzip
import json
import sys

import pytest
from places import ROOT

from pluralign.__main__ import main
from sim import reading

DEEP = "[" * 100_000 + "]" * 100_000
DEEP_OBJECT = '{"a":' * 20_000 + "1" + "}" * 20_000
OPINIONS = [
    {"annotator_id": "a", "candidates": ["x", "y"], "probs": [0.2, 0.8]},
    {"annotator_id": "b", "prompt_id": "p", "candidates": ["x", "y"], "probs": [0.6, 0.4]},
]
LEVELS = "\n".join(f"    - &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 10))
FILES = {
    "deep.jsonl": DEEP,
    "deep_list.jsonl": '{"annotator_id":"a","chosen":' + DEEP + ',"rejected":"b"}\n',
    "deep_object.jsonl": '{"annotator_id":"a","chosen":"x","rejected":"b","extra":' + DEEP_OBJECT + "}\n",
    "deep_lines.jsonl": '{"annotator_id":"a","chosen":' + "[\n" * 20_000 + "]\n" * 20_000 + ',"rejected":"b"}\n',
    "deep_cell.csv": f"annotator_id,chosen,rejected,chosen_features,rejected_features\na,x,y,{DEEP},[1]\n",
    "deep.json": DEEP,
    "deep.yaml": f"experiment: {DEEP}",
    "deep/fit.json": DEEP,
    "deep_check/verdicts.json": DEEP,
    "deep_study/study.json": DEEP,
    "deep_study/results.parquet": "no",
    "cell.csv": "g,A\nx," + "1" * 131_073 + "\n",
    "open.csv": 'g,A,B\nx,"' + "1,2\n" * 50_000,
    "large.csv": "g,A,B\nx,0,3\ny,1e308,0\n",
    "small.csv": "g,A,B\nx,0,3\ny,2,0\n",
    "opinions.jsonl": "\n".join(map(json.dumps, OPINIONS)),
    "date.yaml": "experiment: bandit\nseed: 2001-99-99\n",
    "replicates.yaml": "experiment: profiles\nreplicates: 1000000000\n",
    "parties.yaml": "experiment: profiles\nreplicates: 1\nsettings: {parties: 1000000000}\n",
    "aliases.yaml": f"experiment: profiles\ngrid:\n  parties:\n    - &a0 [1, 2]\n{LEVELS}\n",
    "itself.yaml": "experiment: profiles\ngrid: {parties: &a [1, *a]}\n",
    "file": "",
    "ok.yaml": "experiment: profiles\nreplicates: 1\n",
}
REFUSED = [
    (("fit", "deep.jsonl"), "deep.jsonl, row 1: is not whole JSON (nested"),
    (("fit", "deep_list.jsonl"), "deep_list.jsonl, row 1: is not whole JSON (nested"),
    (("fit", "deep_object.jsonl"), "deep_object.jsonl, row 1: is not whole JSON (nested"),
    (("fit", "deep_lines.jsonl"), "deep_lines.jsonl, row 1: is not whole JSON ("),
    (("fit", "deep_cell.csv"), "deep_cell.csv, row 2, field 'chosen_features': expected a list of numbers, got '[["),
    (("pool", "deep_list.jsonl"), "deep_list.jsonl, row 1: is not whole JSON (nested"),
    (("convert", "hh", "deep_list.jsonl", "--out", "o.jsonl"), "deep_list.jsonl, row 1: is not whole JSON (nested"),
    (("pool", "deep.jsonl"), "deep.jsonl, row 1: is not whole JSON (nested"),
    (("replay", "deep.json"), "deep.json: is not JSON (nested"),
    (("study", "deep.yaml"), "deep.yaml: is nested too deeply"),
    (("predict", "deep", "deep.jsonl"), "fit.json: is not whole JSON (nested"),
    (("report", "deep_check"), "verdicts.json: is not JSON (nested"),
    (("report", "deep_study"), "study.json: is not a study of this version (nested"),
    (("minmax", "--regret", "cell.csv"), "cell.csv, row 2: is not CSV (field larger than field limit"),
    (("welfare", "open.csv"), "open.csv, row 2: is not CSV (field larger than field limit"),
    (("minmax", "--regret", "large.csv"), "large.csv, row 3, field 'column 2': expected a finite number of at most"),
    (("minmax", "--regret", "small.csv", "--priorities", "1e308,1e308"), "must lie below 1e100 (got inf)"),
    (("pool", "opinions.jsonl"), "opinions.jsonl, row 1, field 'prompt_id': expected a name or number, got None"),
    (("study", "date.yaml"), "date.yaml: is not YAML: month must be in 1..12"),
    (("study", "replicates.yaml"), "replicates.yaml, field 'replicates': 1,000,000,000 replicates"),
    (("study", "parties.yaml"), "parties.yaml, field 'settings.parties': a replicate with parties 1,000,000,000"),
    (("study", "aliases.yaml"), "aliases.yaml: its aliases stand for"),
    (("study", "itself.yaml"), "itself.yaml: its aliases stand for"),
    (("study", "ok.yaml", "--set", "parties=1000000000"), "field 'settings.parties': a replicate with parties"),
    (("study", "ok.yaml", "--set", "replicates=1000000000"), "field 'replicates': 1,000,000,000 replicates"),
    (("study", "ok.yaml", "--set", "seed=2001-99-99"), "the value"),
    (("study", "ok.yaml", "--out", "file/x"), "file/x/cells: cannot be written ("),
    (("study", "ok.yaml", "--out", "loop"), "loop/cells: cannot be written ("),
    (("study", "ok.yaml", "--out", "/proc/x"), "/proc/x/cells: cannot be written"),
    (("check", "regret-beta", "--out", "file/x"), "file/x: cannot be read (Not a directory)"),
    (("check", "regret-beta", "--docs", "small.csv"), "Directory 'small.csv' is a file"),
    (("fit", "deep.jsonl", "--out", "file/x"), "file/x: cannot be written ("),
    (("fit", "deep.jsonl", "--out", "loop"), "loop: cannot be written ("),
    (("study", "loop.yaml"), "loop.yaml: cannot be read (Too many levels"),
    (("minmax", "--regret", "loop"), "loop: cannot be read (Too many levels"),
    (("replay", "loop"), "loop: cannot be read (Too many levels"),
    (("minmax", "--regret", "/dev/zero"), "/dev/zero: is not text: it holds zero bytes"),
    (("study", "/dev/zero"), "/dev/zero: is not text: it holds zero bytes"),
    (("replay", "/dev/zero"), "/dev/zero: is not text: it holds zero bytes"),
    (("fit", "zero.jsonl"), "zero.jsonl: is no file but a folder, a device or a pipe"),
    (("study", "sction_5_1"), "did you mean 'section_5_1'?"),
    (("study",), "which study?"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("loop", "loop.yaml"):
        (tmp_path / name).symlink_to(name)
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _type(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["pluralign", *arguments])
    code = main()
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "message"), REFUSED, ids=lambda part: " ".join(part) if type(part) is tuple else ""
)
def test_refused_in_one_line(here, monkeypatch, capsys, arguments, message):
    before = sorted(here.rglob("*"))
    code, out, err = _type(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err
    assert len(err) < 500
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("line", "message"), [(" " * 1000, "a line of more than 100 char"), ("{}\n" * 3000, "unpacks to")]
)
def test_a_packed_file_of_nothing_is_not_unpacked_to_the_end(tmp_path, monkeypatch, capsys, line, message):
    path = tmp_path / "spaces.jsonl.gz"
    path.write_bytes(gzip.compress((line.replace("{}", " ")).encode()))
    monkeypatch.setattr(reading, "LONGEST_LINE", 100)
    monkeypatch.setattr(reading, "_UNPACKED", 1000)
    monkeypatch.setattr(reading, "_TIMES", 2)
    code, _, err = _type(monkeypatch, capsys, "fit", str(path))
    assert code == 2
    assert message in err


def test_a_full_disk_is_one_line(here, monkeypatch, capsys):
    def full(*arguments, **keys):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sim.studies.results.Results.write", full)
    code, out, err = _type(monkeypatch, capsys, "study", "ok.yaml", "--engine", "local", "--out", "o")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        "pluralign: error: cannot write (No space left on device); check the space left where the output goes"
    )


def test_what_a_name_would_tell_the_terminal_is_shown(tmp_path, monkeypatch, capsys):
    table = tmp_path / "utilities.csv"
    table.write_text("party,\x1b[31mred\x1b]0;pwned\x07,b\nx\x1b[2J,1,2\ny,2,1\n")
    code, out, _ = _type(monkeypatch, capsys, "aggregate", str(table))
    assert code == 0
    assert "\x1b" not in out
    assert "\x07" not in out
    assert r"\x1b[31mred\x1b]0;pwned\x07" in out
    code, _, err = _type(monkeypatch, capsys, "welfare", str(table), "--zero", "\x1b[31m")
    assert code == 2
    assert "\x1b" not in err
    assert r"\x1b[31m" in err


def test_doctor_says_what_installs_an_extra_from_here(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    _, out, _ = _type(monkeypatch, capsys, "doctor", "--json")
    assert json.loads(out)["extras"]["llm"]["install"] == 'pip install -c constraints.txt -e ".[llm]"'
    monkeypatch.chdir(ROOT.parent)
    _, out, _ = _type(monkeypatch, capsys, "doctor", "--json")
    assert json.loads(out)["extras"]["llm"]["install"] == f'cd {ROOT} && pip install -c constraints.txt -e ".[llm]"'
    monkeypatch.setattr("sim.install._ROOT", ROOT / "sim")
    _, out, _ = _type(monkeypatch, capsys, "doctor", "--json")
    assert json.loads(out)["extras"]["llm"]["install"] == "pip install 'pluralign[llm]'"
