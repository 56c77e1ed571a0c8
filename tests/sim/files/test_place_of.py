"""Where an answer of a table stands in its file, past rows that say nothing."""

import json

import pytest

from sim.files.preference_files import place_of, read_pairs

SILENT = {
    "pairs": [{"chosen": "a", "rejected": "a"}, {"chosen": "a", "rejected": "b", "weight": 0}],
    "rankings": [{"responses": ["a", "b"], "ranking": [1, 1]}, {"responses": ["a", "a"], "ranking": [1, 2]}],
    "ratings": [{"responses": ["a", "b"], "scores": [3, 3], "weight": 0}, {"responses": ["a", "a"], "scores": [1, 2]}],
    "choices": [{"responses": ["a", "a"], "choice": 0}, {"responses": ["a", "b"], "choice": 1, "weight": 0}],
}
TELLING = {
    "pairs": {"chosen": "a", "rejected": "b"},
    "rankings": {"responses": ["a", "b"], "ranking": [1, 2]},
    "ratings": {"responses": ["a", "b"], "scores": [1, 2]},
    "choices": {"responses": ["a", "b"], "choice": 1},
}


@pytest.mark.parametrize("kind", SILENT)
def test_rows_that_say_nothing_are_passed_over(kind, tmp_path):
    weighted = any("weight" in row for row in SILENT[kind])
    rows = [SILENT[kind][0], TELLING[kind], SILENT[kind][1], TELLING[kind]]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(
        json.dumps({"prompt": "p", "annotator_id": "x", **({"weight": 1} if weighted else {}), **row}) + "\n"
        for row in rows
    ))  # fmt: skip
    table = read_pairs(path)
    assert len(table) == 2
    assert [place_of(table, answer)["row"] for answer in range(2)] == [2, 4]
