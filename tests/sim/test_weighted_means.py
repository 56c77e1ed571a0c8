"""What numbers are divided by so that their units no longer count."""

import numpy as np
import pytest

from sim.weighted_means import spread_or_one


@pytest.mark.parametrize("value", [0.1, -0.3, 1e-9, 7e5, 0.0])
def test_what_is_constant_is_not_divided_by_rounding(value):
    """NumPy's standard deviation of seven times 0.1 is 1.4e-17."""
    assert spread_or_one(np.full((7, 1), value)) == 1.0
    columns = np.stack([np.full(7, value), np.arange(7.0)], axis=1)
    assert spread_or_one(columns, axis=0).tolist() == [1.0, 2.0]


def test_what_varies_little_has_its_own_spread():
    values = 1e-6 * np.array([1.0, -1.0, 1.0, -1.0])
    assert float(spread_or_one(values)) == pytest.approx(1e-6)
    assert float(spread_or_one(1.0 + values)) == pytest.approx(1e-6, rel=1e-6)
