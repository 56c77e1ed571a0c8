"""k-means against brute force over all partitions, against scikit-learn's, and in any unit."""

from itertools import product

import numpy as np
import pytest
from sklearn.cluster import KMeans

from sim.algorithms.k_means import _lloyd, k_means
from sim.partitions import known_rand_index
from sim.running.threads import one_thread
from sim.streams import Stream


def _inertia(points, labels):
    return sum(float(((points[labels == k] - points[labels == k].mean(axis=0)) ** 2).sum()) for k in np.unique(labels))


@one_thread(openmp=True)
def _of_scikit_learn(points, K, seed):
    """Its threads wait for each other where another test has a core."""
    return KMeans(K, n_init=10, random_state=seed).fit(points)


def _clouds(seed, n, d, K, apart):
    stream = Stream(seed, role="clouds")
    centres = apart * stream.child("centres").normals((K, d))
    of = stream.child("of").generator().integers(K, size=n)
    return centres[of] + stream.child("noise").normals((n, d)), of


@pytest.mark.parametrize("K", [1, 2, 3])
def test_the_best_of_all_partitions(K):
    """Of seven points, where ten starts reach it."""
    for seed in range(8):
        points, _ = _clouds(seed, 7, 2, K, 1.0)
        least = min(_inertia(points, np.array(labels)) for labels in product(range(K), repeat=7))
        labels, centres = k_means(points, K, Stream(seed))
        assert _inertia(points, labels) == pytest.approx(least, rel=1e-12)
        assert ((points - centres[labels]) ** 2).sum() == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize(("n", "d", "K"), [(200, 4, 3), (60, 2, 5), (500, 30, 4), (2000, 8, 6)])
def test_clouds_apart_are_those_of_scikit_learn(n, d, K):
    points, of = _clouds(n, n, d, K, 8.0)
    labels, centres = k_means(points, K, Stream(1))
    fitted = _of_scikit_learn(points, K, 0)
    assert known_rand_index(labels.tolist(), fitted.labels_) == 1.0
    assert known_rand_index(labels.tolist(), of) == 1.0
    found, expected = (each[np.lexsort(each.T)] for each in (centres, fitted.cluster_centers_))
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "d", "K"), [(200, 4, 3), (2000, 16, 4), (1000, 2, 12)])
def test_clouds_in_one_are_split_as_well_as_by_scikit_learn(n, d, K):
    ratios = []
    for seed in range(6):
        points, _ = _clouds(seed, n, d, K, 0.4)
        labels, _ = k_means(points, K, Stream(seed))
        ratios.append(_inertia(points, labels) / _of_scikit_learn(points, K, seed).inertia_)
    assert np.mean(ratios) < 1.008
    assert max(ratios) < 1.02


@pytest.mark.parametrize("unit", [2.0**-500, 2.0**500, 2.0**1020])
def test_in_any_unit(unit):
    points, _ = _clouds(3, 100, 3, 3, 1.0)
    labels, centres = k_means(points, 3, Stream(3))
    other, far = k_means(points * unit, 3, Stream(3))
    assert (other == labels).all()
    assert far / unit == pytest.approx(centres, rel=1e-12)


def test_of_fewer_points_than_clusters_the_last_are_empty():
    points = np.array([[0.0, 1.0], [2.0, 0.0]])[[0, 1, 0, 1, 1]]
    labels, centres = k_means(points, 4, Stream(0))
    assert (labels[[0, 2]] == labels[0]).all()
    assert (labels[[1, 3, 4]] == 1 - labels[0]).all()
    assert (centres[[2, 3]] == centres[0]).all()
    assert centres[labels] == pytest.approx(points, abs=1e-15)


def test_a_centre_without_points_goes_to_the_farthest_one():
    points = np.array([[0.0], [0.1], [0.2], [5.0]])
    found = _lloyd(points, np.array([[0.0], [100.0]]), 0.0)
    assert found.labels.tolist() == [0, 0, 0, 1]
    assert found.centres.ravel() == pytest.approx([0.1, 5.0])
    assert found.inertia == pytest.approx(0.02)


def test_rounding_does_not_number_the_clusters(monkeypatch):
    """Another start that found the same, and adds it up to another last digit."""
    points, _ = _clouds(0, 50, 2, 2, 8.0)
    first, found = k_means(points, 2, Stream(0)), []

    def turned(moved, centres, still):
        own = _lloyd(moved, centres, still)
        found.append(own)
        off = float(np.spacing(found[0].inertia)) * (len(found) - 1)
        return own._replace(labels=own.labels ^ (len(found) > 1), inertia=found[0].inertia - off)

    monkeypatch.setattr("sim.algorithms.k_means._lloyd", turned)
    assert (k_means(points, 2, Stream(0))[0] == first[0]).all()
    assert len(found) == 10
