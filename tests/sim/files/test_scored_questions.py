"""Scored questions survive their file; what is wrong with one is a line that names it."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.errors import InputError
from sim.files.scored_questions import ScoredQuestions, read_questions, write_questions


def _questions(n=6):
    rng = np.random.default_rng(0)
    texts = tuple((f"first {j}", f"sécond {j}") for j in range(n))
    features = rng.normal(size=(n, 2, 4)).astype(np.float32).astype(np.float64)
    return ScoredQuestions(
        tuple(f"p{j}" for j in range(n)), texts, ("a", "b"), rng.normal(size=(n, 2, 2)), features, "words"
    )


def test_round_trip(tmp_path):
    made = _questions()
    write_questions(tmp_path / "q.parquet", made)
    found = read_questions(tmp_path / "q.parquet")
    assert (found.prompts, found.texts, found.tastes, found.made_by) == (
        made.prompts, made.texts, made.tastes, made.made_by
    )  # fmt: skip
    assert np.array_equal(found.scores, made.scores)
    assert np.array_equal(found.features, made.features)
    assert found.advantages.std(axis=0) == pytest.approx(1.0)
    assert "2 tastes, 4 features" in repr(found)


def test_gaps_that_are_all_the_same_are_not_divided_by_rounding():
    """A taste to which the first response is better by 0.1 wherever it is asked: that spread is 1.4e-17."""
    made = _questions()
    scores = np.zeros((6, 2, 2))
    scores[:, 0] = 0.1, 1.0
    scores[:, 1, 1] = np.arange(6.0)
    found = ScoredQuestions(made.prompts, made.texts, made.tastes, scores, made.features, "words").advantages
    assert found[:, 0] == pytest.approx(0.1)
    assert found[:, 1].std() == pytest.approx(1.0)


def _changed(path, **columns):
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": ["p"] * 5 + [None]}, "row 6, field 'prompt': expected a text"),
        ({"first_scores": [[1.0, 2.0]] * 5 + [[1.0]]}, "row 6, field 'first_scores': expected 2 numbers, got 1"),
        ({"second_scores": [[1.0, 2.0]] * 5 + [[1.0, np.inf]]}, "row 6, field 'second_scores': expected finite"),
        ({"second_features": [[1.0] * 4] * 5 + [[1.0] * 3]}, "row 6, field 'second_features': expected 4 numbers"),
        ({"first_features": [[]] * 6}, "field 'first_features': expected 1 numbers, got 0"),
    ],
)
def test_what_is_wrong_is_named(change, words, tmp_path):
    write_questions(tmp_path / "q.parquet", _questions())
    _changed(tmp_path / "q.parquet", **change)
    with pytest.raises(InputError, match=words):
        read_questions(tmp_path / "q.parquet")


def test_other_files(tmp_path):
    with pytest.raises(InputError, match="no such file; make it"):
        read_questions(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("not Parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    write_questions(tmp_path / "old.parquet", _questions())
    told = {b"pluralign.tastes": json.dumps({"format": 99}).encode()}
    pq.write_table(pq.read_table(tmp_path / "old.parquet").replace_schema_metadata(told), tmp_path / "old.parquet")
    write_questions(tmp_path / "empty.parquet", _questions())
    pq.write_table(pq.read_table(tmp_path / "empty.parquet").slice(0, 0), tmp_path / "empty.parquet")
    for name, words in (
        ("text", "of this version"), ("other", "of this version"), ("old", "format 99"), ("empty", "no question")
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            read_questions(tmp_path / f"{name}.parquet")
