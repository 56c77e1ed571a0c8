"""A rule of one's own for `pluralign axioms --rule examples.rules:second_worst`: profiles in, one number each out."""

import numpy as np


def second_worst(rewards: np.ndarray) -> np.ndarray:
    """The second smallest of the annotators' rewards.  rewards: (n_profiles, n_annotators) -> (n_profiles,)."""
    return np.sort(rewards, axis=1)[:, 1]
