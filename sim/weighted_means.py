"""Means over answers, each as often as the file's `weight` says: weight 2 is the same row twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.preferences import FloatArray


def unequal(weights: FloatArray | None) -> FloatArray | None:
    """The weights, None where all are the same: they change no mean, and none is rounded otherwise for them."""
    return None if weights is None or len(weights) == 0 or (weights == weights[0]).all() else weights


def mean_of(values: FloatArray, weights: FloatArray | None) -> float:
    """sum_j w_j v_j / sum_j w_j of (n,) values; the plain mean where weights are None or equal."""
    counted = unequal(weights)
    return float(values.mean() if counted is None else counted @ values / counted.sum())


def column_means(values: FloatArray, weights: FloatArray | None) -> FloatArray:
    """`mean_of` each column of (n, d) values; (d,)."""
    counted = unequal(weights)
    return np.asarray(values.mean(axis=0) if counted is None else counted @ values / counted.sum())


def column_deviations(values: FloatArray, weights: FloatArray | None) -> FloatArray:
    """Standard deviations of each column of (n, d) values, rows counted likewise; (d,)."""
    counted = unequal(weights)
    if counted is None:
        return np.asarray(values.std(axis=0))
    return np.sqrt(column_means((values - column_means(values, counted)) ** 2, counted))


def spread_or_one(values: FloatArray, axis: int | None = None) -> FloatArray:
    """Standard deviation along `axis`, 1 where the values are the same: what they can be divided by."""
    spread = np.asarray(values.std(axis=axis))
    # The standard deviation of a constant 0.1 is 1e-17, not 0.
    return np.where(spread > 1e-12 * np.abs(values).max(axis=axis, initial=0.0), spread, 1.0)


def unit_note(weights: FloatArray | None) -> str | None:
    """What to say of answers whose mean weight is below .1 or above 10; None of others.

    A weight is a count: who is in which group is found by as many answers as the weights add up to, and means alone are
    the same in every unit.
    """
    mean = 1.0 if weights is None or not len(weights) else float(weights.mean())
    if 0.1 <= mean <= 10.0:
        return None
    said = "hardly say" if mean < 1 else "leave no doubt"
    return (
        f"the mean weight of an answer to train on is {mean:.3g}: a weight of 2 is the row twice, so that these "
        f"answers {said} who is in which group; divide by their mean where only their ratios are meant"
    )


def joined(parts: Sequence[FloatArray | None]) -> FloatArray | None:
    """The weights of several parts together, None where there are none."""
    given = [part for part in parts if part is not None]
    return np.concatenate(given) if given else None
