"""Tables of choices, long and wide: pairs of two, else choices that stay one."""

import pyarrow.parquet as pq
import pytest
from converting import made_of, printed, put
from real_files import real_file

import pluralign as pl
from sim.converters.converter import find_converter
from sim.errors import InputError
from sim.files.answer_files import write_answers
from sim.files.preference_files import read_pairs, table_of_rows
from sim.fitting.splits import is_designed


def long(person, taken, situation, n=3):
    return [{"choice": str(j == taken).upper(), "id": person, "alt": j + 1, "pf": 7 + j, "cl": 5, "chid": situation}
            for j in range(n)]  # fmt: skip


def wide(person, choice, **more):
    return {"id": person, "choiceid": 1, "choice": choice, "price1": 2400, "time1": 150, "price2": 4000, "time2": 130,
            **more}  # fmt: skip


def test_a_long_table_row_by_row(tmp_path):
    made = made_of("choices", tmp_path, long(1, 2, 1) + long(1, 0, 2) + long(2, None, 3), file="t.csv.gz")
    names = ["pf 7, cl 5", "pf 8, cl 5", "pf 9, cl 5"]
    assert [(r["responses"], r["choice"], r["annotator_id"]) for r in made.rows] == [
        (names, 2, "1"), (names, 0, "1"), (names, -1, "2")]  # fmt: skip
    assert made.rows[0]["features"] == [{"pf": 7.0, "cl": 5.0}, {"pf": 8.0, "cl": 5.0}, {"pf": 9.0, "cl": 5.0}]
    assert made.rows[0]["prompt"] == "Which would you choose?"


def test_a_wide_table_of_two_is_pairs(tmp_path):
    made = made_of("choices", tmp_path, [wide(1, "choice1"), wide(2, 2)], file="t.csv")
    assert made.kind == "pairs"
    assert [(r["chosen"], r["rejected"], r["annotator_id"]) for r in made.rows] == [
        ("price 2400, time 150", "price 4000, time 130", "1"), ("price 4000, time 130", "price 2400, time 150", "2"),
    ]  # fmt: skip
    assert made.rows[0]["chosen_features"] == {"price": 2400.0, "time": 150.0}


def test_a_wide_table_of_three_is_choices(tmp_path):
    row = wide(1, "alternative 3", price3=10, time3=20)
    made = made_of("choices", tmp_path, [row, {**row, "choice": 0}], file="t.csv")
    assert [(len(r["responses"]), r["choice"]) for r in made.rows] == [(3, 2), (3, -1)]


@pytest.mark.parametrize(("said", "taken"), [
    ("-1", -1), ("0", -1), ("-1.0", -1), ("2", 1), ("2.0", 1), (" 3", 2), ("alt3", 2), ("alt-1", 0), ("choice: 2", 1),
])  # fmt: skip
def test_the_number_of_an_alternative_is_read_with_its_sign(tmp_path, said, taken):
    """-1 is how everything else here writes that none was taken."""
    rows = [wide(1, said, price3=10, time3=20), wide(1, "1", price3=10, time3=20)]
    assert [row["choice"] for row in made_of("choices", tmp_path, rows, file="t.csv").rows] == [taken, 0]


@pytest.mark.parametrize("said", ["-2", "-3.0", "4", "\u22121", "choice: -1", "$2", ".2", "2.5", "none", ""])
def test_what_is_no_alternatives_number_is_a_bad_row(tmp_path, said):
    rows = [wide(1, said, price3=10, time3=20)]
    with pytest.raises(InputError, match=r"row 2, field 'choice': expected the number of .* \(1, 2, 3; none"):
        made_of("choices", tmp_path, rows, file="t.csv")


def test_a_choice_of_none_where_two_are_offered_makes_no_pair(tmp_path):
    made = made_of("choices", tmp_path, [wide(1, -1), wide(2, 2)], file="t.csv")
    assert (made.kind, [row["choice"] for row in made.rows]) == ("choices", [-1, 1])


def test_alternatives_that_differ_in_their_last_digits_are_two(tmp_path):
    """Texts of six digits called these one: the choice was left out, and others' file no longer had one item a text."""
    third = {"price3": 2400.000002, "time3": 150}
    rows = [wide(1, 1, price1=2400.000001, **third), wide(1, 3, price1=2400.000003, **third), wide(2, 0, **third)]
    made = made_of("choices", tmp_path, rows, file="t.csv")
    assert (len(made), made.left_out) == (3, {})
    assert [row["responses"][0] for row in made.rows] == [
        "price 2400.000001, time 150", "price 2400.000003, time 150", "price 2400, time 150"]  # fmt: skip
    write_answers(tmp_path / "c.parquet", made.rows, made.kind)
    table = read_pairs(tmp_path / "c.parquet")
    assert len(table) == 3
    assert is_designed(table)


def test_designed_items_are_known_by_texts_of_either_length(tmp_path):
    """Large, small, negative and long numbers; and six digits, as texts once had."""
    values = [1e6, 1e16, 1e-7, -2.0, 0.1, 1 / 3, 123456789.123, -0.0]
    for spell in (lambda value: repr(value + 0.0).removesuffix(".0"), lambda value: f"{value:g}"):
        rows = [{"responses": [f"price {spell(value)}", "price 5"], "choice": 0, "annotator_id": "a",
                 "features": [{"price": value}, {"price": 5.0}]} for value in values]  # fmt: skip
        assert is_designed(table_of_rows(rows, "rows"))
        rows[0]["responses"][0] = "price"
        assert not is_designed(table_of_rows(rows, "rows"))


