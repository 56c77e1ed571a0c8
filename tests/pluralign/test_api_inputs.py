"""What the API takes: files, frames of every kind, arrays; the same checks and the same words for all."""

import json

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest

import pluralign as pl
from sim.files.pair_table import SPLITS

ROWS = [
    {"prompt": "p", "chosen": "a", "rejected": "b", "annotator_id": "x", "weight": 2.0, "group_id": "g",
     "chosen_features": [1.0, 0.0], "rejected_features": [0.0, 1.0], "annotator_features": [3.0]},
    {"prompt": "q", "chosen": "b", "rejected": "c", "annotator_id": "y", "weight": 1.0, "group_id": "h",
     "chosen_features": [0.0, 1.0], "rejected_features": [2.0, 2.0], "annotator_features": [4.0]},
    {"prompt": "q", "chosen": "c", "rejected": "a", "annotator_id": "x", "weight": 0.5, "group_id": "g",
     "chosen_features": [2.0, 2.0], "rejected_features": [1.0, 0.0], "annotator_features": [3.0]},
]  # fmt: skip


def _arrow(rows):
    return pa.Table.from_pylist(rows)


def _dataset(rows):
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_list([{}, *rows][1:])


def _picked(rows):
    """A data set with rows picked and formatted: what its own table holds is not what it shows."""
    between = [part for row in rows for part in (rows[-1], row)]
    return _dataset(between).select(range(1, len(between), 2)).with_format("numpy")


def _old_pandas(rows):
    """Before the Arrow protocol: known by what a frame can do."""
    frame = pd.DataFrame(rows)

    class Old:
        columns, iloc, to_dict = frame.columns, frame.iloc, frame.to_dict

    return Old()


def _stream(rows):
    """Nothing but the Arrow C stream protocol."""
    table = pa.Table.from_pylist(rows)

    class Frame:
        def __arrow_c_stream__(self, requested_schema=None):
            return table.__arrow_c_stream__(requested_schema)

    return Frame()


KINDS = {
    "list": list,
    "DataFrame of pandas": pd.DataFrame,
    "older pandas": _old_pandas,
    "DataFrame of polars": polars.DataFrame,
    "Table": _arrow,
    "RecordBatchReader": lambda rows: _arrow(rows).to_reader(),
    "Dataset": _dataset,
    "picked Dataset": _picked,
    "stream": _stream,
    "columns": lambda rows: {name: [row[name] for row in rows] for name in rows[0]},
    "tuples": lambda rows: tuple(rows),
}


def _numpy(value):
    """The same, in NumPy's own kinds all the way down."""
    if isinstance(value, dict):
        return {name: _numpy(part) for name, part in value.items()}
    if isinstance(value, list):
        return tuple(_numpy(part) for part in value) if isinstance(value[0], str) else [_numpy(part) for part in value]
    return value if value is None else np.float32(value) if isinstance(value, float) else np.asarray(value)[()]


_OF_THREE = {"annotator_id": "x", "prompt": "q", "responses": ["a", "b", "c"]}
# Halves and whole numbers, which float32 holds as they are.
_NESTED = {
    "pairs by name": ROWS[0] | {"chosen_features": {"a": 0.5, "b": 1.0}, "rejected_features": {"a": 2.0, "b": 0.0},
                                "annotator_features": {"age": 3}},
    "pairs by place": ROWS[0],
    "choices": _OF_THREE | {"choice": 1, "features": [[1.0, 2.0], [2.0, 3.0], [0.5, 4.0]]},
    "choices by name": _OF_THREE | {"choice": 1, "features": [{"a": 1}, {"a": 2}, {"a": 0}]},
    "rankings": _OF_THREE | {"ranking": [2, 1, 3]},
    "unranked": _OF_THREE | {"ranking": [2, 1, None]},
    "ratings": _OF_THREE | {"scores": [0.5, 1.0, 1.5]},
}  # fmt: skip


@pytest.mark.parametrize("frame", [list, pd.DataFrame])
@pytest.mark.parametrize("kind", _NESTED)
def test_numbers_of_numpy_inside_lists_and_mappings_are_numbers(kind, frame):
    rows = [_NESTED[kind], _NESTED[kind] | {"annotator_id": "y"}]
    _same(pl.read_pairs(frame([_numpy(row) for row in rows])), pl.read_pairs(rows))


@pytest.mark.parametrize("column", [pd.Series([1.0, 2.0]), polars.Series([1.0, 2.0]), pa.chunked_array([[1.0, 2.0]])])
@pytest.mark.parametrize("takes", [pl.read_pairs, pl.minmax, pl.welfare, pl.pool, pl.conditional_logit])
def test_a_column_alone_is_refused_by_name(takes, column):
    with pytest.raises(pl.InputError, match=f"expected a path, a data frame .*, got a {type(column).__name__}, which"):
        takes(column)


def test_numbers_of_numpy_inside_other_rows():
    told = [{"annotator_id": "x", "candidates": ["u", "v"], "probs": [0.25, 0.75]},
            {"annotator_id": "y", "candidates": ["u", "v"], "probs": [0.5, 0.5]}]  # fmt: skip
    assert pl.pool([_numpy(row) for row in told]).consensus == pl.pool(told).consensus
    assert pl.read_pairs([ROWS[0] | {"weight": np.longdouble(0.5)}]).weights.tolist() == [0.5]
    arrays = [ROWS[0] | {"chosen_features": [np.array(1.0), np.float32("nan")]}]
    with pytest.raises(pl.InputError, match=r"row 1, field 'chosen_features'.*nan"):
        pl.read_pairs(arrays)
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(pl.InputError, match="nested too deeply, or holds itself"):
        pl.read_pairs([ROWS[0] | {"chosen_features": endless}])


