"""Many claims at once: adjusted p-values."""

from __future__ import annotations

import numpy as np

from sim.preferences import FloatArray


def holm(p_values: FloatArray) -> FloatArray:
    """Holm's step-down adjustment: controls the probability of any false assertion (within a paper)."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def benjamini_yekutieli(p_values: FloatArray) -> FloatArray:
    """Benjamini-Yekutieli: false discovery rate under any dependence (across the suite)."""
    p = np.asarray(p_values, dtype=np.float64)
    n = len(p)
    order = np.argsort(p, kind="stable")
    harmonic = (1.0 / np.arange(1, n + 1)).sum()
    scaled = p[order] * n * harmonic / np.arange(1, n + 1)
    adjusted = np.empty(n)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted
