"""Pareto, Pigou-Dalton and 1/M tests against hand-made tables, brute force and known optima."""

import numpy as np
import pytest

from sim.algorithms.fairness import (
    choice_invariance,
    pareto_lottery,
    pareto_option,
    pigou_dalton_lottery,
    pigou_dalton_option,
    smallest_share,
)
from sim.algorithms.lotteries import best_lotteries
from sim.algorithms.welfare import LEXIMIN, NASH, UTILITARIAN
from sim.streams import Stream


def table(M=3, A=5, seed=0):
    return Stream(seed, f"fairness/{M}/{A}").uniforms((M, A))


def test_dominated_option_by_hand():
    u = np.array([[1.0, 1.5, 0.5], [2.0, 2.0, 9.0]])
    found = pareto_option(u, 0)
    assert not found.efficient
    assert found.tau == pytest.approx(0.5)
    assert found.better == 1
    assert pareto_option(u, 1).efficient
    assert pareto_option(u, 1).better is None
    assert pareto_option(np.array([[0.0, 1.0]]), 0).tau == np.inf


def test_an_option_may_be_undominated_by_options_and_dominated_by_a_lottery():
    u = np.array([[1.0, 0.0, 0.4], [0.0, 1.0, 0.4]])
    assert pareto_option(u, 2).efficient
    found = pareto_lottery(u, np.array([0.0, 0.0, 1.0]))
    assert not found.efficient
    # (1/2, 1/2, 0) gives .5 each; the other may be left at .4 and one raised to .6
    assert found.tau == pytest.approx(0.5, abs=1e-6)
    assert (u @ found.better >= 0.4 - 1e-7).all()


def test_a_party_on_a_small_scale_counts():
    """Half of each of the first two options is better for the second party by a hundredth, at nobody's expense."""
    u = np.array([[1.0, 0.0, 0.495], [0.0, 1e-6, 0.5e-6]])
    found = pareto_lottery(u, np.array([0.0, 0.0, 1.0]))
    assert not found.efficient
    assert found.tau == pytest.approx(0.01, rel=0.02)


def test_brute_force_over_options():
    for seed in range(60):
        u = np.floor(3 * table(3, 6, seed))
        for a in range(6):
            dominated = any((u[:, b] >= u[:, a]).all() and (u[:, b] > u[:, a]).any() for b in range(6))
            assert pareto_option(u, a).efficient is not dominated


@pytest.mark.parametrize("rule", [NASH, UTILITARIAN, LEXIMIN])
def test_optima_are_efficient_and_their_weights_prove_it(rule):
    for seed in range(8):
        u = 0.05 + table(4, 6, seed)
        p = best_lotteries(u[None], rule).probabilities[0]
        found = pareto_lottery(u, p)
        assert found.efficient
        assert found.weights is not None
        assert (found.weights > 0).all()
        # the choice maximises the weighted sum
        assert (found.weights @ u).max() <= found.weights @ u @ p + 1e-5


def test_what_one_party_would_lose_is_no_gain_of_all():
    """A Nash lottery 1.5e-7 off its corner: going there gives two parties 8e-8 and takes 6e-8 from the first, less than
    what HiGHS overlooks unless it is told otherwise."""
    u = np.array([[1.0307, 0.6084], [0.5038, 1.1390], [0.9298, 1.0875]])
    p = np.array([1.5e-7, 1.0 - 1.5e-7])
    found = pareto_lottery(u, p)
    assert found.efficient
    assert found.weights is not None
    assert (found.weights @ u).max() <= found.weights @ u @ p * (1.0 + 1e-9)
    # From the other corner, by hand: the first party loses and the others gain, whatever the amount.
    assert pareto_lottery(u, p[::-1]).efficient


def test_which_choice_stays_when_scales_or_zeros_change():
    u, stream = table(4, 9, 2), Stream(3)

    def from_worst(v):
        return int(NASH.best(v - v.min(axis=1, keepdims=True)))

    def utilitarian(v):
        return int(UTILITARIAN.best(v))

    assert choice_invariance(u, from_worst, stream).unchanged == 1.0
    assert choice_invariance(u, utilitarian, stream, scales=False).unchanged == 1.0
    found = choice_invariance(u, utilitarian, stream, zeros=False)
    assert found.unchanged < 1.0
    moved = np.array(found.witness["scales"])[:, None] * u + np.array(found.witness["zeros"])[:, None]
    assert (utilitarian(u), utilitarian(moved)) == (found.witness["from"], found.witness["to"])


