"""The adjusted Rand index against scikit-learn's and against pairs counted one by one."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from sim.partitions import adjusted_rand_index, known_rand_index
from sim.streams import Stream


@pytest.mark.parametrize(("n", "own", "other"), [(2, 2, 2), (7, 3, 2), (200, 3, 3), (5000, 40, 7)])
def test_equals_scikit_learn(n, own, other):
    for draw in range(20):
        stream = Stream(draw, f"partitions/{n}")
        truth = (stream.child("truth").uniforms(n) * own).astype(int)
        found = np.where(stream.child("kept").uniforms(n) < 0.6, truth, (stream.child("own").uniforms(n) * other))
        assert adjusted_rand_index(truth, found) == adjusted_rand_score(truth, np.unique(found, return_inverse=True)[1])


def test_counts_pairs():
    truth, found = ["a", "a", "a", "b", "b", "c"], [1, 1, 2, 2, 2, 2]
    pairs = list(itertools.combinations(range(6), 2))
    together = [[labels[i] == labels[j] for i, j in pairs] for labels in (truth, found)]
    both = sum(a and b for a, b in zip(*together, strict=True))
    rows, columns = map(sum, together)
    expected = rows * columns / len(pairs)
    assert adjusted_rand_index(truth, found) == pytest.approx((both - expected) / ((rows + columns) / 2 - expected))


@pytest.mark.parametrize("labels", [["x"], ["x", "x", "x"], ["x", "y", "z"]])
def test_nothing_to_disagree_about(labels):
    assert adjusted_rand_index(labels, labels) == 1.0


def test_many_things_do_not_overflow():
    n = 400_000  # the products of counts of pairs pass 2^63
    truth = np.arange(n) % 2
    assert adjusted_rand_index(truth, truth) == 1.0
    assert adjusted_rand_index(truth, np.arange(n) // (n // 2)) == pytest.approx(-1 / n, rel=0.1)


def test_other_lengths_are_refused():
    with pytest.raises(ValueError, match=r"found must be \(3,\)"):
        adjusted_rand_index([1, 2, 3], [1, 2])


def test_those_whose_group_is_not_known_are_left_out():
    assert known_rand_index(["a", "", "b", "", "a"], np.array([1, 1, 0, 0, 1])) == 1.0
    assert known_rand_index(["", ""], np.array([0, 1])) is None
