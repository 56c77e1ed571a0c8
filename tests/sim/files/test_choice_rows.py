"""Choices, rankings, ratings and grades in files: what they are taken apart into, and what is wrong with them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sim.errors import InputError
from sim.files.pair_table import NONE_OF_THEM, SCALE
from sim.files.preference_files import read_pairs, table_of_rows


def _row(**more):
    return {"prompt": "q", "annotator_id": "ann", "responses": ["a", "b", "c"], **more}


def _sets(table):
    """(answer, taken, others) of each choice, by the items' names."""
    own, names = table.offered, np.array(table.items)
    return [
        (int(own.answer[e]), str(names[own.taken[e]]), names[own.others[own.starts[e] : own.starts[e + 1]]].tolist())
        for e in range(len(own.taken))
    ]


def test_a_choice_is_one_out_of_all(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text("\n".join(json.dumps(_row(choice=j)) for j in (1, 2)))
    table = read_pairs(path)
    assert (table.answers, len(table), table.items) == ("choices", 2, ("a", "b", "c"))
    assert _sets(table) == [(0, "b", ["a", "c"]), (1, "c", ["a", "b"])]


def test_none_of_them_is_an_alternative_where_somebody_took_it():
    rows = [_row(choice=-1, features=[[1.0], [2.0], [3.0]]), _row(choice=0, features=[[1.0], [2.0], [3.0]])]
    table = table_of_rows(rows, "t")
    assert _sets(table) == [(0, NONE_OF_THEM, ["a", "b", "c"]), (1, "a", ["b", "c", NONE_OF_THEM])]
    assert (table.feature_names, table.offered.none) == (("feature 1",), 3)
    assert 3 not in table.shown()[1]


@pytest.mark.parametrize(("ranking", "expected"), [
    ([2, 1, 3], [("b", "ac"), ("a", "c")]),
    ([1, None, None], [("a", "bc")]),
    ([1, 1, 2], [("a", "c"), ("b", "c")]),
    ([5, 1, 5], [("b", "ac")]),
    ([2**60 + 1, 2**60, None], [("b", "ac"), ("a", "c")]),
])  # fmt: skip
def test_a_ranking_is_choices_from_what_is_below(ranking, expected):
    assert [(taken, "".join(others)) for _, taken, others in _sets(table_of_rows([_row(ranking=ranking)], "t"))] == (
        expected
    )


def test_a_ranking_that_orders_nothing_is_counted():
    table = table_of_rows([_row(ranking=[1, 1, 1]), _row(ranking=[1, 2, 3])], "t")
    assert table.left_out == (("that order nothing", 1),)
    with pytest.raises(InputError, match=r"every rank is missing \(if none is better, give equal ranks"):
        table_of_rows([_row(ranking=[None] * 3), _row(ranking=[1, 2, 3])], "t")
    assert _sets(table) == [(0, "a", ["b", "c"]), (0, "b", ["c"])]


def test_scores_are_compared_two_by_two_and_weigh_no_more_than_they_tell():
    table = table_of_rows([_row(scores=[3, 5, 3])], "t")
    assert _sets(table) == [(0, "b", ["a"]), (0, "a", ["c"]), (0, "b", ["c"])]
    assert table.offered.tie.tolist() == [False, True, False]
    assert table.offered.weight.sum() == pytest.approx(2.0)


def test_grades_are_levels_of_one_item_each():
    rows = [{"prompt": "q", "annotator_id": "x", "response": text, "score": score}
            for text, score in (("a", 2), ("b", 1), ("a", 5))]  # fmt: skip
    table = table_of_rows(rows, "t")
    assert (table.answers, table.grades, table.grade.tolist()) == ("grades", ("1", "2", "5"), [1, 0, 2])
    assert table.items == ("a", "b", SCALE)
    assert [table.items[i] for i in table.rejected] == [SCALE] * 3


def test_answers_that_are_selected_keep_their_choices():
    rows = [_row(ranking=[1, 2, 3]), _row(ranking=[3, 2, 1]), _row(ranking=[2, 1, 3])]
    table = table_of_rows(rows, "t").select(np.array([False, True, True]))
    assert _sets(table) == [(0, "c", ["a", "b"]), (0, "b", ["a"]), (1, "b", ["a", "c"]), (1, "a", ["c"])]
    assert {(int(a), int(i)) for a, i in zip(*table.shown(), strict=True)} == {(a, i) for a in (0, 1) for i in range(3)}


@pytest.mark.parametrize(("rows", "said"), [
    ([_row(choice=3)], "expected a whole number from -1 to 2, got 3 (field choice)"),
    ([_row(choice=True)], "expected a whole number from -1 to 2"),
    ([_row(choice=0), _row(ranking=[1, 2, 3])], "of one kind of answer"),
    ([_row(choice=0, chosen="a", rejected="b")], "of one kind of answer"),
    ([_row(ranking=[1, 2])], "a rank for each of 3 responses"),
    ([_row(ranking=[None, None, None])], "ranks nothing"),
    ([_row(ranking=[0, 1, 2])], "whole numbers from 1"),
    ([_row(scores=[1, 2, float("nan")])], "expected a number"),
    ([_row(choice=0, responses=["a"])], "expected a list of 2 or more responses"),
    ([_row(choice=0, responses=["a", "b", "a"])], "no answer is left (1 rows that offer a response twice)"),
    ([_row(choice=0, features=[[1.0], [2.0]])], "features of each of 3 responses"),
    ([_row(choice=0, features=[[1.0], [2.0], [float("inf")]])], "not finite"),
    ([_row(choice=0, annotator_id=None)], "expected a name or number"),
    ([_row(choice=0, weight=-1)], "expected a positive number"),
    ([_row(choice=0, weight=0)], "no answer is left"),
    ([_row(choice=0, split="train"), _row(choice=0)], "empty here and not in other rows"),
    ([_row(choice=0, split="tain")], "expected train, test or unseen"),
])  # fmt: skip
def test_what_is_wrong_is_said(rows, said):
    with pytest.raises(InputError) as caught:
        table_of_rows(rows, "t.jsonl")
    assert said.split(" (field")[0] in str(caught.value)
    assert "t.jsonl" in str(caught.value)


def test_one_answer_with_other_features_under_another_prompt_is_another_item():
    rows = [_row(choice=0, features=[[1.0], [2.0], [3.0]]), _row(prompt="r", choice=0, features=[[4.0], [2.0], [3.0]])]
    assert len(table_of_rows(rows, "t").items) == 6


def test_a_file_of_two_kinds_is_refused_by_columns_too(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "mixed.parquet"
    pq.write_table(pa.Table.from_pylist([_row(choice=0, chosen="a", rejected="b")]), path)
    with pytest.raises(InputError, match="of one kind of answer"):
        read_pairs(path)


def test_whole_numbers_that_came_as_floats_are_whole():
    assert _sets(table_of_rows([_row(ranking=[1.0, 2.0, None])], "t")) == [(0, "a", ["b", "c"]), (0, "b", ["c"])]
    assert _sets(table_of_rows([_row(choice=1.0)], "t")) == [(0, "b", ["a", "c"])]


def test_scores_without_end_are_no_levels():
    rows = [{"annotator_id": "x", "response": f"r{j}", "score": j / 7} for j in range(60)]
    with pytest.raises(InputError, match="has 60 different values"):
        table_of_rows(rows, "t")
