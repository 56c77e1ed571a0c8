"""Offers and coverage: frequencies against enumeration, concentrability against its definition."""

import itertools

import numpy as np
import pytest
from scipy import stats

from sim.populations.behaviour import Behaviour, concentrability, feature_concentrability
from sim.streams import Stream

N = 30_000


def _offer_probability(law, offer):
    """Successive draws without replacement, renormalised over what is left."""
    left, chance = 1.0, 1.0
    for arm in offer:
        chance *= law[arm] / left
        left -= law[arm]
    return chance


@pytest.mark.parametrize(("coverage", "n_offered"), [(1.0, 2), (1.0, 3), (0.3, 2), (0.3, 3)])
def test_offers_have_the_law_of_successive_draws(coverage, n_offered):
    behaviour = Behaviour(coverage, favourite=2)
    offers = behaviour.draw(N, n_offered, 4, Stream(1, f"{coverage},{n_offered}"))
    law = behaviour.probabilities(4)
    counts = dict.fromkeys(itertools.permutations(range(4), n_offered), 0)
    for row in map(tuple, offers.tolist()):
        counts[row] += 1  # a KeyError is an arm offered against itself
    for offer, count in counts.items():
        assert stats.binomtest(count, N, _offer_probability(law, offer)).pvalue > 1e-4


@pytest.mark.parametrize("coverage", [1.0, 0.4])
def test_a_prefix_is_a_smaller_draw_across_blocks(coverage):
    behaviour, stream, n = Behaviour(coverage), Stream(2, "prefix"), (1 << 16) + 500
    whole = behaviour.draw(n, 2, 3, stream)
    assert (whole[: n - 300] == behaviour.draw(n - 300, 2, 3, stream)).all()


def test_probabilities_and_the_dial():
    assert Behaviour().probabilities(4) == pytest.approx([0.25] * 4)
    assert Behaviour(0.2, favourite=1).probabilities(4) == pytest.approx([0.05, 0.85, 0.05, 0.05])
    target = np.array([[0.0, 0.0, 0.0, 1.0]])
    stars = [concentrability(target, Behaviour(c).probabilities(4)) for c in (1.0, 0.5, 0.1)]
    assert stars == pytest.approx([4.0, 8.0, 40.0])


def test_concentrability_is_the_largest_ratio_over_the_targets_support():
    mu = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    inside = np.array([[1.0, 0.0, 0.0], [0.3, 0.3, 0.4]])
    assert concentrability(inside, mu) == pytest.approx(3.0)
    assert concentrability(mu, mu) == pytest.approx(1.0)
    outside = np.array([[0.9, 0.0, 0.1], [0.3, 0.3, 0.4]])
    assert concentrability(outside, mu) == float("inf")


def test_feature_concentrability_by_hand():
    """Offers (e1, -e1) and (2 e2, -2 e2): Sigma = diag(2, 8), mean 0; a target at (1, 4) has norm sqrt(1/2 + 16/8)."""
    offers = np.array([[[1.0, 0.0], [-1.0, 0.0]], [[0.0, 2.0], [0.0, -2.0]]])
    target = np.array([[1.0, 4.0]])
    assert feature_concentrability(target, offers) == pytest.approx(np.sqrt(2.5))
    assert feature_concentrability(offers.reshape(-1, 2), offers) == pytest.approx(0.0)
    # offers along one axis say nothing about the other
    assert feature_concentrability(target, offers[:1]) == float("inf")
    assert feature_concentrability(target, offers[:1], ridge=1.0) == pytest.approx(np.sqrt(1 / 5 + 16))


@pytest.mark.parametrize("coverage", [0.0, -0.1, 1.5, float("nan")])
def test_wrong_coverage_is_named(coverage):
    with pytest.raises(ValueError, match="coverage must lie in"):
        Behaviour(coverage)


def test_offers_that_cannot_be_made_are_named():
    with pytest.raises(ValueError, match=r"n_offered must lie in 2\.\.3"):
        Behaviour().draw(5, 4, 3, Stream())
    with pytest.raises(ValueError, match=r"favourite must be a whole number in 0\.\.2"):
        Behaviour(0.5, favourite=3).draw(5, 2, 3, Stream())