def test_columns_of_other_names(tmp_path):
    rows = [{"who": r["id"], "picked": r["choice"], "option": r["alt"], "task": r["chid"], "pf": r["pf"]}
            for r in long(1, 1, 1)]  # fmt: skip
    said = printed(tmp_path, "choices", put(tmp_path, rows, "t.csv"), "--out", tmp_path / "o.jsonl", "--person", "who",
                   "--choice", "picked", "--alternative", "option", "--situation", "task")  # fmt: skip
    assert "1 choice of 1 annotator" in said
    assert "cite them" in said


def test_columns_with_dots_in_their_names(tmp_path):
    """As R writes wide tables (price.1), and data frames what they took out of objects (price.eur)."""
    row = wide(1, 2)
    dotted = {name.replace("price", "price.").replace("time", "time_"): value for name, value in row.items()}
    assert {"price.1", "time_2"} < set(dotted)
    assert made_of("choices", tmp_path, [dotted], file="t.csv").rows == made_of("choices", tmp_path, [row]).rows
    rows = [{"my.id": 1, "choice": int(j == 1), "alt": j, "chid": 1, "price.eur": 3 + j} for j in (1, 2)]
    made = made_of("choices", tmp_path, rows, file="t.csv", person="my.id")
    assert (made.rows[0]["annotator_id"], made.rows[0]["chosen_features"]) == ("1", {"price.eur": 4.0})
    model = pl.conditional_logit(put(tmp_path, rows, "long.csv"), person="my.id", ridge=0.1)
    assert model.features == ("price.eur",)


def test_left_out_and_bad_rows(tmp_path):
    twice = long(1, 0, 1)
    twice[1]["choice"] = "TRUE"
    with pytest.raises(InputError, match="row 3, field 'choice': a second alternative is chosen"):
        made_of("choices", tmp_path, twice, file="t.csv")
    with pytest.raises(InputError, match="row 2, field 'choice': expected the number of an alternative"):
        made_of("choices", tmp_path, [wide(1, "choice7")], file="t.csv")
    with pytest.raises(InputError, match="row 2, field 'time2': expected a number, got 'soon'"):
        made_of("choices", tmp_path, [wide(1, "choice1", time2="soon")], file="t.csv")
    with pytest.raises(InputError, match="field 'chid': the column is missing; add a column 'chid'"):
        made_of("choices", tmp_path, [{k: v for k, v in r.items() if k != "chid"} for r in long(1, 0, 1)])
    same = [{**row, "pf": 7} for row in long(1, 0, 1)]
    made = made_of("choices", tmp_path, same + long(1, 0, 2) + long(1, 0, 3, n=1), skip_bad=True, file="t.csv")
    assert (len(made), made.left_out) == (
        1, {"choices between alternatives that are the same": 1, "bad row, field 'choice'": 1})  # fmt: skip


def test_alternatives_with_the_same_attributes_stay_apart(tmp_path):
    rows = [{**row, "pf": row["pf"] % 2} for taken in (0, 2) for row in long(1, taken, taken)]
    made = made_of("choices", tmp_path, rows, file="t.csv")
    names = ["pf 1, cl 5", "pf 0, cl 5", "pf 1, cl 5 (2)"]
    assert ([(row["responses"], row["choice"]) for row in made.rows], made.left_out) == (
        [(names, 0), (names, 2)], {})  # fmt: skip
    table = table_of_rows(made.rows, "t")
    assert list(table.offered.starts) == [0, 2, 4]
    first, second = (table.items.index(name) for name in names[::2])
    assert (table.features[first] == table.features[second]).all()


def test_the_same_alternatives_say_something_beside_none(tmp_path):
    same = [{**row, "pf": 7} for row in long(1, 0, 1)]
    made = made_of("choices", tmp_path, same + long(1, None, 2), file="t.csv")
    assert ([row["choice"] for row in made.rows], made.left_out) == ([0, -1], {})
    assert made_of("choices", tmp_path, same + long(1, 0, 2), file="t.csv").left_out == {
        "choices between alternatives that are the same": 1
    }


def test_electricity(tmp_path):
    made = find_converter("choices").answers([real_file("choices/electricity.csv.gz")], "choices")
    assert (made.kind, len(made), len(made.annotators), made.left_out) == ("choices", 4308, 361, {})
    assert {len(row["responses"]) for row in made.rows} == {4}
    write_answers(tmp_path / "e.parquet", made.rows, made.kind)
    assert pq.read_table(tmp_path / "e.parquet").num_rows == 4308


def test_train(tmp_path):
    made = find_converter("choices").answers([real_file("choices/train.csv.gz")], "choices")
    assert (made.kind, len(made), len(made.annotators), made.left_out) == ("pairs", 2929, 235, {})
    write_answers(tmp_path / "t.parquet", made.rows, made.kind)
    table = read_pairs(tmp_path / "t.parquet")
    assert (len(table), table.n_annotators) == (2929, 235)
    assert table.feature_names == ("price", "time", "change", "comfort")
