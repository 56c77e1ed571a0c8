"""Answers read by columns are those read row by row, whatever file they lie in; what is wrong is said row by row."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_both_ways import assert_same, by_columns, by_rows, write

from sim.errors import InputError
from sim.files.preference_files import read_pairs
from sim.streams import Stream

FIELDS = ("items", "feature_names", "prompts", "annotators", "group", "annotator_feature_names", "left_out", "kind")


def drawn(seed, n=400, people=17, items=23, **forms):
    """Rows of made-up answers. forms: which optional columns they have."""
    stream = Stream(seed, cell="answers")
    item = np.array([stream.child(str(j)).permutation(items)[:2] for j in range(n)])
    person = stream.child("person").integers(people, n)
    vectors = np.round(stream.child("vectors").normals((items, 3)), 3)
    told = np.round(stream.child("told").normals((people, 2)), 3)
    rows = []
    for j in range(n):
        a, b = item[j].tolist()
        who = int(person[j])
        row = {"prompt": f"question {j % 5}", "chosen": f"text {a}", "rejected": f"text {b}", "annotator_id": f"p{who}"}
        if "vectors" in forms:
            row |= {"chosen": vectors[a].tolist(), "rejected": vectors[b].tolist()}
        if "numbers" in forms:
            row |= {"chosen": a, "rejected": b, "annotator_id": who}
        if "features" in forms:
            row |= {"chosen_features": vectors[a].tolist(), "rejected_features": vectors[b].tolist()}
        if "named" in forms:
            row |= {f"{side}_features": dict(zip(("wit", "age", "a b"), vectors[k].tolist(), strict=True))
                    for side, k in (("chosen", a), ("rejected", b))}  # fmt: skip
        if "weight" in forms:
            row["weight"] = 0.5 + j % 3
        if "split" in forms:
            row["split"] = "unseen" if who > 12 else "train" if j % 4 else "test"
        if "group" in forms:
            row["group_id"] = f"g{who % 3}" if who % 5 else None
        if "told" in forms:
            row["annotator_features"] = told[who].tolist() if j % 2 == 0 or "always" in forms else None
        if "ties" in forms:
            row["tie"] = j % 7 == 0
        if "strength" in forms:
            row["strength"] = 1 + j % 3
        row["other"] = {"deep": [j]}
        rows.append(row)
    return rows


FORMS = [
    {}, {"vectors": 1}, {"numbers": 1}, {"features": 1, "weight": 1}, {"named": 1, "split": 1},
    {"group": 1, "ties": 1}, {"strength": 1, "told": 1, "always": 1},
    {"features": 1, "told": 1, "split": 1, "weight": 1},
]  # fmt: skip


@pytest.mark.parametrize("forms", FORMS, ids=lambda forms: "+".join(forms) or "plain")
@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_columns_are_rows(tmp_path, ending, forms):
    path = write(tmp_path / f"a{ending}", drawn(1, **forms))
    found = by_columns(path)
    assert found is not None
    assert_same(found, by_rows(path))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".csv.zst", ".tsv"])
@pytest.mark.parametrize("forms", [{}, {"weight": 1, "split": 1, "group": 1}], ids=["plain", "more"])
def test_comma_separated(tmp_path, ending, forms):
    rows = drawn(2, **forms)
    path = write(tmp_path / f"a{ending}", rows)
    found = by_columns(path)
    assert found is not None
    assert_same(found, by_rows(path))
    lines = write(tmp_path / "a.jsonl", rows)
    for name in FIELDS:
        assert getattr(found, name) == getattr(read_pairs(lines), name)


def test_ties_and_strengths_of_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        "\ufeffprompt;chosen;rejected;worker;tie;strength\r\n"
        'q;"a; or\r\nb";c;1.0;true;2\r\nq;c;"a; or\r\nb";2;False;1\r\n'.encode()
    )
    table = read_pairs(path)
    assert table.items == ("a; or\r\nb", "c")
    assert table.annotators == ("1", "2")
    assert table.tie.tolist() == [True, False]
    assert table.strength.tolist() == [2, 1]
    assert_same(by_columns(path), by_rows(path))


def test_batches_of_one_file_are_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr("sim.files.arrow_batches.BATCH", 29)
    for ending, form in ((".parquet", "features"), (".jsonl", "named"), (".jsonl", "vectors")):
        path = write(tmp_path / f"a{ending}", drawn(3, **{form: 1}, told=1, group=1, ties=1))
        assert_same(by_columns(path), by_rows(path))


def test_a_folder_of_shards_is_one_table_and_names_the_shard(tmp_path):
    rows = drawn(4, weight=1)
    whole = write(tmp_path / "whole.jsonl", rows)
    shards = tmp_path / "shards"
    shards.mkdir()
    for k in range(4):
        write(shards / f"part-{k}.jsonl.gz", rows[100 * k : 100 * (k + 1)])
    (shards / "README.md").write_text("what this is")
    found, expected = read_pairs(shards), read_pairs(whole)
    assert by_columns(shards) is not None
    assert (found.items, found.annotators, found.prompts) == (expected.items, expected.annotators, expected.prompts)
    assert (found.chosen == expected.chosen).all()
    assert (found.weights == expected.weights).all()
    rows[250]["weight"] = -1
    write(shards / "part-2.jsonl.gz", rows[200:300])
    with pytest.raises(InputError, match=r"part-2\.jsonl\.gz, row 51, field 'weight'"):
        read_pairs(shards)
    write(shards / "x.parquet", rows)
    with pytest.raises(InputError, match="files of different kinds"):
        read_pairs(shards)


def test_what_datasets_saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [{k: v for k, v in row.items() if k != "other"} for row in drawn(5, features=1)]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"), num_shards=3)
    found = by_columns(tmp_path / "saved")
    assert found is not None
    assert_same(found, by_rows(tmp_path / "saved"))
    assert (found.features == read_pairs(write(tmp_path / "a.jsonl", rows)).features).all()
    one = datasets.Dataset.from_list(rows)
    datasets.DatasetDict({"only": one}).save_to_disk(str(tmp_path / "one"))
    assert_same(by_columns(tmp_path / "one"), by_rows(tmp_path / "one"))
    assert by_columns(tmp_path / "one").annotators == found.annotators
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(str(tmp_path / "both"))
    with pytest.raises(InputError, match=r"holds several splits; give one of them, for example .*both/train"):
        read_pairs(tmp_path / "both")
    chosen = datasets.load_from_disk(str(tmp_path / "saved")).select([5, 3, 1])
    chosen.save_to_disk(str(tmp_path / "chosen"))
    assert len(read_pairs(tmp_path / "chosen")) == 3


def test_every_form_of_text_column(tmp_path):
    rows = [{k: v for k, v in row.items() if k != "other"} for row in drawn(6)]
    plain = pa.Table.from_pylist(rows)
    expected = by_rows(write(tmp_path / "a.parquet", rows))
    for kind in (
        pa.large_string(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int32(), pa.large_string()),
    ):
        path = tmp_path / "b.parquet"
        pq.write_table(pa.table({name: plain[name].cast(kind) for name in plain.column_names}), path)
        found = by_columns(path)
        assert found is not None
        assert_same(found, by_rows(path))
        assert found.items == expected.items


def test_columns_of_a_pandas_index_are_left_alone(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame([{k: v for k, v in row.items() if k != "other"} for row in drawn(7, numbers=1)])
    frame["chosen"] = frame["chosen"].astype("category")
    frame.iloc[::-1].to_parquet(tmp_path / "a.parquet")
    assert_same(read_pairs(tmp_path / "a.parquet"), by_rows(tmp_path / "a.parquet"))
    frame.set_index("annotator_id").to_parquet(tmp_path / "b.parquet")
    assert read_pairs(tmp_path / "b.parquet").n_annotators == 17


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".csv"])
def test_numbers_name_people_by_value(tmp_path, ending):
    rows = [{"chosen": "a", "rejected": "b", "annotator_id": who} for who in (1.0, 2.0, 1.0, 2.5)]
    if ending == ".csv":
        (tmp_path / "a.csv").write_text(
            "chosen,rejected,annotator_id\n" + "".join(f"a,b,{r['annotator_id']}\n" for r in rows)
        )
    else:
        write(tmp_path / f"a{ending}", rows)
    assert read_pairs(tmp_path / f"a{ending}").annotators == ("1", "2", "2.5")
    assert_same(read_pairs(tmp_path / f"a{ending}"), by_rows(tmp_path / f"a{ending}"))


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf"), ""])
@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_nobody_is_called_nan(tmp_path, nothing, ending):
    who = ["x", "y", nothing] if nothing == "" else [1.0, 2.0, nothing]
    path = write(tmp_path / f"a{ending}", [{"chosen": "a", "rejected": "b", "annotator_id": one} for one in who])
    with pytest.raises(InputError, match="row 3, field 'annotator_id': expected a name or number"):
        read_pairs(path)


def test_lines_are_counted_as_the_file_has_them(tmp_path):
    path = tmp_path / "a.jsonl"
    good = json.dumps({"chosen": "a", "rejected": "b", "annotator_id": "x"})
    path.write_text(f'\n\n{good}\n\n\n{good[:-1]}, "weight": 1}}\n')
    with pytest.raises(InputError, match="row 3, field 'weight'"):
        read_pairs(path)


def test_an_answer_under_two_prompts_may_be_two_items(tmp_path):
    refusal = {"chosen": "I cannot.", "rejected_features": [9.0], "annotator_id": "x"}
    rows = [
        {**refusal, "prompt": "p", "rejected": "b", "chosen_features": [1.0]},
        {**refusal, "prompt": "q", "rejected": "c", "chosen_features": [2.0]},
        {**refusal, "prompt": "q", "rejected": "d", "chosen_features": [2.0 + 1e-9]},
    ]
    table = read_pairs(write(tmp_path / "a.jsonl", rows))
    assert table.items == ("I cannot.", "b", "I cannot.", "c", "d")
    assert table.features[:, 0].tolist() == [1.0, 9.0, 2.0, 9.0, 9.0]
    assert table.chosen.tolist() == [0, 2, 2]
    assert_same(by_columns(tmp_path / "a.jsonl"), by_rows(tmp_path / "a.jsonl"))
    rows.append({**refusal, "prompt": "q", "rejected": "c", "chosen_features": [3.0]})
    said = (
        r"row 4, field 'chosen_features': item 'I cannot\.' has other features here than before under the same prompt"
    )
    with pytest.raises(InputError, match=said):
        read_pairs(write(tmp_path / "a.jsonl", rows))


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_differences_of_rounding_are_one_item(tmp_path, ending):
    exact = [0.1, 123456.789, -3e-7]
    single = np.array(exact, dtype=np.float32).astype(float).tolist()
    row = {"chosen": "a", "rejected": "b", "annotator_id": "x", "rejected_features": [1.0] * 3}
    rows = [{**row, "chosen_features": own} for own in (exact, single)]
    path = write(tmp_path / f"a{ending}", rows)
    assert by_columns(path).features[0].tolist() == exact
    assert_same(by_columns(path), by_rows(path))


@pytest.mark.parametrize("form", ["plain", "vectors", "numbers", "features"])
@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_rows_that_say_nothing_are_left_out_by_columns_too(tmp_path, monkeypatch, ending, form):
    monkeypatch.setattr("sim.files.arrow_batches.BATCH", 50)
    rows = [{**row, "weight": 1.0} for row in drawn(9, told=1, group=1, **({} if form == "plain" else {form: 1}))]
    for j in (0, 7, 8, 120):
        rows[j]["rejected"] = rows[j]["chosen"]
    for j in (3, 8, 399):
        rows[j]["weight"] = 0.0
    # Somebody, and an answer, that only a row which says nothing has.
    rows[7]["annotator_id"] = 99 if form == "numbers" else "nobody"
    path = write(tmp_path / f"a{ending}", rows)
    found = by_columns(path)
    assert found is not None
    assert_same(found, by_rows(path))
    assert dict(found.left_out) == {
        "of weight 0": 3, "whose two answers are the same, which say nothing": 3,
    }  # fmt: skip


def test_rows_that_say_nothing_are_left_out_and_counted(tmp_path):
    rows = [{**row, "weight": 1.0} for row in drawn(8, n=6)]
    rows[1]["weight"], rows[4]["weight"] = 0, 0
    rows[2]["rejected"] = rows[2]["chosen"]
    table = read_pairs(write(tmp_path / "a.jsonl", rows))
    assert len(table) == 3
    assert [count for _, count in table.left_out] == [2, 1]


def test_bytes_are_text_or_refused(tmp_path):
    rows = [{"chosen": "größer".encode(), "rejected": b"b", "annotator_id": b"x", "prompt": b"q"}]
    table = read_pairs(write(tmp_path / "a.parquet", rows))
    assert (table.items, table.annotators, table.prompts) == (("größer", "b"), ("x",), ("q",))
    rows[0]["rejected"] = b"\xff\xfe"
    with pytest.raises(InputError, match="row 1, field 'rejected': is bytes that are no text in UTF-8"):
        read_pairs(write(tmp_path / "a.parquet", rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tie": "yes"}, "row 3, field 'tie': expected true or false, got 'yes'"),
        ({"strength": 1.5}, "row 3, field 'strength': expected a whole number from 1 to 100, got 1.5"),
        ({"strength": 0}, "row 3, field 'strength': expected a whole number from 1 to 100, got 0"),
        ({"strength": 101}, "row 3, field 'strength': expected a whole number from 1 to 100, got 101"),
        ({"strength": None}, "row 3, field 'strength': is empty here and not in other rows"),
    ],
)
def test_ties_and_strengths_are_checked(tmp_path, change, message):
    rows = [{"chosen": "a", "rejected": "b", "annotator_id": "x", "tie": False, "strength": 2} for _ in range(4)]
    rows[2] |= change
    with pytest.raises(InputError) as caught:
        read_pairs(write(tmp_path / "a.jsonl", rows))
    assert message in str(caught.value)


@pytest.mark.parametrize("seed", range(25))
def test_damaged_files_are_refused_or_read_alike(tmp_path, seed):
    """One cell of a good file changed at random: by columns nothing is accepted that the rows refuse."""
    stream = Stream(seed, cell="damage")
    rows = drawn(seed, n=40, features=1, weight=1, split=1, group=1, told=1, always=1, ties=1, strength=1)
    values = [
        None,
        "",
        0,
        -1,
        1.5,
        True,
        "x",
        [],
        [1.0],
        [1.0, 2.0, 3.0],
        {"a": 1.0},
        float("nan"),
        10**30,
        "unseen",
    ]
    names = sorted(set(rows[0]) - {"other"})
    row = rows[int(stream.child("row").integers(40, 1)[0])]
    name = names[int(stream.child("name").integers(len(names), 1)[0])]
    value = values[int(stream.child("value").integers(len(values), 1)[0])]
    row[name] = value
    path = write(tmp_path / "a.jsonl", rows)
    found = by_columns(path)
    try:
        expected = by_rows(path)
    except InputError:
        assert found is None
        return
    if found is not None:
        assert_same(found, expected)


def test_conversations_are_kept_whole(tmp_path):
    asked = [{"role": "user", "content": "Why?"}]
    rows = [
        {"prompt": asked, "chosen": [{"content": "So.", "role": "assistant"}],
         "rejected": [{"role": "assistant", "content": "No."}], "annotator_id": "x"},
        {"prompt": asked, "chosen": [{"role": "assistant", "content": "So."}],
         "rejected": [{"role": "assistant", "content": "Well."}], "annotator_id": "y"},
    ]  # fmt: skip
    table = read_pairs(write(tmp_path / "a.jsonl", rows))
    assert table.kind == "conversation"
    assert [json.loads(item)[0]["content"] for item in table.items] == ["So.", "No.", "Well."]
    assert table.chosen.tolist() == [0, 0]
    assert json.loads(table.prompts[0]) == [{"content": "Why?", "role": "user"}]
    rows[1]["chosen"][0]["role"] = "bot"
    with pytest.raises(InputError, match="row 2, field 'chosen': message 1 has the role 'bot'; use one of system"):
        read_pairs(write(tmp_path / "a.jsonl", rows))


@pytest.mark.parametrize("strength", [None, 1])
def test_a_tie_needs_no_strength(tmp_path, strength):
    rows = [
        {"chosen": "a", "rejected": "b", "annotator_id": "x", "tie": True, "strength": strength},
        {"chosen": "a", "rejected": "c", "annotator_id": "x", "tie": False, "strength": 2},
    ]
    path = write(tmp_path / "a.jsonl", rows)
    table = read_pairs(path)
    assert (table.tie.tolist(), table.strength.tolist()) == ([True, False], [strength or 0, 2])
    assert_same(table, by_rows(path))
    rows[0]["tie"] = False
    if strength is None:
        with pytest.raises(InputError, match="is empty here and not in other rows"):
            read_pairs(write(tmp_path / "b.jsonl", rows))


@pytest.mark.parametrize("index", [pa.int8(), pa.int32()])
def test_values_of_a_dictionary_that_no_row_has_are_nobody(tmp_path, index):
    """Data frames keep the categories of rows that were filtered out, sorted and not in the order of the rows."""
    names = pa.array([f"name {j:03}" for j in range(128)])
    rows = {"chosen": [7, 3, 9], "rejected": [1, 7, 3], "annotator_id": [5, 5, 2], "prompt": [9, 0, 9]}
    columns = {
        name: pa.DictionaryArray.from_arrays(pa.array(places, index), names) for name, places in rows.items()
    }  # fmt: skip
    columns["group_id"] = pa.DictionaryArray.from_arrays(pa.array([8, 8, None], index), names)
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = by_columns(tmp_path / "a.parquet")
    assert_same(found, by_rows(tmp_path / "a.parquet"))
    assert (found.annotators, found.prompts) == (("name 005", "name 002"), ("name 009", "name 000"))
    assert (found.n_annotators, found.group) == (2, ("name 008", ""))


def test_whole_numbers_beyond_64_bits_stay_two_people(tmp_path):
    """Arrow reads them as decimal numbers, which are equal."""
    rows = [
        {"chosen": "a", "rejected": "b", "annotator_id": who} for who in (12345678901234567890, 12345678901234567891)
    ]
    path = write(tmp_path / "a.jsonl", [])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_pairs(path).annotators == ("12345678901234567890", "12345678901234567891")


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv"])
def test_an_empty_group_is_none(tmp_path, ending):
    """Not a group without a name; and somebody whose group some of her rows tell is in it."""
    rows = drawn(5, n=60, group=1)
    for row in rows:
        del row["other"]
    some = [{**row, "group_id": "" if j % 3 or row["group_id"] is None else row["group_id"]}
            for j, row in enumerate(rows)]  # fmt: skip
    path = write(tmp_path / f"a{ending}", some)
    found = by_rows(path)
    assert_same(by_columns(path), found)
    told = {row["annotator_id"]: row["group_id"] for row in some if row["group_id"]}
    assert found.group == tuple(told.get(name, "") for name in found.annotators)
    path = write(tmp_path / f"b{ending}", [{**row, "group_id": ""} for row in rows])
    assert by_rows(path).group is None
    assert_same(by_columns(path), by_rows(path))
