"""What all converters have in common: kinds, counts, bad rows, features, and that they say what they are."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from converting import made_of, printed, put
from places import ROOT

import pluralign as pl
from pluralign.commands.convert import command
from sim.converters.answers import LeftOut, Noted, divided
from sim.converters.converter import CONVERTERS, Converter, find_converter
from sim.errors import InputError
from sim.files.answer_checks import check_answer

SHP = {"history": "h", "human_ref_A": "a", "human_ref_B": "b", "labels": 1}


@pytest.mark.parametrize("name", CONVERTERS.ours)
def test_each_says_what_it_reads_under_what_licence_and_what_it_loses(name):
    converter = find_converter(name)
    assert converter.schema
    assert converter.licence
    assert converter.loses
    said = " ".join(CliRunner().invoke(command, [name, "--help"]).output.split())
    for part in ("Reads", "Licence:", "Lost:", "--skip-bad", *(f"--{o.replace('_', '-')}" for o in converter.options)):
        assert part in said


@pytest.mark.parametrize("name", [name for name in CONVERTERS.ours if name != "columns"])
def test_the_page_says_the_same(name):
    page = " ".join((ROOT / "docs" / "converters.md").read_text().split())
    converter = find_converter(name)
    assert f"pluralign convert {name} " in page
    assert f"- Schema: {converter.schema} - Licence: {converter.licence} - Lost: {converter.loses} ```bash" in page


def test_an_own_converter_may_leave_out_and_note(tmp_path):
    def rows(files):
        yield {"chosen": 1, "rejected": 2, "annotator_id": "x"}
        yield LeftOut("dull ones")
        yield LeftOut("dull ones")
        yield Noted("bright ones")
        yield InputError("is odd", file=files[0], row=3, field="f")

    own = Converter(rows, schema="s", licence="l", loses="nothing")
    with pytest.raises(InputError, match="row 3, field 'f': is odd"):
        own.answers([put(tmp_path, [SHP])])
    made = own.answers([put(tmp_path, [SHP])], skip_bad=True)
    assert made.left_out == {"dull ones": 2, "bad row, field 'f'": 1}
    assert made.noted == {"bright ones": 1}
    assert repr(made) == "<1 pairs of 1 annotators, 0 ties; 3 left out>"


def test_an_own_converter_may_give_numbers_of_numpy(tmp_path):
    def rows(files):
        yield {"responses": ("a", "b"), "choice": np.int64(1), "annotator_id": "x", "weight": np.float32(0.5),
               "features": [np.array([1.0, 2.0]), [np.float32(1), 2]]}  # fmt: skip

    made = Converter(rows, schema="s", licence="l", loses="n").answers([put(tmp_path, [SHP])])
    assert made.rows == [{"responses": ["a", "b"], "choice": 1, "annotator_id": "x", "weight": 0.5,
                          "features": [[1.0, 2.0], [1.0, 2.0]]}]  # fmt: skip
    assert type(made.rows[0]["weight"]) is float


def test_an_own_converter_through_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_one.py").write_text(
        "import json\nimport pluralign as pl\n\n\ndef rows(files, tie):\n"
        "    for line in files[0].read_text().splitlines():\n"
        "        row = json.loads(line)\n"
        "        yield row | ({'tie': True} if tie else {})\n\n\n"
        "CONVERTER = pl.Converter(rows, schema='s', licence='mine', loses='l', options={'tie': False})\n"
    )
    put(tmp_path, [{"chosen": "a", "rejected": "b", "annotator_id": "x"}])
    said = json.loads(printed(tmp_path, "own_one:CONVERTER", "rows.jsonl", "--out", "o.jsonl", "--json"))
    assert (said["pairs"], said["items"], said["features"]) == (1, 2, [])
    assert "1 of them ties" in printed(tmp_path, "own_one:CONVERTER", "rows.jsonl", "--out", "o.parquet",
                                       "--set", "tie=true")  # fmt: skip


@pytest.mark.parametrize(("said", "expected"), [("ratio=two", "a number, got 'two'"), ("ratio=.nan", "a number"),
                                                ("ratio=true", "a number"), ("ratio=[2]", "a number")])  # fmt: skip
def test_an_options_value_is_held_against_its_kind(tmp_path, said, expected):
    line = ("shp", put(tmp_path, [SHP | {"score_ratio": 3}]), "--out", tmp_path / "o.jsonl", "--set")
    done = CliRunner().invoke(command, [*map(str, line), said])
    assert f"converter 'shp': ratio: expected {expected}" in str(done.exception)
    assert "1 pair" in printed(tmp_path, *line, "ratio=2e0")
    with pytest.raises(InputError, match=r"found no answers .1 left out: pairs whose scores are less than 50 times"):
        made_of("shp", tmp_path, [SHP | {"score_ratio": 3}], ratio=5e1)
    with pytest.raises(InputError, match="converter 'dices': question: expected text, got True; quote it"):
        made_of("dices", tmp_path, [SHP], question=True)


_OWN = """
import pluralign as pl
from sim.converters.answers import LeftOut
from sim.errors import InputError


