"""Stanford Human Preferences: a pair a record."""

import pytest
from converting import made_of, printed, put, same_in_every_form

from sim.errors import InputError


def row(label, ratio=3.0, **more):
    return {
        "post_id": "p", "domain": "askculinary_train", "history": "How long?", "human_ref_A": "An hour.",
        "human_ref_B": "A day.", "labels": label, "score_A": 9, "score_B": 3, "score_ratio": ratio, **more,
    }  # fmt: skip


def test_row_by_row(tmp_path):
    rows = [row(1), row(0)]
    made = made_of("shp", tmp_path, rows)
    assert made.rows == [
        {"prompt": "How long?", "chosen": "An hour.", "rejected": "A day.", "annotator_id": "everybody"},
        {"prompt": "How long?", "chosen": "A day.", "rejected": "An hour.", "annotator_id": "everybody"},
    ]
    assert same_in_every_form("shp", tmp_path, rows, ("rows.json", "rows.csv.gz", "rows.parquet"))


def test_the_sets_json_files_hold_a_record_a_line(tmp_path):
    put(tmp_path, [row(1), row(0)], "rows.jsonl").rename(tmp_path / "train.json")
    said = printed(tmp_path, "shp", tmp_path / "train.json", "--out", tmp_path / "o.parquet")
    assert "2 pairs of 1 annotator\n" in said
    assert "the terms of Reddit hold" in said


def test_a_least_ratio(tmp_path):
    made = made_of("shp", tmp_path, [row(1), row(1, ratio=1.2)], ratio=2.0)
    assert (len(made), made.left_out) == (1, {"pairs whose scores are less than 2 times apart": 1})


def test_bad_rows_are_named(tmp_path):
    with pytest.raises(InputError, match="row 1, field 'human_ref_A': holds half a character"):
        made_of("shp", tmp_path, [row(1, human_ref_A="\ud83c")])
    with pytest.raises(InputError, match="row 2, field 'labels': expected 1, 0"):
        made_of("shp", tmp_path, [row(1), row("A")])
    with pytest.raises(InputError, match="row 1, field 'history': expected text, got None"):
        made_of("shp", tmp_path, [row(1, history=None)])
