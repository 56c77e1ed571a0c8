"""Columns are those of `pyarrow.array`, and no study that writes them imports pandas."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.files.arrow_columns import arrow_column, arrow_kind, numbers_of

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
WHOLE = st.integers(-(2**63), 2**63 - 1)
KINDS = {"texts": (TEXTS, pa.string()), "whole": (WHOLE, pa.int64()), "numbers": (st.floats(), pa.float64()),
         "truths": (st.booleans(), pa.bool_())}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)  # pyarrow's own imports pandas in the first one
@given(data=st.data())
def test_equal_to_pyarrows(kind, data):
    values, expected = KINDS[kind]
    column = data.draw(st.lists(st.none() | values, max_size=40))
    found = arrow_column(column, expected)
    found.validate(full=True)
    other = pa.array(column, expected)
    assert found.type == other.type
    assert found.null_count == other.null_count
    assert list(map(repr, found.to_pylist())) == list(map(repr, other.to_pylist()))
    assert arrow_kind(column) == pa.infer_type(column)
    if kind in ("whole", "numbers"):
        for part in (found, found.slice(3), found.slice(1, 9)):
            assert np.array_equal(numbers_of(part), part.to_numpy(zero_copy_only=False), equal_nan=True)


def test_a_column_of_nulls_has_no_number():
    assert np.isnan(numbers_of(pa.nulls(3, pa.float64()))).tolist() == [True] * 3
    assert numbers_of(pa.Array.from_buffers(pa.int64(), 0, [None, None])).shape == (0,)


@pytest.mark.parametrize("values", [[True, None, False], [True] * 9, [None] * 3, ["a", None], []])
def test_what_are_no_numbers_is_pyarrows(values):
    array = pa.array(values)
    assert numbers_of(array).tolist() == array.to_numpy(zero_copy_only=False).tolist()


@pytest.mark.parametrize("values", [[1, 2.5], [], [None], [[1]], [True, 1]])
def test_other_kinds_are_pyarrows(values):
    try:
        expected = pa.infer_type(values)
    except pa.ArrowInvalid:
        with pytest.raises(pa.ArrowInvalid):
            arrow_kind(values)
    else:
        assert arrow_kind(values) == expected


@pytest.mark.parametrize(
    ("values", "kind"), [([2.5], pa.int64()), (["1"], pa.float64()), ([1], pa.string()), ([True], pa.int64())]
)
def test_nothing_is_made_to_fit(values, kind):
    try:
        expected = pa.array(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        with pytest.raises(type(error)):
            arrow_column(values, kind)
    else:
        assert arrow_column(values, kind) == expected


def test_texts_that_are_none_and_numbers_too_large_are_refused_as_before():
    with pytest.raises(UnicodeEncodeError):
        arrow_column(["\ud800"], pa.string())
    with pytest.raises(OverflowError):
        arrow_column([2**63], pa.int64())


@pytest.mark.parametrize("study", ["types", "scenarios", "welfare_profiles"])
def test_a_study_imports_none_of_what_takes_as_long_as_its_replicates(tmp_path, study):
    code = (
        "import sys\n"
        "from pluralign.__main__ import main\n"
        f"sys.argv = 'pluralign study {study} --set replicates=1 --workers 1 --out {tmp_path / 'out'}'.split()\n"
        "assert main() == 0\n"
        "print(sorted({'pandas', 'sklearn', 'scipy.stats', 'torch', 'cvxpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
