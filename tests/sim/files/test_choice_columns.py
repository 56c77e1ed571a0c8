"""Choices, rankings, ratings and grades read by columns are those read row by row; what is wrong is said row by row."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_both_ways import assert_same, by_columns, by_rows, write

from sim.errors import InputError
from sim.files.preference_files import read_pairs
from sim.files.taken_apart import UNRANKED, taken_apart
from sim.streams import Stream

KINDS = ("choice", "ranking", "scores", "score")
CELLS = ("responses", "ranking", "scores", "features", "annotator_features")


def drawn(kind, seed=0, n=100, people=11, items=17, **forms):
    """Rows of made-up answers to sets of two to five. forms: which optional columns, and what responses are."""
    stream = Stream(seed, cell="sets")
    size = 2 + stream.child("size").integers(4, n)
    person = stream.child("person").integers(people, n)
    vectors = np.round(stream.child("vectors").normals((items, 3)), 3)
    rows = []
    for j in range(n):
        draws, who = stream.child(str(j)), int(person[j])
        own = draws.permutation(items)[: int(size[j])].tolist()
        prompt = j % 5
        row = {"prompt": f"question {prompt}", "annotator_id": who if "numbers" in forms else f"p{who}"}
        told = [f"text {k}" for k in own]
        if "numbers" in forms:
            told = own
        if "vectors" in forms:
            told = vectors[own].tolist()
        features = (vectors[own] + (prompt if "by_prompt" in forms else 0)).tolist()
        if "named" in forms:
            features = [dict(zip(("wit", "age", "a b"), own, strict=True)) for own in features]
        row |= {"response": told[0]} if kind == "score" else {"responses": told}
        if {"features", "named", "by_prompt"} & set(forms):
            row["features"] = features[0] if kind == "score" else features
        said = draws.child("said").integers(4, 5).tolist()
        row |= {
            "choice": {"choice": said[0] % len(own) if "none" not in forms or j % 6 else -1},
            "ranking": {"ranking": [1 + rank if rank < 3 else None for rank in said[: len(own)]]},
            "scores": {"scores": [0.5 * score for score in said[: len(own)]]},
            "score": {"score": said[0]},
        }[kind]
        if kind == "ranking" and all(rank is None for rank in row["ranking"]):
            row["ranking"][0] = 1
        if "weight" in forms:
            row["weight"] = 0.0 if j % 11 == 3 else 0.5 + j % 3
        if "split" in forms:
            row["split"] = "unseen" if who > 8 else "train" if j % 4 else "test"
        if "group" in forms:
            row["group_id"] = f"g{who % 3}" if who % 5 else None
        if "told" in forms:
            row["annotator_features"] = [float(who), 1.0]
        row["other"] = {"deep": [j]}
        rows.append(row)
    return rows


FORMS = [
    {}, {"numbers": 1, "none": 1}, {"vectors": 1}, {"features": 1, "weight": 1, "told": 1}, {"named": 1, "split": 1},
    {"by_prompt": 1, "group": 1, "none": 1},
]  # fmt: skip
ENDINGS = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".tsv.gz")


@pytest.mark.parametrize("forms", FORMS, ids=lambda forms: "+".join(forms) or "plain")
@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_rows(tmp_path, kind, forms):
    rows = drawn(kind, **forms)
    # A cell of comma-separated values is text where one response stands alone.
    for ending in ENDINGS[:4] if kind == "score" and "vectors" in forms else ENDINGS:
        path = write(tmp_path / f"a{ending}", rows, CELLS)
        found = by_columns(path)
        assert found is not None, ending
        assert_same(found, by_rows(path))


@pytest.mark.parametrize("kind", KINDS[:3])
def test_rows_that_say_nothing_are_left_out_alike(tmp_path, monkeypatch, kind):
    """With the prompts and people that they alone have; over several batches and shards."""
    monkeypatch.setattr("sim.files.arrow_batches.BATCH", 25)
    rows = drawn(kind, features=1, weight=1, split=1, group=1, told=1)
    for j in (4, 50, 51):
        rows[j]["responses"][1] = rows[j]["responses"][0]
        rows[j]["features"][1] = rows[j]["features"][0]
    rows[50] |= {"annotator_id": "nobody", "prompt": "nothing", "group_id": "none", "annotator_features": None}
    for j in (0, 7, 99):
        if kind == "ranking":
            rows[j]["ranking"] = [2] * len(rows[j]["responses"])
        if kind == "scores":
            rows[j] |= {name: rows[j][name][:1] for name in ("responses", "scores", "features")}
    rows[3] |= {"weight": 0.0, "split": "train", "prompt": "unasked"}
    (tmp_path / "shards").mkdir()
    for number, part in enumerate((rows[:40], rows[40:])):
        write(tmp_path / "shards" / f"{number}.parquet", part)
    for path in (write(tmp_path / "a.jsonl", rows), write(tmp_path / "a.parquet", rows), tmp_path / "shards"):
        found = by_columns(path)
        assert found is not None
        assert_same(found, by_rows(path))
    told = dict(found.left_out)
    assert told["that offer a response twice"] == 3
    assert (told.get("that order nothing", 0) >= 3) == (kind != "choice")
    assert "nobody" not in found.annotators
    assert not {"nothing", "unasked"} & set(found.prompts)


def test_every_form_of_list_column(tmp_path):
    rows = [{k: v for k, v in row.items() if k != "other"} for row in drawn("ranking", features=1)]
    for row in rows:
        row |= {name: (row[name] * 4)[:4] for name in ("ranking", "features")}
        row["responses"] = [f"{text} {k}" for k, text in enumerate((row["responses"] * 4)[:4])]
        row["features"] = [[10.0 * k + own[0]] for k, own in enumerate(row["features"])]
    plain = pa.Table.from_pylist(rows)
    expected = by_rows(write(tmp_path / "a.parquet", rows))
    text, vector = pa.dictionary(pa.int32(), pa.string()), pa.list_(pa.float32())
    for forms in (
        {"responses": pa.large_list(pa.large_string()), "ranking": pa.large_list(pa.float64())},
        {"responses": pa.list_(pa.string(), 4), "ranking": pa.list_(pa.int8(), 4), "features": pa.list_(vector, 4)},
        {"annotator_id": text, "prompt": text, "responses": pa.list_(text)},
    ):
        path = tmp_path / "b.parquet"
        changed = plain
        for name, kind in forms.items():
            changed = changed.set_column(
                changed.column_names.index(name), name, pa.array(plain[name].to_pylist(), kind)
            )
        pq.write_table(changed, path)
        found = by_columns(path)
        assert found is not None
        assert_same(found, by_rows(path))
        assert (found.items, found.offered.taken.tolist()) == (expected.items, expected.offered.taken.tolist())


def test_frames_keep_their_index_and_make_floats_of_choices(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame([{k: v for k, v in row.items() if k != "other"} for row in drawn("choice", numbers=1)])
    frame["choice"] = frame["choice"].astype(float)
    frame["annotator_id"] = frame["annotator_id"].astype(float)
    frame.iloc[::-1].to_parquet(tmp_path / "a.parquet")
    found = by_columns(tmp_path / "a.parquet")
    assert_same(found, by_rows(tmp_path / "a.parquet"))
    assert all(name.isdigit() for name in found.annotators)


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".csv"])
def test_what_is_not_ranked_stays_where_it_was(tmp_path, ending):
    """Arrow's reader of JSON loses nulls that the first list of a block begins with."""
    rows = [{"annotator_id": "x", "responses": ["a", "b", "c"], "ranking": own} for own in
            ([None, None, 1], [None, 2, 1], [1, None, 2])]  # fmt: skip
    path = write(tmp_path / f"a{ending}", rows, CELLS)
    found = by_columns(path)
    assert_same(found, by_rows(path))
    assert [found.items[i] for i in found.offered.taken] == ["c", "c", "b", "a", "c"]


