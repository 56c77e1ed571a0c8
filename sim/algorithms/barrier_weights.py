"""Weights on the simplex where a smoothed largest reward is least: Newton's method, where first-order steps stall."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sim.preferences import FloatArray

# What temperature and barrier are multiplied by from stage to stage.
_FACTOR = 0.25
_STEPS = 60


def barrier_weights(
    curve: Callable[[FloatArray, float], tuple[float, FloatArray, FloatArray]], K: int, temperature: float,
    scale: float, tolerance: float,
) -> Iterator[FloatArray]:  # fmt: skip
    """Weights p (K,), one a Newton step at `temperature`, towards the least of D(p) on the simplex.

    curve(p, t) -> (D(p), its gradient u (K,), its Hessian (K, K)) of a convex D smoothed at temperature t.
    scale: that of u.  tolerance: of sum_k p_k u_k - min_k u_k.

    minimise D(p) - m sum_k log p_k        [log barrier; Boyd & Vandenberghe, Convex Optimization, 2004, section 11.3]

    At its optimum u_k = c + m / p_k, so that sum_k p_k u_k - min_k u_k is at most K m: m ends at tolerance / (2 K).
    At a small temperature D is all but piecewise linear, and Newton's method is fast only within a temperature of the
    optimum, which is followed from a temperature of `scale` down.
    """
    p, least = np.full(K, 1.0 / K), tolerance / (2 * K)
    t, m = max(scale, temperature), max(0.1 * scale / K, least)
    while True:
        for moved in _newton(curve, p, t, m):
            p = moved
            if t == temperature:
                yield p
        if t == temperature and m == least:
            return
        t, m = max(_FACTOR * t, temperature), max(_FACTOR * m, least)


def _newton(
    curve: Callable[[FloatArray, float], tuple[float, FloatArray, FloatArray]], p: FloatArray, t: float, m: float
) -> Iterator[FloatArray]:  # fmt: skip
    value, u, hessian = curve(p, t)
    for _ in range(_STEPS):
        # In y = step / p, whose equations are of one scale: (P H P + m) y + c p = m - p u,  p' y = 0.
        system = p[:, None] * hessian * p + m * np.eye(len(p))
        right, along = np.linalg.solve(system, np.stack([m - p * u, p], axis=1)).T
        y = right - along * float(p @ right) / float(p @ along)
        falls = float((p * u - m) @ y)
        share = min(1.0, 0.95 / max(-float(y.min()), 1e-300))
        while share > 1e-10:
            tried = p * (1.0 + share * y)
            tried /= tried.sum()
            found = curve(tried, t)
            rise = found[0] - value - m * float(np.log(tried / p).sum())
            # Rounding apart.
            if rise <= 1e-4 * share * falls + 1e-14 * max(1.0, abs(value)):
                break
            share *= 0.5
        else:
            return
        p, (value, u, hessian) = tried, found
        yield p
        if -falls <= 1e-3 * m:
            return
