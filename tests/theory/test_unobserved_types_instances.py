"""What the claims of this paper hold the library against."""

import numpy as np
import pytest

from sim.algorithms.hedge import game_value
from sim.streams import Stream
from theory.unobserved_types._instances import uneven_pairs, value_of_rows


def test_value_of_a_game_by_hand():
    """Regrets [[2, -1], [-1, 1]]: both players mix (2/5, 3/5), and 2 * 2/5 - 3/5 = 1/5."""
    assert value_of_rows(np.array([[2.0, -1.0], [-1.0, 1.0]])) == pytest.approx(0.2)


@pytest.mark.parametrize("seed", range(5))
def test_both_players_programs_have_one_value(seed):
    regret = Stream(seed, "game").normals((4, 3))
    assert value_of_rows(regret) == pytest.approx(game_value(regret).value, abs=1e-9)


def test_annotators_answer_unequally_often():
    pairs = uneven_pairs(Stream(1, "uneven"))
    counts = np.bincount(pairs.annotator, minlength=pairs.n_annotators)
    assert counts.min() >= 1
    assert counts.max() <= 9
    assert len(set(counts)) > 3
