"""Answers of two types of opposite (or equal) taste."""

import numpy as np

from sim.files.pair_table import PairTable
from sim.streams import Stream


def opposed_types(n_annotators=60, answers=40, n_items=80, opposed=True, seed=0, groups=True):
    """Two types with opposite (or equal) tastes over items with three features."""
    stream = Stream(seed, "fit-test")
    features = stream.child("features").normals((n_items, 3))
    group = (stream.child("group").uniforms(n_annotators) < 0.6).astype(int)
    theta = np.array([[2.0, 0.5, 0.0], [-2.0 if opposed else 2.0, 0.5, 0.0]])
    n = n_annotators * answers
    annotator = np.repeat(np.arange(n_annotators), answers)
    first = stream.child("first").integers(n_items, n)
    second = (first + 1 + stream.child("second").integers(n_items - 1, n)) % n_items
    margin = ((features[first] - features[second]) * theta[group[annotator]]).sum(axis=1)
    wins = stream.child("choice").uniforms(n) < 1 / (1 + np.exp(-margin))
    return PairTable(
        items=tuple(f"item {j}" for j in range(n_items)),
        features=features,
        feature_names=("plot", "music", "length"),
        prompts=("",),
        prompt=np.zeros(n, np.int64),
        chosen=np.where(wins, first, second),
        rejected=np.where(wins, second, first),
        annotators=tuple(f"person {i}" for i in range(n_annotators)),
        annotator=annotator,
        group=tuple("AB"[g] for g in group) if groups else None,
        source="made.parquet",
    )
