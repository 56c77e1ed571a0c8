"""The likelihoods every choice model shares."""

from __future__ import annotations

import numpy as np

from sim.arguments import require_count, require_shape
from sim.preferences import FloatArray


def log_sigmoid(margin: FloatArray) -> FloatArray:
    """log sigma(t) = -log(1 + exp(-t)); logaddexp because margins reach hundreds at small beta."""
    return -np.logaddexp(0.0, -margin)


def plackett_luce_log_likelihood(utility: FloatArray, n_ranked: int) -> FloatArray:
    """sum_{s < n_ranked} u_s - logsumexp_{t >= s} u_t for each row of (n, J) utilities in ranked order."""
    require_shape("utility", utility, ("n", "J"))
    require_count("n_ranked", n_ranked, 1, utility.shape[1])
    total = np.zeros(len(utility))
    for place in range(min(n_ranked, utility.shape[1] - 1)):
        remaining = utility[:, place:]
        top = remaining.max(axis=1)
        total += remaining[:, 0] - top - np.log(np.exp(remaining - top[:, None]).sum(axis=1))
    return total