def test_uniform_lottery_is_rarely_efficient():
    assert not pareto_lottery(table(3, 6), np.full(6, 1 / 6)).efficient


def test_transfers_between_options_by_hand():
    u = np.array([[4.0, 3.0, 1.0, 4.5], [0.0, 1.0, 3.0, -0.5], [2.0, 2.0, 2.0, 2.0]])
    found = pigou_dalton_option(u, 0, u.prod(axis=0))
    assert found.available == 2  # to B and to C; D widens the gap
    assert found.best == pytest.approx(6.0)
    assert found.witness == {"giver": 0, "receiver": 1, "option": 1, "amount": 1.0, "gain": 6.0}
    assert pigou_dalton_option(u, 0, u.sum(axis=0)).best == pytest.approx(0.0)
    assert pigou_dalton_option(u, 1, u.prod(axis=0)).available == 0  # C has the same gap mirrored: no move
    assert pigou_dalton_option(table(), 0, np.zeros(5)).available == 0


def test_transfers_between_lotteries():
    """(1, 0) and (0, 1): any unequal mixture can be equalised; the Nash and leximin lotteries cannot."""
    u = np.array([[1.0, 0.0], [0.0, 1.0]])
    found = pigou_dalton_lottery(u, np.array([0.8, 0.2]))
    assert found.available == 1
    assert found.best == pytest.approx(0.3, abs=1e-6)
    assert found.witness["giver"] == 0
    for rule in (NASH, LEXIMIN):
        assert pigou_dalton_lottery(u, best_lotteries(u[None], rule).probabilities[0]).available == 0
    assert pigou_dalton_lottery(u, best_lotteries(u[None], UTILITARIAN).probabilities[0]).available == 1


def test_everybody_gets_one_mth_of_their_maximum_under_nash():
    for seed in range(30):
        u = table(5, 8, seed) ** 3
        share, certified = smallest_share(u, best_lotteries(u[None], NASH).probabilities[0])
        assert certified
        assert share >= 0.2 - 1e-6
    loud = table(5, 8, 3) ** 3
    loud[0] *= 100.0
    share, certified = smallest_share(loud, best_lotteries(loud[None], UTILITARIAN).probabilities[0])
    assert not certified
    assert share < 0.2


LOUD = np.array([[10.0, 5.0, 0.0], [0.0, 5.0, 0.0], [1.0, 1.0, 1.0]])


@pytest.mark.parametrize("scale", [1e-12, 1e-9, 1.0, 1e9])
@pytest.mark.parametrize("loud", [1.0, 1e9, 1e12])
def test_a_transfer_is_seen_whatever_the_units_and_whoever_else_is_loud(scale, loud):
    """Five from the first to the second is the largest, by an option as it is or by half of the way to it."""
    u = scale * LOUD * np.array([[1.0], [1.0], [loud]])
    found = pigou_dalton_option(u, 0, np.array([1.0, 2.0, 0.0]))
    assert found.available == 1
    assert (found.witness["giver"], found.witness["receiver"]) == (0, 1)
    assert found.witness["amount"] == pytest.approx(5 * scale)
    mixed = pigou_dalton_lottery(u, np.array([1.0, 0.0, 0.0]), pairs=[(0, 1)])
    assert mixed.available == 1
    assert mixed.best == pytest.approx(5 * scale, rel=1e-6)
    assert pigou_dalton_lottery(u, np.array([0.0, 1.0, 0.0]), pairs=[(0, 1), (1, 0)]).available == 0


def test_a_transfer_beside_an_offset():
    u = 1e8 + np.array([[1.0, 0.5], [0.0, 0.5], [7.0, 7.0]])
    assert pigou_dalton_option(u, 0, np.array([0.0, 1.0])).available == 1
    assert pigou_dalton_lottery(u, np.array([1.0, 0.0]), pairs=[(0, 1)]).best == pytest.approx(0.5, rel=1e-5)


def test_leximin_compares_each_party_in_its_own_numbers():
    loud = np.array([[0.1, 0.9], [0.1, 0.9], [1e12, 1e12]])
    assert LEXIMIN.best(loud) == 1
    assert LEXIMIN.best(1e-12 * loud) == 1
    assert LEXIMIN.best(np.array([[0.1, 0.9, 1e12], [0.1, 0.9, 0.0]])) == 1
    # Apart by rounding alone: the second-worst off decides.
    assert LEXIMIN.best(np.array([[0.1 + 0.2, 0.3], [0.5, 0.6]])) == 1
