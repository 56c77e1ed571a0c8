"""Quotes that open and close cells are known from those that are lost or too many; such files are read by rows."""

import csv
import gzip
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from read_both_ways import by_columns

from sim.errors import InputError
from sim.files import quoted_cells
from sim.files.preference_files import read_pairs

HEADER = "annotator_id,chosen,rejected\n"
ROWS = [f"p{i % 5},i{i % 7},i{(i + 1) % 7}\n" for i in range(1000)]


def strict(text, separator):
    """Whether Python's reader takes it, as it takes files row by row."""
    try:
        list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error:
        return False
    return True


@settings(max_examples=400)
@given(st.text('",;\n\rx\u00e9', max_size=24), st.sampled_from(",;\t"), st.sampled_from([2, 3, 1 << 24]), st.booleans())
@example('5" tv,6" tv\n', ",", 1 << 24, False)
@example('"a","b""c",""\n', ",", 3, True)
@example('"a\nb"\r\n"c"', ",", 2, False)
@example('"a"b,c\n', ",", 2, False)
@example('a,"b\n', ",", 2, False)
def test_quotes_are_whole_where_a_strict_reader_takes_them(text, separator, block, marked):
    data = b"\xef\xbb\xbf" * marked + text.encode()
    before, quoted_cells._BLOCK = quoted_cells._BLOCK, block
    try:
        assert quoted_cells.are_whole(data, separator) == strict(text, separator)
    finally:
        quoted_cells._BLOCK = before


@pytest.mark.parametrize(("text", "row"), [
    (HEADER + "".join(ROWS[:200]) + 'a,x,"y\n' + "".join(ROWS[200:]), 202),
    (HEADER + 'a,x,"y\nb,u,v\nc,u,w\nd,x,"z\ne,x,y\n', 2),
    (HEADER + 'a,x,"y"z\nb,u,v\n', 2),
    (HEADER + 'a,x,y\nb,u,"v', 3),
    (HEADER + 'a,x,y\nb,u,"v\n', 3),
    ('annotator_id,chosen,"rejected"s\na,x,y\n', 1),
], ids=["one", "two", "after", "at the end", "a last line", "header"])  # fmt: skip
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_quote_lost_or_too_many_is_an_error(tmp_path, ending, text, row):
    """One too many in row 202 of 1,001 left 201 answers."""
    path = tmp_path / f"a{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith(".gz") else text.encode())
    with pytest.raises(InputError, match=f"row {row}: is not whole CSV"):
        read_pairs(path)


@pytest.mark.parametrize("lines", ['a,5" tv,6" tv\n', 'a,"x ""q""",y\n', 'a,"x, z\nw",y\r\n', '"q","x","y"\n'])
def test_other_quotes_are_read_by_columns_as_before(tmp_path, lines):
    path = tmp_path / "a.csv"
    path.write_bytes((HEADER + lines + "b,u,v\n").encode())
    assert by_columns(path) is not None
    assert len(read_pairs(path)) == 2
