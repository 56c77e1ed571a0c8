"""Standard normal draws for simulated likelihoods: evenly spread, keyed by a stream, a block of them a person."""

from __future__ import annotations

from math import ceil, log2

import numpy as np

from sim.arguments import require_choice, require_count
from sim.preferences import FloatArray
from sim.streams import Stream

KINDS = ("sobol", "halton", "pseudo")


def normal_draws(
    n_people: int, dimension: int, draws: int, stream: Stream, *, kind: str = "sobol", antithetic: bool = False
) -> FloatArray:
    """(n_people, dimension, draws) standard normals.

    kind: one scrambled Sobol or Halton sequence for all, cut into a block a person, or pseudo-random numbers.  Blocks
    of Sobol with a power of two draws are evenly spread each for itself.  antithetic: the second half mirrors the
    first, so that odd moments of every block are exactly zero.
    """
    for name, value, least in (("n_people", n_people, 1), ("dimension", dimension, 0), ("draws", draws, 1)):
        require_count(name, value, least)
    require_choice("kind", kind, KINDS)
    if antithetic and draws % 2:
        raise ValueError(f"draws must be even to be mirrored (got {draws})")
    if antithetic:
        half = normal_draws(n_people, dimension, draws // 2, stream, kind=kind)
        return np.concatenate([half, -half], axis=2)
    total = n_people * draws
    if dimension == 0 or kind == "pseudo":
        return stream.normals((n_people, dimension, draws))
    found = _points(kind, dimension, total, stream)[:total].reshape(n_people, draws, dimension)
    return np.ascontiguousarray(found.transpose(0, 2, 1))


def _points(kind: str, dimension: int, total: int, stream: Stream) -> FloatArray:
    from scipy.special import ndtri
    from scipy.stats import qmc

    if kind == "halton":
        points = qmc.Halton(dimension, seed=stream.integer_seed()).random(total)
    else:
        # A whole power of two, as the sequence wants it; its points are multiples of 2^-30, zero among them.
        points = qmc.Sobol(dimension, seed=stream.integer_seed()).random_base2(ceil(log2(max(total, 2)))) + 2.0**-31
    return np.asarray(ndtri(np.clip(points, 2.0**-31, 1.0 - 2.0**-31)))
