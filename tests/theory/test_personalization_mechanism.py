"""The fast search for a misreport against the one that believes the mechanism object alone."""

import numpy as np
import pytest

from sim.algorithms.mechanism import Mechanism, best_misreports, searched_misreports
from sim.streams import Stream
from theory.personalization._instances import simplex_points


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize(
    "broken", [{}, {"charged": False}, {"shifted": True}], ids=["truthful", "no costs", "another distance"]
)
def test_the_kernel_finds_what_the_public_object_gives(alpha, broken):
    distance = alpha + 1.0 if broken.get("shifted") else None
    mechanism = Mechanism(alpha, distance, broken.get("charged", True))
    opinions, reports = simplex_points((2, 6, 4, 3), Stream(3))
    fast = best_misreports(mechanism, opinions, reports, stream=Stream(4)).gain
    public = searched_misreports(mechanism, opinions, reports).gain
    # The pattern search takes eight rounds and reaches a little less than the simplex search does.
    np.testing.assert_array_less(public, fast + 1e-6 * (1.0 + fast))
    np.testing.assert_array_less(0.5 * fast, public + 1e-6)
