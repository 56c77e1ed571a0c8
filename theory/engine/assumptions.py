"""The assumption meter: which premises hold in a draw, as numbers."""

from __future__ import annotations

import numpy as np

from sim.preferences import FloatArray
from theory.engine.theorem import Premise


def coverage(target: FloatArray, behaviour: FloatArray, at_most: float) -> Premise:
    """Single-policy concentrability C* = max pi / mu; target (S, A), behaviour (A,) or (S, A)."""
    from sim.populations.behaviour import concentrability

    value = concentrability(target, behaviour)
    return Premise("coverage C*", value <= at_most, value, f"<= {at_most:g}")


def smallest_singular_value(theta: FloatArray, at_least: float) -> Premise:
    """Smallest singular value of the stacked types' parameters (K, d): do the types span K directions?"""
    value = float(np.linalg.svd(theta, compute_uv=False)[-1])
    return Premise("smallest singular value of the stacked theta", value >= at_least, value, f">= {at_least:g}")


def rank_gap(matrix: FloatArray, rank: int, at_least: float) -> Premise:
    """sigma_r - sigma_{r+1} of a matrix."""
    values = np.append(np.linalg.svd(matrix, compute_uv=False), 0.0)
    gap = float(values[rank - 1] - values[rank])
    return Premise(f"rank gap at {rank}", gap >= at_least, gap, f">= {at_least:g}")


def separation(theta: FloatArray, differences: FloatArray, at_least: float) -> Premise:
    """Smallest root-mean-square difference of two types' margins over the offered pairs (n, d)."""
    margins = differences @ theta.T
    K = margins.shape[1]
    gaps = [float(np.sqrt(np.mean((margins[:, a] - margins[:, b]) ** 2))) for a in range(K) for b in range(a + 1, K)]
    value = min(gaps, default=np.inf)
    return Premise("separation of types", value >= at_least, value, f">= {at_least:g} (rms margin)")


def group_overlap(responsibilities: FloatArray, at_most: float) -> Premise:
    """Mean posterior entropy over annotators in units of log K: 0 sharp, 1 nothing known."""
    K = responsibilities.shape[1]
    p = np.where(responsibilities > 0, responsibilities, 1.0)
    value = float(-(p * np.log(p)).sum(axis=1).mean() / np.log(K)) if K > 1 else 0.0
    return Premise("group overlap", value <= at_most, value, f"<= {at_most:g} (posterior entropy / log K)")


def smallest_share(mixture: FloatArray, n_annotators: int, at_least: float) -> Premise:
    """Expected number of annotators in the smallest type."""
    value = float(np.min(mixture) * n_annotators)
    return Premise("annotators in the smallest type", value >= at_least, value, f">= {at_least:g}")


def not_separable(differences: FloatArray) -> Premise:
    """No theta puts every answer on the right side, so the likelihood has a maximum without a ridge."""
    from sim.estimators.bradley_terry import is_separable

    separable = is_separable(differences)
    return Premise("answers not separable", not separable, float(separable), "no perfect separation")


def independent_of_type(contexts: FloatArray, types: FloatArray, at_most: float) -> Premise:
    """Assumption 1: contexts do not depend on the type. Largest standardised difference of group means, (n, d)."""
    scale = np.maximum(contexts.std(axis=0), 1e-12)
    means = np.stack([contexts[types == z].mean(axis=0) for z in np.unique(types)])
    value = float(np.abs((means - contexts.mean(axis=0)) / scale).max())
    return Premise("contexts independent of the type", value <= at_most, value, f"<= {at_most:g} (standardised)")
