"""The full logistic fit of rewards bilinear in a context and an item's features: no constraint on the rank."""

from __future__ import annotations

import numpy as np

from sim.compiled import low_rank_fits, product_newton
from sim.compiled.structs import BilinearAnswers, Limits
from sim.compiled.tiles import padded, row_length
from sim.estimators.bradley_terry import FitStatus
from sim.estimators.low_rank_problem import (
    LowRankBatch,
    LowRankFit,
    as_rows,
    checked,
    checked_offset,
    checked_weights,
    empty_outputs,
    require_limits,
)
from sim.preferences import FloatArray


def fit_full_rank(
    contexts: FloatArray,
    differences: FloatArray,
    *,
    weights: FloatArray | None = None,
    offset: FloatArray | None = None,
    ridge: float = 1e-6,
    tolerance: float = 1e-11,
    max_steps: int = 100,
) -> LowRankFit:
    """The objective of `low_rank.fit_low_rank` without the constraint: Newton on the d_x d_phi entries of Theta."""
    x, z = checked(contexts, differences)
    n, d_x, d_phi = *x.shape, z.shape[1]
    require_limits(ridge, tolerance, max_steps=max_steps)
    own, margin = checked_weights(weights, n), checked_offset(offset, n)
    point = np.zeros(padded(d_x * d_phi))
    answers = BilinearAnswers(as_rows(x), as_rows(z), own, margin, n, float(own.sum()), False, 0)
    limits = Limits(float(ridge), float(tolerance), max_steps)
    loss, steps, largest, status = product_newton.fit_full(answers, d_x, d_phi, limits, point)
    theta = point[: d_x * d_phi].reshape(d_x, d_phi)
    return LowRankFit(
        theta, min(d_x, d_phi), float(loss), float(largest), int(steps), FitStatus(status),
        bool(low_rank_fits.all_positive(x, z, own, margin, theta)),
    )  # fmt: skip


def fit_full_rank_batch(
    contexts: FloatArray, differences: FloatArray, *, ridge: float = 1e-6, tolerance: float = 1e-11,
    max_steps: int = 100,
) -> LowRankBatch:  # fmt: skip
    """`fit_full_rank` on B replicates at once, parallel over replicates."""
    x, z = checked(contexts, differences, 3)
    require_limits(ridge, tolerance, max_steps=max_steps)
    B, n, d_x = x.shape
    outputs = empty_outputs(B, d_x, z.shape[2])
    limits = Limits(float(ridge), float(tolerance), max_steps)
    product_newton.fit_full_many(x, z, row_length(n), limits, *outputs)
    return outputs.batch(min(d_x, z.shape[2]))