def test_features_that_begin_with_nothing_are_refused(tmp_path):
    row = {"chosen": "a", "rejected": "b", "annotator_id": "x", "rejected_features": [1.0, 2.0]}
    path = write(
        tmp_path / "a.jsonl", [{**row, "chosen_features": [None, 1.0]}, {**row, "chosen_features": [2.0, 1.0]}]
    )
    with pytest.raises(InputError, match="row 1, field 'chosen_features': feature 1 is not a number"):
        read_pairs(path)


def test_items_by_prompt_need_their_own_features_there(tmp_path):
    rows = drawn("choice", by_prompt=1)
    again = json.loads(json.dumps(rows[5]))
    again["features"][0][0] += 1.0
    said = f"row {len(rows) + 1}, field 'features': item .* has other features here than before under the same prompt"
    with pytest.raises(InputError, match=said):
        read_pairs(write(tmp_path / "a.parquet", [*rows, again]))


@pytest.mark.parametrize(("change", "field"), [
    ({"choice": 3}, "choice"), ({"choice": -2}, "choice"), ({"choice": None}, None), ({"choice": 0.5}, "choice"),
    ({"responses": ["a"]}, "responses"), ({"responses": ["a", "b", ""]}, "responses"),
    ({"responses": None}, "responses"),
    ({"responses": ["a", None, "b"]}, "responses"), ({"annotator_id": ""}, "annotator_id"),
    ({"annotator_id": None}, "annotator_id"), ({"weight": -1.0}, "weight"), ({"weight": None}, "weight"),
    ({"weight": 0.0, "choice": 7}, "choice"), ({"weight": 0.0, "annotator_id": ""}, "annotator_id"),
    ({"split": "tain"}, "split"), ({"split": None}, "split"), ({"split": "unseen"}, "split"),
    ({"features": [[1.0], [2.0]]}, "features"), ({"features": [[1.0], [2.0], []]}, "features"),
    ({"features": [[1.0], [2.0], [float("inf")]]}, "features"),
    ({"responses": ["a", "b", "b"], "features": [[1.0], [2.0], [2.0]], "split": "tain"}, "split"),
    ({"annotator_features": [2.0]}, "annotator_features"), ({"group_id": "other"}, "group_id"),
])  # fmt: skip
def test_what_is_wrong_is_said_with_its_row(tmp_path, change, field):
    rows = [
        {"annotator_id": "x", "prompt": "q", "responses": ["a", "b", "c"], "choice": 1, "weight": 1.0, "split": "train",
         "features": [[1.0], [2.0], [3.0]], "annotator_features": [1.0], "group_id": "g"}
        for _ in range(3)
    ]  # fmt: skip
    rows[1] = {**rows[1], **change}
    for path in (tmp_path / "a.parquet", tmp_path / "a.jsonl"):
        write(path, rows)
        assert by_columns(path) is None
        with pytest.raises(InputError) as caught:
            read_pairs(path)
        assert (caught.value.file, caught.value.row, caught.value.field) == (path, 2, field)


