"""Columns nothing is learnt about are found and named."""

from __future__ import annotations

import numpy as np
import pytest

from sim.estimators.unidentified import screen_columns

NAMES = ("height", "constant", "weight", "both", "age")


def _columns() -> np.ndarray:
    rng = np.random.default_rng(0)
    height, weight, age = rng.normal(size=(3, 200)) * np.array([[1.0], [1000.0], [1e-3]])
    return np.column_stack([height, np.zeros(200), weight, 2.0 * height - 3.0 * weight, age])


def test_constant_and_collinear_columns_are_named() -> None:
    found = screen_columns(_columns(), NAMES)
    np.testing.assert_array_equal(found.kept, [True, False, True, False, True])
    assert found.constant == ("constant",)
    assert set(found.collinear) == {"both"}
    # height's share of `both` is a thousandth of weight's, and named all the same
    assert found.collinear["both"] == ("height", "weight")
    assert found.message() == "constant does not vary; both is a combination of height, weight"


def test_small_columns_are_kept_and_nearly_collinear_ones_too() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=300)
    near = screen_columns(np.column_stack([a, 1e-6 * rng.normal(size=300), a + 1e-4 * rng.normal(size=300)]))
    assert near.kept.all()
    assert near.message() == ""


def test_rank_agrees_with_the_singular_values() -> None:
    rng = np.random.default_rng(2)
    for rank in range(1, 6):
        matrix = rng.normal(size=(50, rank)) @ rng.normal(size=(rank, 6))
        assert screen_columns(matrix).kept.sum() == np.linalg.matrix_rank(matrix) == min(rank, 6)


def test_names_must_match() -> None:
    with pytest.raises(ValueError, match="names must be as many as the 5 columns"):
        screen_columns(_columns(), ("a", "b"))
