"""Which of several restarts is kept."""

from __future__ import annotations

import numpy as np

from sim.preferences import FloatArray, IntArray

# Restarts that end in one optimum differ by their last bits alone, and these depend on the processor.
_ROUNDING = 1e-9


def first_best(reached: FloatArray) -> IntArray:
    """The first of the largest final values, but for rounding; (..., R) -> (...).

    With the very largest, last bits would decide how types and clusters are numbered.
    """
    most = reached.max(axis=-1, keepdims=True)
    return np.asarray(np.argmax(reached >= most - _ROUNDING * np.maximum(1.0, np.abs(most)), axis=-1))