def rows(files, kind):
    told = {"annotator_id": "x", "annotator_features": {"young": 1}}
    sides = {"pairs": {"chosen": "a", "rejected": "b"}, "choices": {"responses": ["a", "b", "c"], "choice": 2},
             "ratings": {"response": "a", "score": 3}}[kind]
    yield {**sides, **told}
    yield {**sides, "annotator_id": "y", "annotator_features": {"old": 1}}
    yield LeftOut("dull ones")
    yield InputError("is odd", row=3, field="f")
    yield dict(sides)
    if kind == "pairs":
        yield {**told, "chosen": "a", "rejected": "a"}


OWN = pl.Converter(rows, schema="s", licence="l", loses="n", options={"kind": "pairs"})
"""


@pytest.mark.parametrize("kind", ["pairs", "choices", "ratings"])
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_python_and_the_command_make_the_same_of_an_own_converter(tmp_path, monkeypatch, kind, ending):
    """Python filled in no annotator's features, wrote pairs alone, lost what was left out and skipped nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_both.py").write_text(_OWN)
    put(tmp_path, [SHP])
    line = ("own_both:OWN", "rows.jsonl", "--out", f"c.{ending}", "--set", f"kind={kind}", "--skip-bad")
    said = json.loads(printed(tmp_path, *line, "--json"))
    table = pl.convert("own_both:OWN", "rows.jsonl", out=f"p.{ending}", skip_bad=True, kind=kind)
    assert (tmp_path / f"c.{ending}").read_bytes() == (tmp_path / f"p.{ending}").read_bytes()
    assert table.annotator_features.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert said[kind] == len(pl.read_pairs(f"c.{ending}")) == len(table) == 2
    left_out = {"dull ones": 1, "bad row, field 'f'": 1, "bad row, field 'annotator_id'": 1}
    assert said["left_out"].items() >= left_out.items()
    assert dict(table.left_out) == said["left_out"]
    assert len(said["left_out"]) == (4 if kind == "pairs" else 3), "of pairs also one whose sides are the same"
    with pytest.raises(InputError, match="row 3, field 'f': is odd"):
        pl.convert("own_both:OWN", "rows.jsonl", kind=kind)


def test_from_python(tmp_path):
    file = put(tmp_path, [SHP, SHP | {"labels": 5}])
    made = pl.convert("shp", file, out=tmp_path / "o.jsonl", skip_bad=True, ratio=0)
    assert (made.kind, len(made), made.left_out) == ("pairs", 1, {"bad row, field 'labels'": 1})
    assert [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()] == [
        {key: made.rows[0][key] for key in ("annotator_id", "prompt", "chosen", "rejected")}
    ]
    with pytest.raises(InputError, match="shp"):
        pl.convert("ship", file)


def test_a_broken_line_is_counted_with_skip_bad(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(SHP) + "\n{oops\n")
    with pytest.raises(InputError, match=r"t.jsonl, row 2: is not whole JSON"):
        find_converter("shp").answers([path], "shp")
    assert find_converter("shp").answers([path], "shp", skip_bad=True).left_out == {"bad row": 1}


