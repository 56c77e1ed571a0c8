"""Tables of numbers as spreadsheets write them: commas, semicolons or tabs, and decimal commas."""

import numpy as np
import pytest
from typed_commands import typed_json

from sim.errors import InputError
from sim.files.number_tables import read_cells, read_number_table
from sim.files.opinion_files import read_opinions

NAMED = "group,p1,p2\na,0.5,1\nb,1.5,0.25\n"
WORDS = {"row": "group", "column": "policy", "entry": "the regret"}


def _comma(text):
    return text.replace(",", ";").replace(".", ",")


FORMS = {
    "comma": NAMED,
    "semicolon": NAMED.replace(",", ";"),
    "tab": NAMED.replace(",", "\t"),
    "decimal commas": _comma(NAMED),
    "decimal commas and tabs": NAMED.replace(",", "\t").replace(".", ","),
    "marked": "\ufeff" + _comma(NAMED),
    "blank lines": _comma(NAMED).replace("\n", "\r\n\r\n"),
    "quoted": '"group";"p1";"p2"\n"a";"0,5";"1"\n"b";"1,5";"0,25"\n',
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_every_form_is_the_same_table(tmp_path, text):
    (tmp_path / "t.csv").write_bytes(text.encode())
    table = read_number_table(tmp_path / "t.csv", **WORDS)
    assert (table.rows, table.columns) == (("a", "b"), ("p1", "p2"))
    assert table.values.tolist() == [[0.5, 1.0], [1.5, 0.25]]


@pytest.mark.parametrize("text", ["0,5;1,0\n1,5;-0,5\n", "p1;p2\n0,5;1,0\n1,5;-,5\n", "0.5;1.0\n1.5;-0.5\n"])
def test_without_names_too(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    assert read_number_table(tmp_path / "t.csv", **WORDS).values.tolist() == [[0.5, 1.0], [1.5, -0.5]]


def test_a_name_may_hold_what_separates_elsewhere(tmp_path):
    (tmp_path / "t.csv").write_text('group,a;b,"c;d"\nx,1,2\n"y;z",3,4\n')
    table = read_number_table(tmp_path / "t.csv", **WORDS)
    assert (table.columns, table.rows) == (("a;b", "c;d"), ("x", "y;z"))
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g;p1;p2\na;1,234;0.5\n", "row 2, field 'column 2': expected a finite number, got '1,234'; write the regret "
                                   "as a plain number, with a point for decimals"),
        ("g;p1;p2\na;0,5;1\nb;1\n", "row 3: expected 3 columns as in the first row, got 2"),
        ("g;p1;p2\na;x;1\n", "row 2, field 'column 2': expected a finite number, got 'x'; write the regret as a plain"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_of_the_cell(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError) as told:
        read_number_table(tmp_path / "t.csv", **WORDS)
    assert message in str(told.value)


@pytest.mark.parametrize("name", ["o.csv", "o.tsv"])
@pytest.mark.parametrize("mark", [";", "\t"])
@pytest.mark.parametrize(
    "text", ["who,yes,no\na,0.5,0.5\nb,0.25,0.75\n",
             "annotator_id,candidate,prob\na,yes,0.5\na,no,0.5\nb,yes,0.25\nb,no,0.75\n"],
)  # fmt: skip
def test_opinions_too(tmp_path, name, mark, text):
    (tmp_path / name).write_text(text.replace(",", mark).replace(".", ","))
    (question,) = read_opinions(tmp_path / name)
    assert question.candidates == ("yes", "no")
    assert question.opinions.tolist() == [[0.5, 0.5], [0.25, 0.75]]


def test_the_commands_read_them(tmp_path, monkeypatch, capsys):
    table = tmp_path / "t.csv"
    told = []
    for text in (NAMED, FORMS["marked"]):
        table.write_text(text)
        told.append([
            typed_json(monkeypatch, capsys, *words)
            for words in (("minmax", "--regret", table), ("aggregate", table), ("welfare", table, "--zero", "none"))
        ])  # fmt: skip
    assert told[0] == told[1]


@pytest.mark.parametrize("lines", ['a,1,2\nb,"3,4\nc,5,6\n', 'a,1,2\nb,"3"4,5\n'])
def test_a_quote_lost_or_too_many_is_an_error(tmp_path, lines):
    """Without a closing quote, a cell holds all rows that follow."""
    path = tmp_path / "t.csv"
    path.write_text("group,x,y\n" + lines)
    with pytest.raises(InputError, match=r"row 3: is not CSV .*; close the quotes"):
        read_cells(path, "group")
