"""Sets that nobody knows: the columns are told."""

import json

import pytest
from converting import made_of, printed, put, same_in_every_form, without

from sim.errors import InputError

ROWS = [
    {"question": "q", "better": "a", "worse": "b", "who": 3.0, "equal": False, "by": 2},
    {"question": "q", "better": "c", "worse": "b", "who": 4.0, "equal": True, "by": None},
]
NAMES = {"chosen": "better", "rejected": "worse", "annotator": "who", "prompt": "question"}


def test_row_by_row(tmp_path):
    made = made_of("columns", tmp_path, ROWS, **NAMES, tie="equal", strength="by")
    assert [without(r, "strength") for r in made.rows] == [
        {"prompt": "q", "chosen": "a", "rejected": "b", "tie": False, "annotator_id": "3"},
        {"prompt": "q", "chosen": "c", "rejected": "b", "tie": True, "annotator_id": "4"},
    ]
    assert [r.get("strength") for r in made.rows] == [2, None]


def test_flags_of_the_command(tmp_path):
    words = [word for name, column in NAMES.items() for word in (f"--{name}", column)]
    said = printed(tmp_path, "columns", put(tmp_path, ROWS, "t.csv"), "--out", tmp_path / "o.jsonl", *words,
                   "--tie", "equal", "--strength", "by", "--json")  # fmt: skip
    assert json.loads(said)["pairs"] == 2
    assert json.loads(said)["ties"] == 1
    assert [json.loads(line)["annotator_id"] for line in (tmp_path / "o.jsonl").read_text().splitlines()] == [
        "3",
        "4",
    ]


def test_fields_inside_others_and_messages(tmp_path):
    row = {
        "a": {"text": [{"role": "assistant", "content": "x"}]},
        "b": {"text": [{"role": "assistant", "content": "y"}]},
    }
    made = made_of("columns", tmp_path, [row], chosen="a.text", rejected="b.text")
    assert made.rows[0]["chosen"] == [{"role": "assistant", "content": "x"}]
    assert made.notes[0].startswith("the data names no annotator")
    assert same_in_every_form("shp", tmp_path, [{"history": "h", "human_ref_A": "a", "human_ref_B": "b", "labels": 1}])


def test_columns_with_dots_in_their_names(tmp_path):
    rows = [{"answer.better": "a", "answer.worse": "b", "who.id": 1}]
    made = made_of("columns", tmp_path, rows, chosen="answer.better", rejected="answer.worse", annotator="who.id")
    assert made.rows == [{"chosen": "a", "rejected": "b", "annotator_id": "1"}]
    with pytest.raises(InputError, match=r"field 'answer\.best': the column is missing \(found answer\.better"):
        made_of("columns", tmp_path, rows, chosen="answer.best", rejected="answer.worse")


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(InputError, match="chosen: which column holds it must be told; give --chosen COLUMN"):
        made_of("columns", tmp_path, ROWS)
    with pytest.raises(InputError, match=r"field 'bettr': the column is missing \(found question, better"):
        made_of("columns", tmp_path, ROWS, chosen="bettr", rejected="worse")
    with pytest.raises(InputError, match="row 1, field 'by': expected True, False"):
        made_of("columns", tmp_path, ROWS, **NAMES, tie="by")
    rows = [ROWS[0] | {"by": 1.5}]
    with pytest.raises(InputError, match=r"row 1, field 'strength': expected a whole number from 1 to 100, got 1\.5"):
        made_of("columns", tmp_path, rows, **NAMES, strength="by")
