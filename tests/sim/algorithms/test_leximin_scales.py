"""Leximin lotteries of tables whose numbers differ in size or share an offset, against rational arithmetic."""

import numpy as np
import pytest
from rational import leximin_levels

from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.welfare import LEXIMIN, WelfareRule
from sim.streams import Stream


def loud_and_indifferent(u, size):
    return np.vstack([0.1 + u[:2], np.full((1, u.shape[1]), size)])


def one_party_in_small_units(u, size):
    u = u - u.min(axis=1, keepdims=True)
    return u * np.array([[1.0], [1.0], [size]])


def one_cell(u, size):
    u = u.copy()
    u[1, 2] = size
    return u


SHAPES = {
    "loud and indifferent": loud_and_indifferent,
    "lost whatever happens": lambda u, size: loud_and_indifferent(u, -size),
    "one party in small units": one_party_in_small_units,
    "an offset": lambda u, size: u + size,
    "an offset below": lambda u, size: u - size,
    "one large cell": one_cell,
    "one large loss": lambda u, size: one_cell(u, -size),
    "large": lambda u, size: u * size,
    "small": lambda u, size: u / size,
    "signs": lambda u, size: (u - 0.5) * np.array([[1.0], [1.0], [size]]),
}


@pytest.mark.parametrize("size", [1e4, 1e6, 1e9])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_least_is_the_largest_there_is_whatever_the_numbers_are(shape, size):
    u = np.stack([SHAPES[shape](own, size) for own in Stream(31).uniforms((8, 3, 4))])
    found = best_lotteries(u, LEXIMIN)
    for b, table in enumerate(u):
        exact = np.array([float(level) for level in leximin_levels(table)])
        # What those who are in the small numbers have to win or lose, and what a sum of the large ones rounds off.
        spread = np.ptp(table, axis=1)
        stake = spread[spread > 0].min()
        off = 1e-6 * stake + 1e-15 * np.abs(table).max()
        assert np.sort(found.utilities[b])[0] == pytest.approx(exact.min(), rel=1e-9, abs=off)
        # At 1e9 later levels move by more than the first may give way to rounding.
        if size < 1e9:
            assert np.sort(found.utilities[b]) == pytest.approx(np.sort(exact), rel=1e-4, abs=off)
        reached = found.utilities[b].min()
        assert exact.min() <= reached + found.optimality_gap[b] * abs(reached) + 1e-14 * np.abs(table).max()
        assert found.optimality_gap[b] < 1e-8


def test_the_gap_is_a_share_of_the_least_utility():
    """Parties in units from 1 to 1e12, in pairs that are balanced by chances no double can hold: whatever is missing is
    said."""
    draws = Stream(32).uniforms((40, 4, 6))
    u = (draws - 0.5) * 1e12 ** Stream(33).uniforms((40, 4, 1))
    found = best_lotteries(u, LEXIMIN)
    for b, table in enumerate(u):
        least, reached = float(min(leximin_levels(table))), found.utilities[b].min()
        rounding = 1e-15 * np.abs(table).max()
        assert least <= reached + found.optimality_gap[b] * abs(reached) + rounding


def test_by_hand():
    for table in ([[0.1, 0.9, 1e6], [0.1, 0.9, 0.0]], [[0.1, 0.9], [0.1, 0.9], [1e12, 1e12]]):
        found = best_lotteries(np.array([table]), LEXIMIN)
        assert found.utilities[0, :2] == pytest.approx([0.9, 0.9])
        assert found.optimality_gap[0] < 1e-9


def test_a_power_below_all_weights_is_as_good():
    """1e6 to somebody does not hide what the others could have."""
    u = np.array([[[0.1, 0.9], [0.1, 0.9], [1e6, 1e6]]])
    found = best_lotteries(u, WelfareRule(-2000.0))
    assert found.utilities[0, :2] == pytest.approx([0.9, 0.9])
    assert found.optimality_gap[0] == pytest.approx(3 ** (1 / 2000) - 1, rel=0.7)


@pytest.mark.parametrize(("scale", "offset"), [(1e-9, 0.0), (1e9, 0.0), (1.0, 1e5), (3.0, -1e5)])
def test_units_and_an_offset_of_all_change_no_lottery(scale, offset):
    u = Stream(34).uniforms((20, 5, 8))
    plain, other = best_lotteries(u, LEXIMIN), best_lotteries(scale * u + offset, LEXIMIN)
    assert np.sort((other.utilities - offset) / scale) == pytest.approx(np.sort(plain.utilities), abs=1e-9)
