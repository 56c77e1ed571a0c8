"""Label discrepancy: how differently two annotators answer, as seen by a class of rewards."""

from __future__ import annotations

import numpy as np

from sim.arguments import float_array, require_count, require_not_negative
from sim.likelihoods import log_sigmoid
from sim.preferences import FloatArray


def label_discrepancy(first: FloatArray, second: FloatArray, differences: FloatArray, radius: float) -> float:
    """max over |theta| <= radius of |E_i log P_theta(o) - E_j log P_theta(o)| = radius |E[(p_i - p_j) x]|.

    [arXiv 2405.00254, Definition 3.3; the closed form is derived: log sigma(z) - log sigma(-z) = z]
    first, second: (n,) each annotator's chance that the first response of a pair is preferred (both over the pairs in
    the same order).  differences: (n, d), features of first minus second response; equal weights.  Returns nats.
    """
    _require_answers(first, second, differences, radius)
    return float(radius * np.linalg.norm((first - second) @ differences / len(differences)))


def _require_answers(first: FloatArray, second: FloatArray, differences: FloatArray, radius: float) -> None:
    float_array("differences", differences, ("n", "d"))
    for name, chances in (("first", first), ("second", second)):
        float_array(name, chances, (len(differences),))
    require_not_negative(radius=radius)


def searched_discrepancy(
    first: FloatArray, second: FloatArray, differences: FloatArray, radius: float, directions: int
) -> float:
    """The same by search over directions of the circle (d = 2 only): the definition, no algebra."""
    _require_answers(first, second, differences, radius)
    require_count("directions", directions)
    if differences.shape[1] != 2:
        raise ValueError(f"differences must have two features, the search covers a circle (got {differences.shape[1]})")
    angle = 2.0 * np.pi * np.arange(directions) / directions
    best = 0.0
    for block in np.array_split(radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), 20):
        margin = block @ differences.T
        won, lost = log_sigmoid(margin), log_sigmoid(-margin)
        gap = ((first - second) * (won - lost)).mean(axis=1)
        best = max(best, float(np.abs(gap).max()))
    return best
