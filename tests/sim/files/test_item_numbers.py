"""Answers that are numbers in texts: 27 and 27.0 are one item, in every form of file and in the converter."""

import json
from pathlib import Path

import pandas as pd
import pytest

import pluralign as pl
from sim.files.answer_sources import read_row_set
from sim.files.preference_files import read_pairs, table_of_row_set

# `rejected` met an empty cell once, as `pandas.read_csv` and `to_csv` leave it.
ROWS = [("1", "27", "32.0"), ("1", "10", "27.0"), ("2", "32", "5.0"), ("2", "5", "27.0"), ("2", "-3", "10.0")]
ITEMS = ("27", "32", "10", "5", "-3")
COLUMNS = {"chosen": "chosen", "rejected": "rejected", "annotator": "annotator_id"}


def _write(place: Path, rows=ROWS, names=("annotator_id", "chosen", "rejected")):
    frame = pd.DataFrame(rows, columns=names)
    if place.suffix == ".csv":
        frame.to_csv(place, index=False)
    elif place.suffix == ".parquet":
        frame.to_parquet(place)
    else:
        place.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    return place


ENDINGS = ["csv", "jsonl", "parquet"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_number_is_one_item(tmp_path, ending):
    path = _write(tmp_path / f"t.{ending}")
    table = read_pairs(path)
    assert table.items == ITEMS
    assert [(table.items[a], table.items[b]) for a, b in zip(table.chosen, table.rejected, strict=True)] == [
        (a, b.removesuffix(".0")) for _, a, b in ROWS
    ]
    assert table_of_row_set(read_row_set(path), path).items == ITEMS
    assert pl.read_pairs(pd.DataFrame(ROWS, columns=["annotator_id", "chosen", "rejected"])).items == ITEMS


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_converter_of_columns_too(tmp_path, ending):
    rows = pl.convert("columns", _write(tmp_path / f"t.{ending}"), **COLUMNS).rows
    assert [(row["chosen"], row["rejected"]) for row in rows] == [(a, b.removesuffix(".0")) for _, a, b in ROWS]


@pytest.mark.parametrize("ending", ENDINGS)
def test_beside_texts_they_are_texts(tmp_path, ending):
    path = _write(tmp_path / f"t.{ending}", [*ROWS, ("2", "3", "3.0"), ("1", "none", "10")])
    assert {"27", "27.0", "3", "3.0", "none"} <= set(read_pairs(path).items)
    assert table_of_row_set(read_row_set(path), path).items == read_pairs(path).items
    rows = pl.convert("columns", path, **COLUMNS).rows
    assert ("3", "3.0") in [(row["chosen"], row["rejected"]) for row in rows]


@pytest.mark.parametrize(
    "rows",
    [
        [("1", "27.0", "32.0"), ("1", "5.5", "27.0")],
        [("1", "27", "32.0"), ("1", "5", "27"), ("1", "5", "5.0")],
        [("1", "27", "32.0", 1.0), ("1", "5", "27", 1.0), ("1", "a text", "27.0", 0.0)],
        [("1", "27", "32.0"), ("1", "5", "5"), ("1", "same", "same")],
    ],
    ids=["decimals throughout", "the same number twice in a row", "weight zero", "a text twice in a row"],
)
def test_both_passes_agree(tmp_path, rows):
    path = _write(tmp_path / "t.csv", rows, ("annotator_id", "chosen", "rejected", "weight")[: len(rows[0])])
    table, other = read_pairs(path), table_of_row_set(read_row_set(path), path)
    assert (table.items, table.left_out) == (other.items, other.left_out)
    assert not any(item.endswith(".0") for item in table.items)
