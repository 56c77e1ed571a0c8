"""Tables that converters read are read as answers are: columns once, names by value, quotes that close."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pluralign as pl
from sim.errors import InputError

COLUMNS = {"chosen": "better", "rejected": "worse", "annotator": "who"}
LONG = "choice,id,alt,chid,pf,{}\n" + "".join(
    f"{j == c % 3},p{c % 4},{j},{c},{j * c % 5},{j * j % 3}\n" for c in range(12) for j in range(3)
)
WIDE = "id,choice,price1,price2,{}\na,1,5,4,3\nb,2,4,5,3\n"


def _written(folder, text, ending=".csv"):
    path = folder / f"t{ending}"
    if ending == ".parquet":
        names, *rows = [line.split(",") for line in text.splitlines()]
        pq.write_table(pa.table([pa.array(column) for column in zip(*rows, strict=True)], names=names), path)
    else:
        path.write_text(text.replace(",", "\t") if ending == ".tsv" else text)
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_a_column_that_stands_twice_is_an_error(tmp_path, ending):
    """Its last column was read, and the first was gone without a word."""
    path = _written(tmp_path, "better,worse,who,better\nA,B,u1,C\nA,D,u2,E\n", ending)
    with pytest.raises(InputError, match="field 'better': the column stands twice; keep one of them"):
        pl.convert("columns", path, **COLUMNS)
    answers = _written(tmp_path, "chosen,rejected,annotator_id,chosen\nA,B,u1,C\nA,D,u2,E\n", ending)
    with pytest.raises(InputError, match="field 'chosen': the column stands twice"):
        pl.read_pairs(answers)
    with pytest.raises(InputError, match="field 'pf': the column stands twice"):
        pl.conditional_logit(_written(tmp_path, LONG.format("pf"), ending))
    assert pl.conditional_logit(_written(tmp_path, LONG.format("cl"))).features == ("pf", "cl")
    with pytest.raises(InputError, match="field 'price2': the column stands twice"):
        pl.convert("choices", _written(tmp_path, WIDE.format("price2"), ending))
    with pytest.raises(InputError, match="field 'price_2': is 'price' of alternative 2 a second time"):
        pl.convert("choices", _written(tmp_path, WIDE.format("price_2"), ending))


def test_ratings_with_a_column_twice_are_an_error(tmp_path):
    from sim.converters.movielens_files import read_ratings

    path = _written(tmp_path, "userId,movieId,rating,rating\n1,1,4,5\n")
    with pytest.raises(InputError, match="field 'rating': the column stands twice"):
        read_ratings(path, {"1"}, path)


def test_columns_without_a_name_are_no_columns(tmp_path):
    """As data frames write their index, and spreadsheets columns that were emptied."""
    path = _written(tmp_path, ",chosen,rejected,annotator_id,\n0,A,B,u1,\n1,A,D,u2,\n")
    assert len(pl.read_pairs(path)) == 2
    made = pl.convert("columns", path, chosen="chosen", rejected="rejected", annotator="annotator_id")
    assert [row["rejected"] for row in made.rows] == ["B", "D"]


def test_names_in_a_header_have_no_spaces_around_them(tmp_path):
    path = _written(tmp_path, " who, worse ,better\nu1,B,A\nu2,D,E\n")
    made = pl.convert("columns", path, **COLUMNS)
    assert [row["chosen"] for row in made.rows] == ["A", "E"]


def test_1_and_1_0_are_one_person_in_cells_and_two_in_texts_of_json(tmp_path):
    cells = "{},{},{}\n1.0,B,A\n1,D,E\n1.50,D,F\n"
    path = _written(tmp_path, cells.format("who", "worse", "better"))
    assert pl.convert("columns", path, **COLUMNS).annotators == ("1", "1.50")
    assert pl.read_pairs(_written(tmp_path, cells.format("annotator_id", "rejected", "chosen"))).annotators == (
        "1", "1.50")  # fmt: skip
    lines = tmp_path / "t.jsonl"
    lines.write_text("".join(f'{{"who": "{who}", "better": "A", "worse": "B"}}\n' for who in ("1.0", "1")))
    assert pl.convert("columns", lines, **COLUMNS).annotators == ("1.0", "1")


@pytest.mark.parametrize(("text", "row"), [
    ('who,worse,better\nu1,B,A\nu1,C,"A\nu2,D,E\nu3,F,G\n', 3),
    ('who,worse,better\nu1,B,A\nu1,"C"x,A\nu2,D,E\n', 3),
    ('who,worse,better\nu1,"B,A\nu1,C,A\nu2,"D,E\n', 2),
])  # fmt: skip
def test_a_quote_lost_or_too_many_is_an_error(tmp_path, text, row):
    """Of four rows two were converted, one of them with the text of three.  No bad row: others may be inside it."""
    for more in ({}, {"skip_bad": True}):
        with pytest.raises(InputError, match=f"row {row}: is not whole CSV"):
            pl.convert("columns", _written(tmp_path, text), **COLUMNS, **more)
