"""HelpSteer3: preferences from -3 to 3."""

import pytest
from converting import made_of, printed, put, same_in_every_form

from sim.errors import InputError

CONTEXT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "more"}]


def row(score, individual=(), context=CONTEXT):
    return {
        "domain": "general", "language": "english", "context": context, "response1": "one", "response2": "two",
        "overall_preference": score,
        "individual_preference": [{"score": one, "reasoning": "because"} for one in individual],
    }  # fmt: skip


def test_row_by_row(tmp_path):
    rows = [row(-3, [-3]), row(0, [0]), row(2, [2])]
    made = made_of("helpsteer3", tmp_path, rows)
    assert [(r["chosen"], r["rejected"], r["tie"], r["strength"]) for r in made.rows] == [
        ("one", "two", False, 3), ("one", "two", True, None), ("two", "one", False, 2),
    ]  # fmt: skip
    assert made.rows[0]["prompt"] == CONTEXT
    assert same_in_every_form("helpsteer3", tmp_path, rows)


def test_nobody_is_named(tmp_path):
    made = made_of("helpsteer3", tmp_path, [row(1, [1, 2, -1]), row(0)], which="individual")
    assert [(r["chosen"], r["strength"]) for r in made.rows] == [("two", 1), ("two", 2), ("one", 1)]
    assert made.annotators == ("everybody",)
    assert made.notes[0].startswith("the data names no annotator")


@pytest.mark.parametrize(("bad", "field"), [
    (row(4), "overall_preference"), (row(1.5), "overall_preference"), (row(True), "overall_preference"),
    (row(1, context=[]), "context"), (row(1, context=[{"role": "user"}]), "context"),
])  # fmt: skip
def test_bad_rows_are_named(tmp_path, bad, field):
    with pytest.raises(InputError, match=f"row 2, field '{field}'"):
        made_of("helpsteer3", tmp_path, [row(1), bad])
    assert made_of("helpsteer3", tmp_path, [row(1), bad], skip_bad=True).left_out == {f"bad row, field '{field}'": 1}


def test_licence_and_losses_are_printed(tmp_path):
    said = printed(tmp_path, "helpsteer3", put(tmp_path, [row(1), row(None)]), "--out", tmp_path / "o.parquet")
    assert "CC BY 4.0" in said
    assert "who the annotators are is not published" in said
    assert "left out 1: no preference is given" in said