def test_nothing_found_says_why(tmp_path):
    with pytest.raises(InputError, match=r"found no answers \(1 left out: bad row, field 'labels'\); it reads SHP"):
        made_of("shp", tmp_path, [SHP | {"labels": 5}], skip_bad=True)
    with pytest.raises(InputError, match="no option 'ration'; its options: ratio"):
        made_of("shp", tmp_path, [SHP], ration=2)
    with pytest.raises(InputError, match="no such file"):
        find_converter("shp").answers([tmp_path / "none.jsonl"], "shp")


def test_nothing_is_written_where_a_row_is_bad(tmp_path):
    file, out = put(tmp_path, [SHP, SHP | {"labels": 5}]), tmp_path / "o.parquet"
    printed(tmp_path, "shp", file, "--out", out, code=2)
    assert not out.exists()
    printed(tmp_path, "shp", file, "--out", tmp_path / "o.txt", code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl"]


def test_one_group_and_one_vector_an_annotator(tmp_path):
    def rows(files):
        base = {"chosen": 1, "rejected": 2}
        yield base | {"annotator_id": "x", "annotator_features": {"b": 1.0}, "group_id": "g"}
        yield base | {"annotator_id": "x", "annotator_features": {"a": 1.0}, "group_id": "h"}
        yield base | {"annotator_id": "y"}
        yield base | {"annotator_id": "z", "annotator_features": {"a": 2.0}}

    made = Converter(rows, schema="s", licence="l", loses="n").answers([put(tmp_path, [SHP])])
    assert [r["annotator_features"] for r in made.rows] == [
        {"a": 0.0, "b": 1.0}, {"a": 0.0, "b": 1.0}, {"a": 0.0, "b": 0.0}, {"a": 2.0, "b": 0.0},
    ]  # fmt: skip
    assert [r["group_id"] for r in made.rows] == ["g", "g", None, None]
    assert sum(made.noted.values()) == 2


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"chosen": "a", "rejected": "a"}, "rejected"),
        ({"chosen": "a", "rejected": 1}, "rejected"),
        ({"chosen": None, "rejected": "b"}, "chosen"),
        ({"chosen": "a", "rejected": "b", "tie": "yes"}, "tie"),
        ({"chosen": "a", "rejected": "b", "strength": 0}, "strength"),
        ({"chosen": "a", "rejected": "b", "strength": 1, "tie": True}, "strength"),
        ({"chosen": "a", "rejected": "b", "annotator_id": ""}, "annotator_id"),
        ({"responses": ["a"], "choice": 0}, "responses"),
        ({"responses": ["a", "b"], "choice": 2}, "choice"),
        ({"responses": ["a", "b"], "choice": True}, "choice"),
        ({"responses": ["a", "b"], "ranking": [1]}, "ranking"),
        ({"responses": ["a", "b"], "ranking": [0, 1]}, "ranking"),
        ({"responses": ["a", "b"], "ranking": [None, None]}, "ranking"),
        ({"responses": ["a"], "scores": [float("nan")]}, "scores"),
        ({"responses": ["a"], "scores": [1, 2]}, "scores"),
        ({"response": "a", "score": None}, "score"),
        ({"response": None, "score": 1}, "response"),
        ({"responses": ["a", "b"]}, None),
        ({"responses": ["a", "b"], "choice": 1, "ranking": [1, 2]}, None),
    ],
)
def test_what_is_no_answer_is_refused(row, field):
    where = {"file": "f", "row": 1}
    with pytest.raises(InputError) as caught:
        check_answer({"annotator_id": "x"} | row, where)
    assert caught.value.field == field


def test_conversations_are_divided_where_they_part():
    a, b, c = ({"role": "user", "content": text} for text in "abc")
    assert divided([a, b], [a, c]) == ([a], [b], [c])
    assert divided([a, b, c], [a, b]) == ([a], [b, c], [b])
    assert divided([a], [b]) == ([], [a], [b])
