"""No command writes over what it reads, under whatever name."""

import json
import os
from pathlib import Path

import pytest
from typed_commands import typed

import pluralign as pl
from sim.errors import InputError
from sim.files.atomic import require_other

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _columns(here):
    rows = [{"a": "x", "b": "y", "who": f"u{k % 3}"} for k in range(6)]
    (here / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "convert", "columns", "answers.jsonl", "--chosen", "a", "--rejected", "b", "--annotator", "who"


@pytest.mark.parametrize("name", ["answers.jsonl", "./answers.jsonl", "link.jsonl", "hard.jsonl"])
def test_convert_keeps_its_source(here, monkeypatch, capsys, name):
    words = _columns(here)
    before = (here / "answers.jsonl").read_bytes()
    (here / "link.jsonl").symlink_to("answers.jsonl")
    os.link(here / "answers.jsonl", here / "hard.jsonl")
    code, _, err = typed(monkeypatch, capsys, *words, "--out", name)
    assert (code, "is read, and would be written over; name another file" in err) == (2, True)
    assert (here / "answers.jsonl").read_bytes() == before


def test_predict_keeps_what_is_asked_about(here, monkeypatch, capsys):
    pairs = here / "pairs.jsonl.gz"
    pairs.write_bytes((EXAMPLES / "pairs.jsonl.gz").read_bytes())
    pl.fit(pairs, method="pooled").save(here / "fit")
    for given in ((pairs,), (EXAMPLES / "pairs.jsonl.gz", "--answers", pairs)):
        code, _, err = typed(monkeypatch, capsys, "predict", "fit", *given, "--out", pairs)
        assert (code, "is read, and would be written over" in err) == (2, True)
    assert pairs.read_bytes() == (EXAMPLES / "pairs.jsonl.gz").read_bytes()


def test_a_page_replaces_a_page_and_no_result(here, monkeypatch, capsys):
    pl.fit(EXAMPLES / "pairs.jsonl.gz", method="pooled").save(here / "fit")
    kept = {path: path.read_bytes() for path in (here / "fit").rglob("*") if path.is_file()}
    for name in ("fit.json", "annotators.parquet"):
        code, _, err = typed(monkeypatch, capsys, "report", "fit", "--out", f"fit/../fit/{name}")
        assert (code, "is read, and would be written over" in err) == (2, True)
    code, _, err = typed(
        monkeypatch, capsys, "predict", "fit", EXAMPLES / "pairs.jsonl.gz", "--out", "fit/annotators.parquet"
    )
    assert (code, "is read, and would be written over" in err) == (2, True)
    for _ in range(2):
        assert typed(monkeypatch, capsys, "report", "fit", "--out", "fit/page.html")[0] == 0
    assert {path: path.read_bytes() for path in kept} == kept


def test_what_is_no_path_is_not_looked_at(here):
    (here / "a").write_text("")
    (here / "folder").mkdir()
    (here / "folder" / "inside").write_text("")
    require_other(here / "new", here / "a", None, [here / "new"], "https://example.org/new")
    require_other(here / "folder" / "new", here / "folder", here / "a")
    for path, source in (("a", "a"), ("folder/inside", "folder")):
        with pytest.raises(InputError, match="would be written over"):
            require_other(path, "nowhere", source)
