"""Records of files in every form, and what breaks them."""

import gzip
import json

import pytest
from converting import put

from sim.converters.records import Record, records
from sim.errors import InputError

ROWS = [{"a": "x", "b": "1"}, {"a": "y", "b": "2"}]


@pytest.mark.parametrize(
    "name",
    ["t.jsonl", "t.jsonl.gz", "t.ndjson", "t.json", "t.json.gz", "t.csv", "t.csv.gz", "t.parquet", "T.JSONL", "t.tsv"],
)
def test_every_form_gives_the_same_records(tmp_path, name):
    path = put(tmp_path, ROWS, name) if name != "t.tsv" else tmp_path / name
    if name == "t.tsv":
        path.write_text("a\tb\nx\t1\ny\t2\n")
    assert [record.fields for record in records(path)] == ROWS


def test_semicolons_byte_order_marks_long_cells_and_line_ends(tmp_path):
    path = tmp_path / "t.csv"
    long = "word " * 60_000
    path.write_text(f'\ufeffa;b\n"{long}";1\n"two\nlines";\n\n', encoding="utf-8")
    found = list(records(path))
    assert [record.row for record in found] == [2, 3]
    assert (found[0].fields["a"], found[1].text("a"), found[1].value("b")) == (long, "two\nlines", None)


def test_blank_lines_are_passed_over_and_keep_the_numbers(tmp_path):
    (tmp_path / "t.jsonl").write_text('\n{"a": 1}\n\n{"a": 2}\n')
    assert [record.row for record in records(tmp_path / "t.jsonl")] == [2, 4]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.jsonl", '{"a": 1}\n{"a": \n', "row 2: is not whole JSON"),
        ("t.jsonl", '{"a": 1}\n[1]\n', "row 2: expected a JSON object, got list"),
        ("t.json", '[{"a": 1}, 2]', "row 2: expected a JSON object, got int"),
        ("t.csv", "a,b\n1,2\n1\n", "row 3: expected 2 columns, got 1"),
    ],
)
def test_a_bad_record_stands_in_its_place(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    good, bad = records(tmp_path / name)
    assert isinstance(good, Record)
    assert isinstance(bad, InputError)
    assert said in str(bad)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.jsonl", b"", "the file is empty"),
        ("t.jsonl.gz", gzip.compress(json.dumps(ROWS[0]).encode() * 500, mtime=0)[:40], "the gzip file ends or breaks"),
        ("t.jsonl", b'{"a": "\xff"}\n', "is not text in UTF-8"),
        ("t.json", b'[{"a": 1},', "is not whole JSON"),
        ("t.parquet", b"PAR1 no", "is not a whole Parquet file"),
        ("t.txt", b"x", "is of a kind that is not read; give .jsonl, .json, .csv"),
        ("t.parquet.gz", b"x", "is of a kind that is not read"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: {said}"):
        list(records(tmp_path / name))


def test_a_name_with_dots_is_a_column_before_it_is_a_way_into_another(tmp_path):
    """R writes price.1, pandas' json_normalize info.post."""
    inside = {"b": 2, "b.c": 3, "d": {"e.f": 4}}
    record = Record(tmp_path, 3, {"a.b": 1, "a": inside, "g.h": '{"i": 5}', "k.l": None, "k": {"l": 6}, "m.n": "7"})
    assert (record.value("a.b"), record.value("a.b.c"), record.value("a.d.e.f")) == (1, 3, 4)
    assert (record.value("g.h.i"), record.value("k.l"), record.object("m")) == (5, None, {"n": "7"})
    assert [record.has(name) for name in ("a.b", "a.x", "m", "m.n", "n", "g.h.i")] == [
        True,
        True,
        True,
        True,
        False,
        True,
    ]
    assert record.value("g.i") is record.value("a.b.d") is record.value("n") is None


def test_fields(tmp_path):
    record = Record(tmp_path, 3, {"in": '{"deep": 1.0}', "nan": float("nan"), "empty": "", "many": "[1, 2]", "n": "7"})
    assert record.value("in.deep") == 1.0
    assert record.name("in.deep") == "1"
    assert record.value("in.deep.er") is record.value("nan") is record.value("empty") is record.value("none") is None
    assert (record.text("empty"), record.list("many"), record.number("n")) == ("", [1, 2], 7.0)
    for field, read in (("nan", record.number), ("empty", record.name), ("n", record.list), ("nan", record.text)):
        with pytest.raises(InputError, match=f"row 3, field '{field}': expected"):
            read(field)
