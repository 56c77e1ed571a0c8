"""Which of several restarts is kept."""

from __future__ import annotations

import numpy as np

from sim.preferences import FloatArray, IntArray

# Restarts that end in one optimum differ by their last bits alone, and these depend on the processor.
_ROUNDING = 1e-9


def first_best(reached: FloatArray, within: float = 0.0) -> IntArray:
    """The first of the largest final values, but for rounding; (..., R) -> (...).

    With the very largest, last bits would decide how types and clusters are numbered.  within: how far from its optimum
    a restart may have stopped.
    """
    most = reached.max(axis=-1, keepdims=True)
    slack = np.maximum(_ROUNDING * np.maximum(1.0, np.abs(most)), within)
    return np.asarray(np.argmax(reached >= most - slack, axis=-1))
