"""Answers, streams, likelihoods and the checks themselves refuse what they cannot be."""

import numpy as np
import pytest
from borders import assert_refuses, assert_works, border, cases

from sim.arguments import (
    index_array,
    require_between,
    require_choice,
    require_index,
    require_number,
    require_same_shape,
)
from sim.files.number_tables import NumberTable
from sim.likelihoods import plackett_luce_log_likelihood
from sim.preferences import PreferencePairs, Rankings
from sim.streams import Stream
from sim.tables.regrets import RegretTable, solve_regret_table

NAN = float("nan")
ROWS = np.zeros(4, dtype=np.int64)
ANSWERS = {
    "contexts": ROWS,
    "annotator": ROWS,
    "n_annotators": 2,
    "weights": np.ones(4),
    "group": np.zeros(2, dtype=int),
}
REGRETS = RegretTable(np.eye(2), ("x", "y"), ("a", "b"), "")

BORDERS = (
    border(PreferencePairs, {**ANSWERS, "chosen": ROWS, "rejected": ROWS + 1},
           contexts="short", rejected=("short", np.zeros((4, 2))), annotator="index minus short nan axis",
           weights="nan minus short", group="short"),
    border(Rankings, {**ANSWERS, "responses": np.tile([0, 1, 2], (4, 1))},
           contexts="short", responses=(ROWS,), annotator="index minus short nan", weights="nan minus short",
           group="short", n_ranked=(0, 4)),
    border(Stream().choice, {"probabilities": np.full(2, 0.5), "shape": 3},
           probabilities=("nan", "minus", np.zeros(2), np.zeros(0))),
    border(plackett_luce_log_likelihood, {"utility": np.zeros((4, 3)), "n_ranked": 2},
           utility="axis", n_ranked=(0, 4)),
    border(NumberTable, {"values": np.eye(2), "rows": ("x", "y"), "columns": ("a", "b"), "lines": (1, 2), "source": ""},
           values="nan short axis", lines="short"),
    border(RegretTable, {"values": np.eye(2), "groups": ("x", "y"), "policies": ("a", "b"), "source": ""},
           values="nan short axis"),
    border(solve_regret_table, {"table": REGRETS, "priorities": [1.0, 2.0], "rounds": 5},
           priorities=([1.0], [1.0, NAN], [1.0, 0.0], "1", "1,x"), rounds=(0,)),
)  # fmt: skip


@pytest.mark.parametrize("own", BORDERS, ids=lambda own: own.name)
def test_good_arguments_work(own):
    assert_works(own)


@pytest.mark.parametrize(("own", "argument", "value"), cases(BORDERS))
def test_a_bad_argument_is_named(own, argument, value):
    assert_refuses(own, argument, value)


def test_priorities_as_numbers_and_as_text_are_the_same():
    of_text, of_numbers = (solve_regret_table(REGRETS, priorities=c, rounds=50) for c in ("1,3", [1.0, 3.0]))
    assert of_text.weights.tolist() == of_numbers.weights.tolist()
    assert solve_regret_table(REGRETS, rounds=50).priorities.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: index_array("row", np.array([3, -1])), r"row must be at least 0 \(got -1\.\.3\)"),
        (lambda: require_index("row", 4, 4), r"row must be a whole number in 0\.\.3 \(got 4\)"),
        (lambda: require_index("row", True, 4), "row must be a whole number"),
        (lambda: require_choice("mode", "c", ("a", "b")), r"mode must be one of a, b \(got 'c'\)"),
        (lambda: require_between(0, 1, share=NAN), r"share must lie in 0\.\.1 \(got nan\)"),
        (lambda: require_number(mean=np.inf), r"mean must be a finite number \(got inf\)"),
        (
            lambda: require_same_shape(a=np.zeros(2), b=np.zeros(3)),
            r"b must have the shape of a, \(2,\)",
        ),
    ],
)
def test_messages_say_what_came(check, message):
    with pytest.raises(ValueError, match=message):
        check()
