"""Measured premises on cases whose numbers are known."""

import numpy as np
import pytest

from theory.engine import assumptions


def test_spectrum():
    theta = np.diag([3.0, 2.0, 0.5])
    assert assumptions.smallest_singular_value(theta, 0.4).holds
    assert assumptions.smallest_singular_value(theta, 0.6).value == pytest.approx(0.5)
    assert not assumptions.smallest_singular_value(theta, 0.6).holds


def test_smallest_share():
    assert assumptions.smallest_share(np.array([0.95, 0.05]), 100, 5).holds
    assert assumptions.smallest_share(np.array([0.99, 0.01]), 100, 5).value == pytest.approx(1.0)
    assert not assumptions.smallest_share(np.array([0.99, 0.01]), 100, 5).holds