def _same(one, other):
    for name in ("items", "prompts", "annotators", "group", "feature_names", "annotator_feature_names"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("features", "chosen", "rejected", "annotator", "prompt", "weights", "split", "annotator_features"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None), name
        assert first is None or np.array_equal(first, second), name


@pytest.fixture
def from_file(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return pl.read_pairs(path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_reads_as_the_file_does(kind, from_file):
    _same(pl.read_pairs(KINDS[kind](ROWS)), from_file)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_row_is_named(kind):
    rows = [dict(row) for row in ROWS]
    rows[1]["weight"] = -1.0
    named = {
        "DataFrame of pandas": "DataFrame", "DataFrame of polars": "DataFrame", "older pandas": "Old",
        "picked Dataset": "Dataset", "stream": "Frame", "columns": "dict", "tuples": "tuple",
    }  # fmt: skip
    with pytest.raises(pl.InputError, match=f"^{named.get(kind, kind)}, row 2, field 'weight': expected a positive"):
        pl.read_pairs(KINDS[kind](rows))


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT], ids=str)
def test_a_missing_value_of_any_library_is_missing(missing):
    frame = pd.DataFrame(ROWS).astype({"chosen": object})
    frame.loc[1, "chosen"] = missing
    with pytest.raises(pl.InputError, match="DataFrame, row 2, field 'chosen': expected text, a number or a list"):
        pl.read_pairs(frame)
    grouped = pd.DataFrame(ROWS).astype({"group_id": object})
    grouped.loc[1, "group_id"] = missing
    assert pl.read_pairs(grouped).group == ("g", "")


def test_pairs_go_through_as_they_are_and_to_a_file_and_back(tmp_path, from_file):
    assert pl.read_pairs(from_file) is from_file
    for name in ("pairs.parquet", "pairs.jsonl.gz"):
        pl.write_pairs(tmp_path / name, ROWS)
        _same(pl.read_pairs(tmp_path / name), from_file)
    assert repr(from_file) == (
        "<Pairs: 3 answers of 2 annotators about 3 items, 2 features, 1 feature an annotator; with weights, group>"
    )


def test_names_of_features_in_an_arrow_schema_are_kept(tmp_path):
    pairs = pl.read_pairs(chosen=[[1.0, 2.0]], rejected=[[0.0, 1.0]], annotator=["x"], feature_names=("plot", "length"))
    pl.write_pairs(tmp_path / "p.parquet", pairs)
    table = pa.parquet.read_table(tmp_path / "p.parquet")
    assert pl.read_pairs(table).feature_names == ("plot", "length")


def test_arrays():
    pairs = pl.read_pairs(
        chosen=np.array([[1.0, 0.0], [0.0, 1.0]]), rejected=np.array([[0.0, 1.0], [2.0, 2.0]]),
        annotator=np.array([7, 3]), weights=np.array([1.0, 2.0]), group=np.array(["g", "h"]), split=["train", "train"],
        annotator_features=np.array([[1.0], [2.0]]), prompt=["p", "q"],
    )  # fmt: skip
    assert pairs.features[pairs.chosen].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert pairs.features[pairs.rejected].tolist() == [[0.0, 1.0], [2.0, 2.0]]
    assert [pairs.annotators[i] for i in pairs.annotator] == ["7", "3"]
    assert pairs.weights.tolist() == [1.0, 2.0]
    assert pairs.group == ("g", "h")
    assert [SPLITS[s] for s in pairs.split] == ["train", "train"]
    assert pairs.annotator_features.tolist() == [[1.0], [2.0]]
    assert pairs.prompts == ("p", "q")


def test_numbers_of_items_with_a_table_of_features():
    features = np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    pairs = pl.read_pairs(chosen=np.array([2, 0]), rejected=np.array([0, 1]), annotator=["x", "y"], features=features)
    assert pairs.items == ("2", "0", "1")
    assert pairs.features.tolist() == [[5.0, 5.0], [1.0, 0.0], [0.0, 1.0]]


X = np.eye(3)
BAD_ARRAYS = {
    "nothing": ({}, "chosen must be given, or data"),
    "no annotator": ({"chosen": X, "rejected": X + 1}, "annotator must be given"),
    "lengths": ({"chosen": X, "rejected": X[:2] + 1, "annotator": [1, 2, 3]}, "chosen has 3 rows and rejected 2"),
    "annotators": ({"chosen": X, "rejected": X + 1, "annotator": [1, 2]}, "chosen has 3 rows and annotator 2"),
    "one name": ({"chosen": X, "rejected": X + 1, "annotator": "x"}, "annotator must have one entry an answer"),
    "both": ({"data": ROWS, "chosen": X}, "chosen: data is given too"),
    "nan": ({"chosen": [[np.nan, 1.0]], "rejected": [[0.0, 1.0]], "annotator": [1]}, "arrays, row 1, field 'chosen'"),
    "weight": ({"chosen": X, "rejected": X + 1, "annotator": [1, 2, 3], "weights": [1.0, -1.0, 1.0]},
               "arrays, row 2, field 'weight'"),
    "number": ({"chosen": [9], "rejected": [0], "annotator": ["x"], "features": X}, r"chosen must lie in 0\.\.2"),
    "kind": ({"data": 3.5}, "data: expected a path, a data frame .* got float"),
    "rows": ({"data": [1, 2]}, "list, row 1: expected a row by name, got int"),
    "lazy": ({"data": polars.LazyFrame({"chosen": ["a"]})}, r"call \.collect\(\) first"),
    "column twice": ({"data": pd.DataFrame([[1, 2]], columns=["chosen", "chosen"])}, "DataFrame, field 'chosen'"),
    "twice in Arrow": ({"data": pa.table([["a"], ["b"]], names=["chosen", "chosen"])}, "Table, field 'chosen'"),
    "columns": ({"data": {"chosen": ["a", "b"], "rejected": ["c"]}}, "dict, field 'rejected': expected 2 entries"),
    "no file": ({"data": "nowhere.parquet"}, "nowhere.parquet: no such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_what_is_wrong_is_said(case):
    given, message = BAD_ARRAYS[case]
    with pytest.raises(ValueError, match=message):
        pl.read_pairs(given.pop("data", None), **given)


def test_a_data_set_of_several_splits_asks_for_one():
    datasets = pytest.importorskip("datasets")
    assert len(pl.read_pairs(datasets.DatasetDict({"only": _dataset(ROWS)}))) == len(ROWS)
    both = datasets.DatasetDict({"train": _dataset(ROWS), "test": _dataset(ROWS)})
    with pytest.raises(
        pl.InputError, match=r"data: expected one data set, got 2 by name; give one of them, data\['train'\]"
    ):
        pl.read_pairs(both)
    assert len(pl.read_pairs(_dataset(ROWS).to_iterable_dataset())) == 3


REGRETS = np.array([[0.0, 1.5], [2.0, 0.0], [0.5, 0.25]])
NAMES, POLICIES = ["old", "young", "new"], ["safe", "bold"]
FRAME = pd.DataFrame(REGRETS, index=NAMES, columns=POLICIES)
COLUMNS = {"group": NAMES, "safe": REGRETS[:, 0].tolist(), "bold": REGRETS[:, 1].tolist()}


def _csv(tmp_path):
    path = tmp_path / "regrets.csv"
    path.write_text("group,safe,bold\n" + "".join(f"{n},{a},{b}\n" for n, (a, b) in zip(NAMES, REGRETS, strict=True)))
    return path


TABLES = {
    "a file": _csv,
    "a frame with an index": lambda _: FRAME,
    "a first column of names": lambda _: FRAME.reset_index(names="group"),
    "polars": lambda _: polars.DataFrame(COLUMNS),
    "Arrow": lambda _: pa.table(COLUMNS),
    "rows": lambda _: pa.table(COLUMNS).to_pylist(),
    "columns": lambda _: COLUMNS,
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_of_numbers_in_every_kind(kind, tmp_path):
    found = pl.minmax(TABLES[kind](tmp_path), rounds=50).solution.table
    assert found.values.tolist() == REGRETS.tolist()
    assert list(found.groups) == NAMES
    assert list(found.policies) == POLICIES


@pytest.mark.parametrize("data", [REGRETS, REGRETS.tolist(), pd.DataFrame(REGRETS), list(REGRETS)], ids=type)
def test_a_table_without_names(data):
    found = pl.minmax(data, rounds=50).solution.table
    assert found.groups == ("group 1", "group 2", "group 3")
    assert found.policies == ("policy 1", "policy 2")
    assert found.values.tolist() == REGRETS.tolist()


BAD_TABLES = [
    (FRAME.assign(bold=[1.0, np.nan, 2.0]), "DataFrame, row 2, field 'bold': expected a finite number"),
    (np.array([[1.0, np.inf]]), "ndarray, row 1, field 'policy 2': expected a finite number, got 'inf'"),
    ([[1.0, 2.0], [3.0]], "list, row 2: expected 2 columns as in the first row, got 1"),
    (polars.DataFrame({"a": [1.0], "b": ["x"]}), "DataFrame, row 1, field 'b': expected a finite number, got 'x'"),
    (np.zeros((0, 2)), "expected a row a group"),
    (np.zeros((2, 2, 2)), "regret: expected a matrix"),
    (np.zeros(3), "regret: expected a matrix"),
    (pd.DataFrame([[True, False]]), "expected a finite number, got 'True'"),
]


@pytest.mark.parametrize(("data", "message"), BAD_TABLES)
def test_a_bad_table(data, message):
    with pytest.raises(pl.InputError, match=message):
        pl.minmax(data)


@pytest.mark.parametrize("command", [pl.minmax, pl.hedge, pl.aggregate, pl.welfare])
def test_numbers_whose_sums_overflow_are_refused_as_in_a_file(command):
    """`pluralign aggregate` refuses 1e308 in a file by row and column."""
    with pytest.raises(
        pl.InputError, match=r"row 2, field '.*': expected a finite number of at most 1e100, got '1e\+308'"
    ):
        command(np.array([[1.0, 2.0], [1e308, 1.0]]))


OPINIONS = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]])
LONG = [
    {"annotator_id": who, "prompt_id": "q1", "candidate": name, "prob": float(OPINIONS[i, a])}
    for i, who in enumerate(("ann", "bob")) for a, name in enumerate("xyz")
]  # fmt: skip
WIDE = [
    {"annotator_id": who, "prompt_id": "q1", "candidates": list("xyz"), "probs": OPINIONS[i].tolist()}
    for i, who in enumerate(("ann", "bob"))
]


@pytest.mark.parametrize(
    "make", [list, pd.DataFrame, polars.DataFrame, _arrow, _dataset], ids=lambda make: make.__name__
)
@pytest.mark.parametrize("rows", [LONG, WIDE], ids=["long", "wide"])
def test_opinions_in_every_kind(make, rows):
    found = pl.pool(make(rows), 1.0)
    assert found.questions[0].annotators == ("ann", "bob")
    assert found.consensus["q1"] == pytest.approx(dict(zip("xyz", OPINIONS.mean(axis=0), strict=True)))


def test_opinions_as_a_matrix():
    frame = pd.DataFrame(OPINIONS, index=["ann", "bob"], columns=list("xyz"))
    expected = dict(zip("xyz", OPINIONS.mean(axis=0), strict=True))
    assert pl.pool(frame).consensus["all"] == pytest.approx(expected)
    assert list(pl.pool(OPINIONS).consensus["all"].values()) == pytest.approx(OPINIONS.mean(axis=0))


def test_bad_opinions_are_named():
    rows = [dict(row) for row in WIDE]
    rows[1]["probs"] = [0.5, 0.5, 0.5]
    with pytest.raises(pl.InputError, match=r"DataFrame, row 2, field 'probs': the probabilities sum to 1\.5"):
        pl.pool(pd.DataFrame(rows))
    with pytest.raises(pl.InputError, match="list, row 5, field 'prob': expected a number"):
        pl.pool([*LONG[:4], {**LONG[4], "prob": None}, LONG[5]])


@pytest.mark.parametrize("make", [pd.DataFrame, _old_pandas, polars.DataFrame, _arrow, list])
def test_frames_of_rankings_say_what_was_not_ranked(make):
    """pandas has nan where there is nothing: by columns and row by row that is a response which was not ranked."""
    rows = [
        {"annotator_id": who, "responses": ["a", "b", "c"], "ranking": own}
        for who, own in (("x", [2.0, float("nan") if make is not _arrow else None, 1.0]), ("y", [1.0, 2.0, 3.0]))
    ]  # fmt: skip
    if make is polars.DataFrame:
        rows[0]["ranking"][1] = None
    table = pl.read_pairs(make(rows))
    assert [table.items[j] for j in table.offered.taken] == ["c", "a", "a", "b"]
    assert table.offered.others.tolist() == [0, 1, 1, 1, 2, 2]


def test_choices_of_a_filtered_frame_have_no_people_of_before():
    frame = pd.DataFrame({
        "annotator_id": pd.Categorical(["z", "y", "x"]), "responses": [["a", "b"], ["b", "c"], ["c", "d"]],
        "choice": [0.0, 1.0, -1.0],
    })  # fmt: skip
    table = pl.read_pairs(frame[frame["annotator_id"] != "z"])
    assert (table.annotators, table.items) == (("y", "x"), ("b", "c", "d", "none of them"))
