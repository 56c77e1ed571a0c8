"""Standard errors of types over choices, robust to dependence within annotators."""

from __future__ import annotations

import numpy as np

from sim.fitting.people_errors import type_errors
from sim.fitting.prepare import Prepared
from sim.fitting.type_model import TypeModel
from sim.preferences import FloatArray


def event_errors(model: TypeModel, prepared: Prepared) -> FloatArray:
    """Standard errors of theta where answers are choices, rankings, ties or levels; (K, d).

    See `type_errors`; responsibilities (and thresholds) taken as known, so that they are a little too small.
    """
    own = prepared.events if prepared.learned is None else prepared.learned
    assert own is not None
    events = own.of(prepared.train)
    person = prepared.annotator[prepared.train][events.answer]
    weights = prepared.weights[prepared.train][events.answer] * events.weight
    first, sizes = events.starts[:-1], np.diff(events.starts)
    out = np.empty_like(model.theta)
    for k, theta in enumerate(model.theta):
        z = events.offset + events.rows @ theta
        low = np.minimum(np.minimum.reduceat(z, first), 0.0)
        with np.errstate(under="ignore"):
            chance = np.exp(np.repeat(low, sizes) - z)
            chance /= np.repeat(np.exp(low) + np.add.reduceat(chance, first), sizes)
        share = weights * model.responsibilities[person, k]
        mean = np.add.reduceat(events.rows * chance[:, None], first, axis=0)
        information = (events.rows * (chance * np.repeat(share, sizes))[:, None]).T @ events.rows
        information -= (mean * share[:, None]).T @ mean
        slopes = mean * share[:, None]
        out[k] = type_errors(slopes, share, person, information, model.ridge * float(share.sum()))
    return out
