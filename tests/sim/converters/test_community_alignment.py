"""Community Alignment: one choice of four a turn, never pairs."""

import pytest
from converting import made_of, printed, put, same_in_every_form

from sim.errors import InputError


def talk(person, *choices, age="18-34", **more):
    row = {"conversation_id": 0, "annotator_id": person, "assigned_lang": "en", "annotator_age": age,
           "annotator_country": "india"}  # fmt: skip
    for turn, choice in zip(("first", "second", "third", "fourth"), choices, strict=False):
        row[f"{turn}_turn_prompt"] = f"{turn} question"
        row |= {f"{turn}_turn_response_{letter}": f"{turn} {letter}" for letter in "abcd"}
        row[f"{turn}_turn_preferred_response"] = choice
    return row | more


def test_row_by_row(tmp_path):
    # response_c is how the set is published; a bare letter is read too.
    rows = [talk("a0", "response_c"), talk("a1", "a", age="55+")]
    made = made_of("community-alignment", tmp_path, rows)
    assert made.kind == "choices"
    assert [(r["prompt"], r["responses"], r["choice"], r["annotator_id"]) for r in made.rows] == [
        ("first question", ["first a", "first b", "first c", "first d"], 2, "a0"),
        ("first question", ["first a", "first b", "first c", "first d"], 0, "a1"),
    ]
    assert made.rows[1]["annotator_features"] == {
        "annotator_age: 18-34": 0.0, "annotator_age: 55+": 1.0, "annotator_country: india": 1.0,
    }  # fmt: skip
    assert same_in_every_form("community-alignment", tmp_path, rows, ("rows.json", "rows.csv", "rows.parquet"))


def test_later_turns_follow_what_was_chosen(tmp_path):
    made = made_of("community-alignment", tmp_path, [talk("a0", "response_b", "response_d"), talk("a1", "a")])
    assert [r["choice"] for r in made.rows] == [1, 3, 0]
    assert made.rows[1]["prompt"] == [
        {"role": "user", "content": "first question"}, {"role": "assistant", "content": "first b"},
        {"role": "user", "content": "second question"},
    ]  # fmt: skip
    # A column has one form: where one prompt is a conversation, all are.
    assert made.rows[2]["prompt"] == [{"role": "user", "content": "first question"}]
    first = made_of("community-alignment", tmp_path, [talk("a0", "response_b", "response_d")], turns="first")
    assert [r["prompt"] for r in first.rows] == ["first question"]


def test_turns_without_a_choice_are_counted(tmp_path):
    made = made_of("community-alignment", tmp_path, [talk("a0", "a", None, "b"), talk("a0", "b")])
    assert len(made) == 2
    assert made.left_out == {"a turn without a choice": 1, "a turn after one without prompt or choice": 1}


def test_somebody_told_differently_keeps_her_first_features(tmp_path):
    made = made_of("community-alignment", tmp_path, [talk("a0", "a"), talk("a0", "b", age="55+")])
    assert made.rows[0]["annotator_features"] == made.rows[1]["annotator_features"]
    assert sum(made.noted.values()) == 1


def test_bad_rows_are_named(tmp_path):
    rows = [talk("a0", "a"), talk("a1", "e")]
    with pytest.raises(InputError, match="row 2, field 'first_turn_preferred_response': expected a, response_a"):
        made_of("community-alignment", tmp_path, rows)
    assert len(made_of("community-alignment", tmp_path, rows, skip_bad=True)) == 1
    with pytest.raises(InputError, match="row 1, field 'annotator_id': expected a name"):
        made_of("community-alignment", tmp_path, [talk(None, "a")])


def test_licence_and_losses_are_printed(tmp_path):
    said = printed(tmp_path, "community-alignment", put(tmp_path, [talk("a", "a")]), "--out", tmp_path / "o.jsonl",
                   "--turns", "first")  # fmt: skip
    assert "1 choice of 1 annotator" in said
    assert "CC BY 4.0" in said
    assert "assigned_lang" in said
