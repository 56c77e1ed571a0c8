"""The bootstrap whose draws are not kept against the plain one, to the bit; distinct numbers against `np.unique`."""

import numpy as np
import pytest
from alone import in_python

from sim.compiled.resample import resampled_sums, sum_plan
from sim.distinct import distinct, numbered, present, stable_order
from sim.estimators.bootstrap import cluster_interval, cluster_intervals
from sim.streams import Stream

DRAWS = 60
# Around every edge of NumPy's sum: fewer than eight, blocks of 128, halves, halves of halves.
SIZES = [2, 3, 7, 8, 9, 10, 16, 17, 128, 129, 130, 137, 257, 258, 1000, 3077]


def _plain(values, cluster, stream, draws, level=0.95):
    """Every pick drawn and kept, NumPy's own sum."""
    _, index = np.unique(cluster, return_inverse=True)
    sums, counts = np.bincount(index, weights=values), np.bincount(index)
    picked = stream.integers(len(sums), (draws, len(sums)))
    means = sums[picked].sum(axis=1) / counts[picked].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _answers(n_clusters):
    """Values of very different size, so that another order of the sum is another sum."""
    stream = Stream(3, role=str(n_clusters))
    cluster = np.concatenate([np.arange(n_clusters), stream.child("c").integers(n_clusters, 3 * n_clusters)])
    values = stream.child("v").normals(len(cluster)) * np.exp(4 * stream.child("s").normals(len(cluster)))
    return values, cluster


@pytest.mark.parametrize("n", SIZES)
def test_same_bits_as_the_plain_bootstrap(n):
    values, cluster = _answers(n)
    other = np.abs(values) < 1
    stream = Stream(7, replicate=n)
    got = cluster_intervals([values, other], cluster, stream, draws=DRAWS)
    assert got == [_plain(one.astype(float), cluster, stream, DRAWS) for one in (values, other)]
    assert got[0] == cluster_interval(values, cluster, stream, draws=DRAWS)


@pytest.mark.parametrize("labels", [
    np.array([5, 900_000_000, 5, -3, 900_000_000, 7]), np.array([1.5, 0.0, 0.0, 2.5, 1.5, 1.5]),
    np.array([40, 2, 2, 40, 41, 0]), np.array(["b", "a", "b", "c", "a", "b"]),
], ids=["sparse", "floats", "dense", "names"])  # fmt: skip
def test_labels_of_any_kind(labels):
    values = np.array([0.1, 0.7, -0.2, 3.0, 1e9, 0.3])
    assert cluster_interval(values, labels, Stream(1), draws=DRAWS) == _plain(values, labels, Stream(1), DRAWS)
    found, count = numbered(labels)
    expected, index = np.unique(labels, return_inverse=True)
    assert (found == index).all()
    assert count == len(expected)


def test_kernel_is_its_own_python():
    rows, (k0, k1) = Stream(4).normals((300, 2)), Stream(5).key
    found = [np.empty((3, 2)) for _ in range(2)]
    for out, run in zip(found, (resampled_sums, in_python(resampled_sums)), strict=True):
        run(rows, *sum_plan(300), out, np.uint64(0), np.uint64(k0), np.uint64(k1))
    assert (found[0] == found[1]).all()


def test_distinct_numbers():
    numbers = Stream(6).integers(50, 400) * 1_000_003
    assert (distinct(numbers) == np.unique(numbers)).all()
    assert (present(numbers // 1_000_003, 50) == np.unique(numbers // 1_000_003)).all()
    for of in (numbers, numbers // 1_000_003, numbers * 3_000_000_007):
        assert (stable_order(of) == np.argsort(of, kind="stable")).all()
        expected, index = np.unique(of, return_inverse=True)
        assert (numbered(of)[0] == index).all()
        assert numbered(of)[1] == len(expected)
    assert distinct(np.array([], dtype=np.int64)).size == 0
    assert present(np.array([], dtype=np.int64), 4).size == 0
