"""Premises that several claims may share, measured in a draw."""

from __future__ import annotations

import numpy as np

from sim.preferences import FloatArray
from theory.engine.theorem import Premise


def smallest_singular_value(theta: FloatArray, at_least: float) -> Premise:
    """Smallest singular value of the stacked types' parameters (K, d): do the types span K directions?"""
    value = float(np.linalg.svd(theta, compute_uv=False)[-1])
    return Premise("smallest singular value of the stacked theta", value >= at_least, value, f">= {at_least:g}")


def smallest_share(mixture: FloatArray, n_annotators: int, at_least: float) -> Premise:
    """Expected number of annotators in the smallest type."""
    value = float(np.min(mixture) * n_annotators)
    return Premise("annotators in the smallest type", value >= at_least, value, f">= {at_least:g}")
