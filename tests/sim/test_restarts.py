"""The restart that is kept does not hang on rounding."""

import numpy as np
import pytest

from sim.algorithms.em_log_linear import em_log_linear
from sim.estimators.user_clusters import cluster_users
from sim.restarts import first_best
from sim.streams import Stream


def test_last_bits_do_not_choose():
    assert first_best(np.array([[-396.0, -395.9999999999, -401.0], [-396.0, -395.99, -395.99]])).tolist() == [0, 1]
    assert first_best(np.array([0.0, 1e-12])) == 0
    assert first_best(np.array([0.0, 1e-6])) == 1


@pytest.mark.parametrize("nudge", [1.0 + 1e-14, 1.0 - 1e-14, 1.0 + 3e-14])
def test_types_and_clusters_keep_their_numbers(nudge):
    stream = Stream(5)
    annotator = np.repeat(np.arange(40), 10)
    x = stream.normals((400, 3))
    taste = np.where(annotator % 2 == 0, 1.0, -1.0)
    differences = x * np.where(stream.uniforms(400) < 1.0 / (1.0 + np.exp(-3.0 * taste * x[:, 0])), 1.0, -1.0)[:, None]

    def labels(scale):
        found = em_log_linear(differences * scale, annotator, 40, 2, ridge=1e-2, restarts=8, stream=Stream(1))
        clusters = cluster_users(differences * scale, annotator, 40, 2, Stream(2), ridge=1e-2, restarts=8)
        return found.responsibilities.argmax(axis=1), clusters.label

    for first, second in zip(labels(1.0), labels(nudge), strict=True):
        assert (first == second).all()
