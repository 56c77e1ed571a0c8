"""Ids that are numbers, and the index that a data frame writes, are names and no columns of a table."""

import io

import numpy as np
import pandas as pd
import pytest

import pluralign as pl
from sim.errors import InputError
from sim.files.number_tables import read_number_table

WORDS = {"row": "group", "column": "policy", "entry": "the regret"}
VALUES = [[1.25, 0.5], [0.75, 2.0]]
FRAME = pd.DataFrame(VALUES, columns=["short", "warm"])


def _csv(frame, **options):
    text = io.StringIO()
    frame.to_csv(text, **options)
    return text.getvalue()


WITH_IDS = FRAME.assign(annotator_id=[101, 102])[["annotator_id", "short", "warm"]]
FORMS = {
    "ids": (_csv(WITH_IDS, index=False), ("101", "102")),
    "ids that became decimals": (_csv(WITH_IDS.astype(float), index=False), ("101", "102")),
    "an index": (_csv(FRAME), ("0", "1")),
    "an index of decimals": (_csv(FRAME.set_axis([0.1, 0.2])), ("0.1", "0.2")),
    "an index, read and written again": (_csv(pd.read_csv(io.StringIO(_csv(FRAME))), index=False), ("0", "1")),
    "an index that is called as a row is": (_csv(FRAME.rename_axis("group")), ("0", "1")),
    "as R writes it": ('"","short","warm"\n"1",1.25,0.5\n"2",0.75,2\n', ("1", "2")),
    "semicolons": (_csv(WITH_IDS, index=False, sep=";", decimal=","), ("101", "102")),
}


@pytest.mark.parametrize(("text", "names"), FORMS.values(), ids=FORMS)
def test_a_first_column_is_names_where_its_header_says_so(tmp_path, text, names):
    (tmp_path / "t.csv").write_text(text)
    table = read_number_table(tmp_path / "t.csv", **WORDS)
    assert (table.rows, table.columns) == (names, ("short", "warm"))
    np.testing.assert_array_equal(table.values, VALUES)


@pytest.mark.parametrize("first", ["", "annotator_id", "id", "group", "User", "party_id"])
def test_columns_called_by_numbers_have_a_header(tmp_path, first):
    (tmp_path / "t.csv").write_text(f"{first},2020,2021\n1,1.25,0.5\n2,0.75,2\n")
    table = read_number_table(tmp_path / "t.csv", **WORDS)
    assert (table.rows, table.columns) == (("1", "2"), ("2020", "2021"))


@pytest.mark.parametrize("text", ["short,warm\n1,2\n3,4\n", "1,2\n3,4\n", "a,1,2\nb,3,4\n", "user,0.5,2\nb,3,4\n"])
def test_other_first_columns_are_as_they_were(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    table = read_number_table(tmp_path / "t.csv", **WORDS)
    assert table.values.tolist()[1] == [3, 4]
    assert len(table.columns) == 2


REFUSED = {
    "id,a,b\n1.5,1,2\n2,2,3\n": "t.csv, row 2, field 'id': the column is headed as one of names, and holds '1.5'; give "
    "whole numbers or texts as names, or rename it if it is a policy",
    ",annotator_id,a\n0,7,1\n1,8,2\n": "t.csv, field 'annotator_id': is no name of a policy but of ids; put the column",
    "a,b,id\n1,2,7\n3,4,8\n": "t.csv, field 'id': is no name of a policy but of ids",
    "g,a,\nx,1,2\ny,3,4\n": "t.csv: a policy has no name; name every column, or leave it out",
    "2020,2021\n1,2\n": "t.csv, row 1: may be a header of years, or numbers; give the columns names that are no",
    "land,2020,2021\nDE,1,2\n": "row 1: may be a header of years, or numbers; head the column of names 'group' if it",
    "g,a,b\nx,1,2\n\nx,3,4\n": "t.csv, row 4: group 'x' stands twice, first in row 2; give every row a name of its own",
    "g,a,a\nx,1,2\ny,3,4\n": "t.csv, field 'a': the column stands twice; keep one of them",
    "id,a,b\n1,1,2\n1.0,3,4\n": "t.csv, row 3: group '1' stands twice, first in row 2",
    "g,a,b\nx,1,2\n,3,4\n": "t.csv, row 3: the group has no name",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_may_be_either_is_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError) as told:
        read_number_table(tmp_path / "t.csv", **WORDS)
    assert REFUSED[text] in str(told.value)


REWARDS = {
    "a column of ids": WITH_IDS,
    "rows were dropped": pd.concat([WITH_IDS, WITH_IDS]).set_axis(range(4)).iloc[[0, 3]],
    "columns by name": WITH_IDS.to_dict("list"),
    "rows by name": WITH_IDS.to_dict("records"),
}


@pytest.mark.parametrize("table", REWARDS.values(), ids=REWARDS)
def test_frames_have_the_same_names(table):
    found = pl.aggregate(table)
    assert found.choice == "warm"
    assert found.values.tolist() == [1.0, 1.25]
    assert [row[0] for row in found.page().rows] == ["short", "warm"]


def test_frames_with_names_twice_are_refused():
    with pytest.raises(InputError, match="party 'x' stands twice, first in row 1; give every row a name of its own"):
        pl.welfare(FRAME.set_axis(["x", "x"]))
    with pytest.raises(InputError, match="field 'user_id': is no name of a policy but of ids"):
        pl.minmax(FRAME.assign(user_id=[1, 2]).set_axis(["x", "y"]))


def test_opinions_have_ids_that_are_numbers(tmp_path):
    (tmp_path / "o.csv").write_text("annotator_id,yes,no\n1,0.5,0.5\n2,0.25,0.75\n")
    assert pl.pool(tmp_path / "o.csv", alpha=1).as_dict()["consensus"]["all"]["yes"] == pytest.approx(0.375)
    (tmp_path / "o.csv").write_text("code,yes,no\n1,0.5,0.5\n2,0.25,0.75\n")
    with pytest.raises(InputError, match=r"sum to 2, .* if one is a row's number, head that column annotator_id"):
        pl.pool(tmp_path / "o.csv", alpha=1)


@pytest.mark.parametrize("index", ["", "Unnamed: 0", "rownames"])
@pytest.mark.parametrize("name", ["choices_long.csv", "choices_wide.csv"])
def test_an_index_is_no_attribute_of_a_choice(tmp_path, name, index):
    given = pd.read_csv(f"examples/sets/{name}")
    given.to_csv(tmp_path / "t.csv", index_label=index)
    assert pl.convert("choices", tmp_path / "t.csv").rows == pl.convert("choices", f"examples/sets/{name}").rows
