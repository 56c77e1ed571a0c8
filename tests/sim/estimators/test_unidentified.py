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


@pytest.mark.parametrize("rows", [9, 12, 400])
def test_each_column_is_held_against_the_span_of_the_kept_ones(rows):
    """Many rows, of which only R is looked at, or few: what least squares on all rows says, columns of any length."""
    rng = np.random.default_rng(rows)
    matrix = rng.normal(size=(rows, 12))
    matrix[:, 4] = 3.0 * matrix[:, 1] - 1e-3 * matrix[:, 2]
    matrix[:, 7] = matrix[:, 5] + 1e-6 * rng.normal(size=rows)
    matrix[:, 9] = 0.0
    # What the first rows do not show.
    matrix[: rows // 2, 3] = 0.0
    matrix[: rows // 2, 6] = matrix[: rows // 2, 0]
    matrix[:, 11] = matrix[:, :9] @ rng.normal(size=9)
    matrix *= 10.0 ** rng.uniform(-4.0, 4.0, size=12)
    expected: list[int] = []
    for j in range(12):
        column = matrix[:, j] / max(float(np.linalg.norm(matrix[:, j])), 1e-300)
        basis = np.linalg.qr(matrix[:, expected] / np.linalg.norm(matrix[:, expected], axis=0))[0]
        if np.linalg.norm(column - basis @ (basis.T @ column)) > 1e-8:
            expected.append(j)
    found = screen_columns(matrix)
    assert np.flatnonzero(found.kept).tolist() == expected
    assert found.constant == ("column 10",)
    assert found.collinear["column 5"] == ("column 2", "column 3")
    assert len(found.collinear) == 11 - len(expected)


def test_names_must_match() -> None:
    with pytest.raises(ValueError, match="names must be as many as the 5 columns"):
        screen_columns(_columns(), ("a", "b"))
