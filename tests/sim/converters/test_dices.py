"""DICES: ratings, high where an answer is safe."""

import pytest
from converting import made_of, printed, put, same_in_every_form

from sim.errors import InputError


def row(rater, said, **more):
    return {
        "rater_id": rater, "rater_gender": "Woman", "rater_race": "White", "rater_age": "gen z",
        "rater_education": "College degree or higher", "item_id": 1, "context": "USER: q", "response": "LAMDA: a",
        "degree_of_harm": "Benign", "Q_overall": said, **more,
    }  # fmt: skip


def test_row_by_row(tmp_path):
    rows = [row(7, "No"), row(8, "Yes", rater_race="Multiracial"), row(9, "Unsure")]
    made = made_of("dices", tmp_path, rows)
    assert made.kind == "ratings"
    assert [(r["prompt"], r["response"], r["score"], r["annotator_id"]) for r in made.rows] == [
        ("USER: q", "LAMDA: a", 1.0, "7"), ("USER: q", "LAMDA: a", 0.0, "8"), ("USER: q", "LAMDA: a", 0.5, "9"),
    ]  # fmt: skip
    assert [r["annotator_features"]["rater_race: White"] for r in made.rows] == [1.0, 0.0, 1.0]
    assert same_in_every_form("dices", tmp_path, rows, ("rows.csv", "rows.csv.gz", "rows.parquet"))


def test_another_question_and_rows_without_an_answer(tmp_path):
    rows = [row(7, "No", Q2_harmful_content_overall="Yes"), row(8, "No", Q2_harmful_content_overall="")]
    made = made_of("dices", tmp_path, rows, file="rows.csv", question="Q2_harmful_content_overall")
    assert [r["score"] for r in made.rows] == [0.0]
    assert made.left_out == {"rows without an answer to Q2_harmful_content_overall": 1}


def test_nobody_need_say_who_she_is(tmp_path):
    rows = [{key: value for key, value in row(7, "No").items() if not key.startswith("rater_") or key == "rater_id"}]
    said = printed(tmp_path, "dices", put(tmp_path, rows), "--out", tmp_path / "o.parquet")
    assert "1 rating of 1 annotator" in said
    assert "annotator_features" not in made_of("dices", tmp_path, rows).rows[0]


def test_bad_rows_are_named_by_the_line_of_the_table(tmp_path):
    with pytest.raises(InputError, match=r"rows\.csv, row 3, field 'Q_overall': expected No, Unsure, Yes, got 'Maybe'"):
        made_of("dices", tmp_path, [row(7, "No"), row(8, "Maybe")], file="rows.csv")


def test_licence_and_losses_are_printed(tmp_path):
    said = printed(tmp_path, "dices", put(tmp_path, [row(7, "No")], "d.csv"), "--out", tmp_path / "o.parquet")
    assert "1 rating of 1 annotator" in said
    assert "CC BY 4.0" in said
    assert "safety_gold" in said
