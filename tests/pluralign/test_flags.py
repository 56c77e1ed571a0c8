"""Arguments in messages become options; prose and the program's own faults stay."""

import re
from pathlib import Path

import pytest

from pluralign.flags import in_flags, with_flags
from sim.errors import InputError

FLAGS = {"n_types": "--types", "zero": "--zero", "lottery": "--lottery", "rule": "--rule"}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("n_types must be at least 1 (got 0)", "--types must be at least 1 (got 0)"),
        ("a.csv, row 2: zero: no option 'E'; choose worst", "a.csv, row 2: --zero: no option 'E'; choose worst"),
        ("use zero='worst' or zero=OPTION", "use --zero worst or --zero OPTION"),
        ("use lottery=True", "use --lottery"),
        ("rule='alpha=2': alpha must be at most 1", "--rule alpha=2: alpha must be at most 1"),
        ("utilities counted from a zero, a lottery", "utilities counted from a zero, a lottery"),
        ("max_n_types must be 3", "max_n_types must be 3"),
    ],
)
def test_arguments_become_options(message, said):
    assert in_flags(message, FLAGS) == said


def test_a_value_error_about_an_argument_is_the_users():
    with pytest.raises(InputError, match=r"^--types must be") as caught, with_flags(FLAGS):
        raise ValueError("n_types must be at least 1 (got 0)")
    assert isinstance(caught.value.__cause__, ValueError)


def test_place_and_fix_are_kept():
    with pytest.raises(InputError) as caught, with_flags(FLAGS):
        raise InputError("zero: no option", file="a.csv", row=3, field="b", fix="use zero='worst'")
    assert str(caught.value) == "a.csv, row 3, field 'b': --zero: no option; use --zero worst"
    assert (caught.value.file, caught.value.row, caught.value.field, caught.value.fix) == (
        "a.csv", 3, "b", "use --zero worst"
    )  # fmt: skip


def test_other_errors_go_on_as_they_are():
    error = ValueError("math domain error")
    with pytest.raises(ValueError, match="math domain error") as caught, with_flags(FLAGS):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("room", ["tables", "algorithms", "estimators", "environments", "populations", "policies"])
def test_messages_of_these_rooms_speak_of_no_option(room):
    sources = Path(__file__).resolve().parents[2] / "sim" / room
    said = [
        f"{path.name}: {line.strip()}"
        for path in sorted(sources.glob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"[\"'( ]--[a-z]", line)
    ]
    assert said == []
