"""Populations of unobserved types: frequencies, exact shares, prefixes."""

import numpy as np
import pytest
from scipy import stats

from sim.populations.latent_types import LatentTypes
from sim.streams import Stream


def test_frequencies_are_the_mixture():
    mixture = np.array([0.6, 0.3, 0.1])
    counts = np.bincount(LatentTypes(mixture).draw(30_000, Stream(1, "types")), minlength=3)
    for count, share in zip(counts, mixture, strict=True):
        assert stats.binomtest(int(count), 30_000, share).pvalue > 1e-4


def test_successive_annotators_are_independent():
    types = LatentTypes(np.array([0.5, 0.5])).draw(20_000, Stream(2, "types"))
    same = int((types[1:] == types[:-1]).sum())
    assert stats.binomtest(same, 19_999, 0.5).pvalue > 1e-4


def test_a_prefix_is_a_smaller_population():
    population = LatentTypes(np.array([0.6, 0.3, 0.1]))
    assert (population.draw(500, Stream(3))[:200] == population.draw(200, Stream(3))).all()


def test_exact_shares_by_largest_remainders():
    def counts(mixture, n, seed=0):
        return np.bincount(LatentTypes(np.array(mixture), exact=True).draw(n, Stream(seed)), minlength=len(mixture))

    assert counts([0.6, 0.3, 0.1], 200).tolist() == [120, 60, 20]
    # 7 people: 4.2, 2.1, .7: floors 4, 2, 0 and the one left to the remainder .7
    assert counts([0.6, 0.3, 0.1], 7).tolist() == [4, 2, 1]
    assert counts([1 / 3, 1 / 3, 1 / 3], 200).sum() == 200
    drawn = [LatentTypes(np.array([0.5, 0.5]), exact=True).draw(10, Stream(s)).tolist() for s in (0, 1)]
    assert drawn[0] != drawn[1]


def test_a_type_of_share_zero_is_never_drawn():
    assert set(LatentTypes(np.array([0.0, 1.0, 0.0])).draw(1000, Stream(4)).tolist()) == {1}


@pytest.mark.parametrize("mixture", [[0.6, 0.3], [0.5, 0.6, -0.1], [0.5, float("nan")], [[0.5, 0.5]]])
def test_wrong_mixtures_are_named(mixture):
    with pytest.raises(ValueError, match="mixture must"):
        LatentTypes(np.array(mixture))
