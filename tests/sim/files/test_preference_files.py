"""Preference files: round trips, and one clear line for every way a file can be wrong."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.errors import InputError
from sim.files import pair_columns
from sim.files.pair_table import PairTable
from sim.files.preference_files import read_pairs, table_of_rows, write_pairs
from sim.files.ranking_files import read_rankings, write_rankings
from sim.preferences import Rankings


def _row(**changes):
    row = {
        "prompt": "which?",
        "chosen": "a",
        "rejected": "b",
        "annotator_id": "ann",
        "chosen_features": [1.0, 2.0],
        "rejected_features": [0.0, 1.0],
    }
    return {name: value for name, value in {**row, **changes}.items() if value is not ...}


def _write(path, rows):
    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _table():
    return PairTable(
        items=("a", "b", "c"),
        features=np.array([[1.0, 2.0], [0.0, 1.0], [3.5, -1.0]]),
        feature_names=("wit", "year"),
        prompts=("p", "q"),
        prompt=np.array([0, 1, 0]),
        chosen=np.array([0, 1, 2]),
        rejected=np.array([1, 2, 0]),
        annotators=("x", "y"),
        annotator=np.array([0, 0, 1]),
        weights=np.array([1.0, 0.5, 2.0]),
        split=np.array([0, 1, 2]),
        group=("old", "young"),
        annotator_features=np.array([[30.0, -1.5], [61.0, 0.25]]),
        annotator_feature_names=("age", "taste: wit"),
    )


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".jsonl.gz"])
def test_round_trip(tmp_path, ending):
    table, path = _table(), tmp_path / f"pairs{ending}"
    write_pairs(path, table)
    again = read_pairs(path)
    for name in ("items", "feature_names", "prompts", "annotators", "group", "annotator_feature_names"):
        assert getattr(again, name) == getattr(table, name)
    for name in ("features", "prompt", "chosen", "rejected", "annotator", "weights", "split", "annotator_features"):
        assert (getattr(again, name) == getattr(table, name)).all()
    assert [path.name for path in tmp_path.iterdir()] == [f"pairs{ending}"]
    pairs = again.pairs()
    assert pairs.n_annotators == 2
    assert pairs.pair_weights().tolist() == [1.0, 0.5, 2.0]


@pytest.mark.parametrize("without", [(), ("features", "annotator_features", "weights", "split", "group")])
def test_columns_are_those_of_the_rows(monkeypatch, without):
    """Parquet is written by columns and JSON lines by rows: Arrow makes the same table of the rows."""
    monkeypatch.setattr(pair_columns, "_TAKEN", 2)
    table = replace(_table(), tie=np.array([True, False, False]), strength=np.array([1, 3, 2]))
    table = replace(table, **dict.fromkeys(without))
    expected, got = pa.Table.from_pylist(list(pair_columns.rows_of(table))), pair_columns.columns_of(table)
    assert got.schema == expected.schema
    assert got.to_pylist() == expected.to_pylist()


@pytest.mark.parametrize("alias", ["annotator_id", "user_id", "annotator"])
def test_aliases_and_vectors_as_responses(tmp_path, alias):
    rows = [{"context": 1, "chosen": [1.0, 0.0], "rejected": [0.0, 1.0], alias: 7}]
    table = read_pairs(_write(tmp_path / "pairs.jsonl", rows))
    assert table.annotators == ("7",)
    assert table.features.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_named_features_of_json_lines(tmp_path):
    rows = [_row(chosen_features={"wit": 1, "year": 2}, rejected_features={"year": 4, "wit": 3})]
    table = read_pairs(_write(tmp_path / "pairs.jsonl", rows))
    assert table.feature_names == ("wit", "year")
    assert table.features.tolist() == [[1, 2], [3, 4]]


def test_annotators_are_told_once_or_in_every_row(tmp_path):
    rows = [
        _row(annotator_features={"age": 30, "height": 1.7}), _row(chosen="c"),
        _row(annotator_id="bob", annotator_features={"height": 1.8, "age": 40}),
    ]  # fmt: skip
    table = read_pairs(_write(tmp_path / "pairs.jsonl", rows))
    assert table.annotator_feature_names == ("age", "height")
    assert table.annotator_features.tolist() == [[30, 1.7], [40, 1.8]]
    plain = [_row(annotator_features=[3, 4])]
    assert read_pairs(_write(tmp_path / "plain.jsonl", plain)).annotator_feature_names == (
        "annotator feature 1", "annotator feature 2",
    )  # fmt: skip
    assert read_pairs(_write(tmp_path / "none.jsonl", [_row()])).annotator_features is None


def test_names_that_do_not_fit_the_numbers(tmp_path):
    path = tmp_path / "pairs.parquet"
    object.__setattr__(table := _table(), "annotator_feature_names", ("age",))
    write_pairs(path, table)
    with pytest.raises(InputError, match=r"'annotator_features': has 2 numbers and 1 names; name each feature once"):
        read_pairs(path)


BAD = [
    ([_row(chosen=...)], "field 'chosen': the column is missing"),
    ([{"chosen": "a", "rejcted": "b", "annotator_id": 1}], "rename 'rejcted'"),
    ([_row(rejected="a", rejected_features=[1.0, 2.0])], "no answer is left (1 rows whose two answers are the same"),
    ([_row(rejected=3)], "row 1, field 'rejected': chosen is str and rejected is int"),
    (
        [_row(), _row(chosen="c", chosen_features=[float("nan"), 1.0])],
        "row 2, field 'chosen_features': feature 1 is not finite",
    ),
    ([_row(chosen_features=["x", 1.0])], "feature 1 is not a number ('x')"),
    ([_row(), _row(chosen="c", chosen_features=[1.0])], "row 2, field 'chosen': expected 2 features"),
    ([_row(), _row(chosen_features=[9.0, 2.0])], "item 'a' has other features here than before"),
    ([_row(annotator_id=None)], "row 1, field 'annotator_id': expected a name"),
    ([_row(weight=-1.0)], "row 1, field 'weight': expected a positive number, got -1.0"),
    ([_row(split="dev")], "row 1, field 'split': expected train, test or unseen"),
    ([_row(chosen=None)], "row 1, field 'chosen': expected text"),
    ([_row(user_id="x")], "say the same thing"),
    ([_row(group_id="g"), _row(group_id="h")], "row 2, field 'group_id'"),
    ([_row(split="train"), _row(split="unseen")], "in train or test and in unseen"),
    ([_row(split="train"), _row(split="test", annotator_id="new")], "is in test and not in train"),
    ([_row(split="unseen")], "no row is in train"),
    (
        [_row(annotator_features=[1.0]), _row(annotator_features=[2.0])],
        "row 2, field 'annotator_features': annotator ann has other features here than before",
    ),
    (
        [_row(annotator_features=[1.0]), _row(), _row(annotator_id="bob")],
        "row 3, field 'annotator_features': annotator bob has no features, and others have",
    ),
    (
        [_row(annotator_features=[1.0, 2.0]), _row(annotator_id="bob", annotator_features=[1.0])],
        "row 2, field 'annotator_features': expected 2 features as in the rows before, got 1",
    ),
    (
        [_row(annotator_features=[1.0, float("inf")])],
        "row 1, field 'annotator_features': feature 2 is not finite",
    ),
    ([_row(annotator_features="old")], "row 1, field 'annotator_features': expected a list of numbers, got 'old'"),
]


@pytest.mark.parametrize(("rows", "expected"), BAD)
def test_bad_rows_get_one_line_with_place_and_cure(tmp_path, rows, expected):
    path = _write(tmp_path / "pairs.jsonl", rows)
    with pytest.raises(InputError) as caught:
        read_pairs(path)
    message = str(caught.value)
    assert expected in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "; " in message


@pytest.mark.parametrize("index", [0, 2, 4, 8, 9, 17, 18, 19, 20])
def test_parquet_is_checked_alike(tmp_path, index):
    rows, expected = BAD[index]
    with pytest.raises(InputError) as caught:
        read_pairs(_write(tmp_path / "pairs.parquet", rows))
    assert expected in str(caught.value)


def test_files_that_are_no_files(tmp_path):
    whole = tmp_path / "whole.parquet"
    write_pairs(whole, _table())
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-40])
    lines = tmp_path / "cut.jsonl"
    lines.write_text(json.dumps(_row()) + "\n" + json.dumps(_row())[:20])
    zipped = tmp_path / "cut.jsonl.gz"
    zipped.write_bytes(gzip.compress(json.dumps(_row()).encode() * 50)[:-20])
    empty, blank = tmp_path / "empty.jsonl", tmp_path / "blank.jsonl"
    empty.write_text("")
    blank.write_text("\n\n")
    for path, expected in (
        (cut, "is not a whole Parquet file"),
        (lines, "row 2: is not whole JSON"),
        (zipped, "the gzip file ends or breaks"),
        (empty, "the file is empty"),
        (blank, "holds no preferences"),
        (tmp_path / "none.jsonl", "no such file"),
        (tmp_path / "pairs.txt", "expected a file ending in .parquet"),
    ):
        with pytest.raises(InputError) as caught:
            read_pairs(path)
        assert expected in str(caught.value)


def test_failed_write_leaves_nothing(tmp_path):
    broken = _table()
    object.__setattr__(broken, "annotators", ("only one",))
    with pytest.raises(IndexError):
        write_pairs(tmp_path / "pairs.jsonl", broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".jsonl.gz"])
def test_rankings_round_trip(tmp_path, ending):
    rankings = Rankings(
        np.array([0, 1]),
        np.array([[2, 0, 1], [1, 2, 0]]),
        np.array([0, 1]),
        2,
        n_ranked=2,
        weights=np.array([1.0, 2.0]),
    )
    write_rankings(tmp_path / f"r{ending}", rankings)
    again = read_rankings(tmp_path / f"r{ending}")
    assert (again.responses == rankings.responses).all()
    assert again.n_ranked == 2
    assert (again.weights == rankings.weights).all()


def test_bad_rankings_are_refused(tmp_path):
    good = {"responses": ["a", "b"], "n_ranked": 1, "annotator_id": 1}
    for rows, expected in (
        ([{**good, "responses": ["a", "a"]}], "offers a response twice"),
        ([good, {**good, "responses": ["a", "b", "c"]}], "row 2"),
        ([{"responses": ["a", "b"], "n_ranked": 1}], "field 'annotator_id'"),
        ([{**good, "responses": "ab"}], "expected two or more responses"),
    ):
        with pytest.raises(InputError) as caught:
            read_rankings(_write(tmp_path / "r.jsonl", rows))
        assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"), [("chosen_feats", "chosen_features"), ("weights", "weight"), ("splits", "split")]
)
def test_a_column_that_is_all_but_one_of_ours_is_not_left_out_without_a_word(name, meant):
    row = {"prompt": "q", "chosen": "a", "rejected": "b", "annotator_id": "p"}
    said = f"field '{name}': a column of that name is not read; rename it if '{meant}'"
    with pytest.raises(InputError, match=said):
        table_of_rows([{**row, name: 1.0}], "rows")
    assert len(table_of_rows([{**row, "model": "a", "prompt_id": 3}], "rows")) == 1
