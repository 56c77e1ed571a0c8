"""Answers of simulated annotators as a table of pairs, as a file of real ones is read into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.arguments import require_count
from sim.environments.protocol import FeaturedEnvironment
from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.plugins import blaming
from sim.populations.collect import collect_pairs
from sim.populations.latent_types import LatentTypes
from sim.preferences import FloatArray, PreferencePairs
from sim.streams import Stream


def simulate_pairs(
    environment: FeaturedEnvironment,
    n_annotators: int,
    answers: int,
    stream: Stream,
    mixture: Sequence[float] | FloatArray | None = None,
) -> tuple[PreferencePairs, FloatArray]:
    """Annotators of unobserved types, each with `answers` answers: (pairs, features), pairs.group the true types.

    features: (n, 2, d), of the chosen and of the rejected response.  mixture: (n_types,) shares, equal if None.
    Errors: InputError where the world is not ours and what it returns does not fit.
    """
    require_count("n_annotators", n_annotators)
    require_count("answers", answers)
    K = environment.n_types
    shares = np.full(K, 1.0 / K) if mixture is None else np.asarray(mixture, dtype=np.float64)
    population = LatentTypes(shares)
    with blaming(f"environment {type(environment).__name__}"):
        pairs = collect_pairs(environment, population, n_annotators, answers, stream)
        both = np.stack([pairs.chosen, pairs.rejected], axis=1)
        features = np.asarray(environment.features_of(pairs.contexts, both), dtype=np.float64)
    if features.ndim != 3 or features.shape[:2] != (len(pairs), 2) or not np.isfinite(features).all():
        raise InputError(
            f"environment {type(environment).__name__}: features_of must return finite numbers ({len(pairs)}, 2, d) "
            f"for as many pairs, got {features.shape}", fix="one row of features a response",
        )  # fmt: skip
    return pairs, features


def table_of(pairs: PreferencePairs, features: FloatArray, source: str = "simulated") -> PairTable:
    """The same as a table of named items and annotators; responses with equal features are one item."""
    n, _, d = features.shape
    items, place = np.unique(features.reshape(2 * n, d), axis=0, return_inverse=True)
    place = place.reshape(n, 2)
    group = None if pairs.group is None else tuple(f"type {z + 1}" for z in pairs.group)
    return PairTable(
        items=tuple(f"item {i + 1}" for i in range(len(items))),
        features=items,
        feature_names=tuple(f"x{j + 1}" for j in range(d)),
        prompts=("",),
        prompt=np.zeros(n, dtype=np.int64),
        chosen=place[:, 0],
        rejected=place[:, 1],
        annotators=tuple(f"annotator {i + 1}" for i in range(pairs.n_annotators)),
        annotator=pairs.annotator,
        weights=pairs.weights,
        group=group,
        source=source,
    )
