"""Answers of every kind, written and read back."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.errors import InputError
from sim.files.answer_files import write_answers
from sim.files.preference_files import read_pairs

PROMPT = [{"role": "user", "content": "q"}]
ANSWER = [{"role": "assistant", "content": "a"}]
OTHER = [{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
KINDS = {
    "pairs": [{"prompt": PROMPT, "chosen": ANSWER, "rejected": OTHER, "tie": tie, "strength": None if tie else 2,
               "annotator_id": "x"} for tie in (False, True)],
    "choices": [{"prompt": "q", "responses": ["a", "b"], "choice": -1, "annotator_id": "x"}],
    "rankings": [
        {"prompt": PROMPT, "responses": [ANSWER, OTHER, ANSWER], "ranking": [1, None, 1], "annotator_id": "x"}
    ],
    "ratings": [{"prompt": "q", "responses": ["a", "b"], "scores": [1.0, 2.5], "annotator_id": "x"}],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz"])
def test_what_was_written_is_read(tmp_path, kind, name):
    write_answers(tmp_path / name, KINDS[kind], kind)
    if name == "a.parquet":
        found = pq.read_table(tmp_path / name).to_pylist()
    else:
        with (gzip.open if name.endswith("gz") else open)(tmp_path / name, "rt") as lines:
            found = [json.loads(line) for line in lines]
    assert found == KINDS[kind]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_messages_are_nested_in_parquet(tmp_path):
    write_answers(tmp_path / "a.parquet", KINDS["pairs"], "pairs")
    schema = pq.read_schema(tmp_path / "a.parquet")
    message = {schema.field("chosen").type.value_type.field(j).name for j in range(2)}
    assert message == {"role", "content"}
    assert schema.field("strength").type == pa.int64()
    write_answers(tmp_path / "a.parquet", KINDS["rankings"], "rankings")
    assert pq.read_schema(tmp_path / "a.parquet").field("responses").type.value_type.value_type.num_fields == 2


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl"])
def test_names_of_features_are_kept(tmp_path, name):
    features = [{"pf": 1.0, "cl": 2.0}, {"pf": 3.0, "cl": 4.0}]
    rows = [{"chosen": "a", "rejected": "b", "annotator_id": "x", "chosen_features": features[0],
             "rejected_features": features[1], "annotator_features": {"age": 1.0}}]  # fmt: skip
    write_answers(tmp_path / name, rows, "pairs")
    table = read_pairs(tmp_path / name)
    assert table.feature_names == ("pf", "cl")
    assert table.features.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert table.annotator_feature_names == ("age",)
    several = [{"responses": ["a", "b"], "choice": 0, "features": features, "annotator_id": "x"}]
    write_answers(tmp_path / "c.parquet", several, "choices")
    assert pq.read_table(tmp_path / "c.parquet").to_pylist()[0]["features"] == [[1.0, 2.0], [3.0, 4.0]]


def test_whole_or_not_at_all(tmp_path):
    out = tmp_path / "a.jsonl"
    out.write_text("before")
    with pytest.raises(InputError, match="row 2: Out of range float"):
        write_answers(out, [{"response": "a", "score": s, "annotator_id": "x"} for s in (1.0, float("nan"))], "ratings")
    with pytest.raises(InputError, match="a text is no text in UTF-8"):
        write_answers(tmp_path / "a.parquet", [{"response": "\ud800", "score": 1, "annotator_id": "x"}], "ratings")
    rows = [{"chosen": chosen, "rejected": "b", "annotator_id": "x"} for chosen in ("a", ANSWER)]
    with pytest.raises(InputError, match="field 'chosen': Parquet cannot hold these values"):
        write_answers(tmp_path / "a.parquet", rows, "pairs")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    assert out.read_text() == "before"


@pytest.mark.parametrize(("rows", "kind", "said"), [
    ([], "pairs", "there are no answers to write"),
    ([{"chosen": "a", "annotator_id": "x"}], "pairs", "row 1, field 'rejected': pairs: the column is missing"),
    ([{"responses": ["a"], "annotator_id": "x"}], "ratings", "row 1, field 'scores'"),
    ([{"responses": ["a"], "ranking": [1]}], "rankings", "row 1, field 'annotator_id'"),
])  # fmt: skip
def test_what_is_missing_is_said(tmp_path, rows, kind, said):
    with pytest.raises(InputError, match=said):
        write_answers(tmp_path / "a.parquet", rows, kind)
    with pytest.raises(InputError, match="expected a file ending in"):
        write_answers(tmp_path / "a.csv", [{"x": 1}], kind)