@pytest.mark.parametrize("cell", ['1, "x": 2', '1} {"weight": 2', "1.", ".5", "1, 2", "[1"])
def test_a_cell_is_one_value_of_json(tmp_path, cell):
    rows = [{"annotator_id": "x", "responses": ["a", "b"], "choice": "0", "weight": own} for own in ("1", cell, "2")]
    path = write(tmp_path / "a.csv", rows, CELLS)
    assert by_columns(path) is None
    with pytest.raises(InputError, match="row 3, field 'weight': expected a positive number"):
        read_pairs(path)


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_refused_or_read_alike(tmp_path, kind, ending):
    """Cells of a good file changed at random: by columns nothing is accepted that the rows refuse, and nothing read in
    another way."""
    values = [
        None, "", 0, -1, 1.5, True, "x", [], [1.0], ["a", "b"], [None, 1], [1, None, 2.5], {"a": 1.0}, 10**30, "unseen",
        [[1.0, 2.0, 3.0], None], "[1", '1, "weight": 2', "1.", ".5", "[1]} {", "2020-01-01",
    ]  # fmt: skip
    good = drawn(kind, n=30, features=1, weight=1, split=1, group=1, told=1)
    names = sorted(set(good[0]) - {"other"})
    for seed in range(25):
        stream = Stream(seed, cell="damage")
        rows = [dict(row) for row in good]
        row = rows[int(stream.child("row").integers(30, 1)[0])]
        value = values[int(stream.child("value").integers(len(values), 1)[0])]
        row[names[int(stream.child("name").integers(len(names), 1)[0])]] = value
        path = tmp_path / f"a{ending}"
        if ending == ".csv":
            rows = [{k: v if isinstance(v, str | None) else json.dumps(v) for k, v in row.items()} for row in rows]
        write(path, rows)
        found = by_columns(path)
        try:
            expected = by_rows(path)
        except InputError:
            assert found is None, value
            continue
        if found is not None:
            assert_same(found, expected)


def _by_hand(kind, items, said):
    """(taken, others, weight, tie) of one answer's choices, in so many words."""
    if kind == "rankings":
        best_first = sorted((rank, place) for place, rank in enumerate(said) if rank < UNRANKED)
        for rank, place in best_first:
            below = [item for item, other in zip(items, said, strict=True) if other > rank]
            if below:
                yield items[place], below, 1.0, False
        return
    pairs = [(a, b) for a in range(len(items)) for b in range(a + 1, len(items))]
    for a, b in pairs:
        better, worse = (a, b) if said[a] >= said[b] else (b, a)
        yield items[better], [items[worse]], (len(items) - 1) / len(pairs), said[a] == said[b]


@pytest.mark.parametrize("kind", ["rankings", "ratings"])
def test_all_at_once_is_one_by_one(kind, monkeypatch):
    monkeypatch.setattr("sim.files.taken_apart._AT_ONCE", 60)
    stream = Stream(3, cell="apart")
    sizes = 2 + stream.child("size").integers(5, 200)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    items = stream.child("items").integers(1000, int(starts[-1]))
    said = 1.0 + stream.child("said").integers(4, int(starts[-1]))
    if kind == "rankings":
        said[said > 3] = UNRANKED
    found = taken_apart(kind, starts, items, said)
    expected = [
        (j, *own)
        for j in range(200)
        for own in _by_hand(kind, *(part[starts[j] : starts[j + 1]].tolist() for part in (items, said)))
    ]
    assert expected == [
        (answer, taken, found.others[lo:hi].tolist(), weight, tie)
        for answer, taken, lo, hi, weight, tie in zip(
            *(part.tolist() for part in (found.answer, found.taken, found.starts[:-1], found.starts[1:], found.weight,
                                         found.tie)), strict=True,
        )
    ]  # fmt: skip
