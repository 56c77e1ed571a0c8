"""Instances the claims share."""

from __future__ import annotations

import numpy as np

from sim.estimators.shared_representation import SharedBatch, fit_shared_batch
from sim.populations.shared_representation import Layout, SharedRepresentation, shared_population
from sim.preferences import FloatArray
from sim.streams import Stream
from theory.personalization import PAPER

ARXIV = PAPER.source
DERIVED = f"{ARXIV} [derived]"
# Answers an annotator: two decades, so that a slope leans on no single doubling.
ANSWERS = (100, 316, 1000, 3162, 10_000)


def population(n: int, d: int, k: int, layout: Layout, stream: Stream) -> SharedRepresentation:
    return shared_population(n, d, k, stream.child("population"), layout=layout)


def answers(people: SharedRepresentation, per_annotator: int, stream: Stream) -> FloatArray:
    """Fresh answers, which `fit` is of; (N, per_annotator, d)."""
    return people.answers(per_annotator, stream.child(f"answers/{per_annotator}"))


def fit(people: SharedRepresentation, per_annotator: int, rank: int, stream: Stream) -> SharedBatch:
    """Fresh answers and the shared-representation MLE; one replicate."""
    return fit_shared_batch(answers(people, per_annotator, stream)[None], rank)


def mean_squared_error(estimate: FloatArray, theta: FloatArray) -> float:
    """(1/N) sum_i E |<theta_hat_i - theta_i, x>|^2 for x ~ N(0, I): Lemma 6's observable, exact."""
    return float(((estimate - theta) ** 2).sum(axis=-1).mean())


def simplex_points(shape: tuple[int, ...], stream: Stream, concentration: float = 1.5) -> FloatArray:
    """Dirichlet(concentration, ...) rows."""
    return np.asarray(stream.generator().dirichlet(np.full(shape[-1], concentration), size=shape[:-1]))


def total_variation(p: FloatArray, q: FloatArray) -> float:
    return float(0.5 * np.abs(p - q).sum(axis=-1).max())
