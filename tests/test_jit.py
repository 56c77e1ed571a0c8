"""The scalar functions under every set of flags that kernels use."""

import numpy as np
import pytest
from numba import njit
from scipy.special import expit, log_expit

from sim import jit

GRID = np.concatenate([np.linspace(-700, 700, 200_001), np.linspace(-1, 1, 20_001), [0.0]])


def _apply(scalar, flags):
    # Compiled here and not cached: the flags are what is tested.
    options = {name: value for name, value in flags.items() if name != "cache"}

    @njit(**options)
    def loop(x):
        out = np.empty_like(x)
        for i in range(x.size):
            out[i] = scalar(x[i])
        return out

    return loop(GRID)


@pytest.mark.parametrize("flags", [jit.JIT, jit.FAST], ids=["JIT", "FAST"])
@pytest.mark.parametrize(
    ("scalar", "reference"),
    [(jit.exp, np.exp), (jit.sigmoid, expit), (jit.log_sigmoid, log_expit)],
    ids=["exp", "sigmoid", "log_sigmoid"],
)
def test_relative_error(scalar, reference, flags):
    got, expected = _apply(scalar, flags), reference(GRID)
    assert np.max(np.abs(got - expected) / np.abs(expected)) < 1e-13


def test_clamped_beyond_the_range():
    assert jit.exp(-1e6) == pytest.approx(np.exp(-708.0), rel=1e-13)
    assert jit.log_sigmoid(-1e6) == -1e6
    assert jit.sigmoid(1e6) == 1.0
