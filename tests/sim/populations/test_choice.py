"""Choice models: frequencies against probabilities worked out another way."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from sim.populations.choice import BradleyTerry, NoisyArgmax, PlackettLuce
from sim.streams import Stream

N = 30_000


def _agrees(count, share, n=N):
    """Exact binomial test; about 60 of these run, so one in 10,000 is no accident."""
    return stats.binomtest(int(count), n, share).pvalue > 1e-4


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("gap", [-2.0, 0.0, 0.7])
def test_bradley_terry_is_the_sigmoid(gap, scale):
    chosen = BradleyTerry(scale).choose_first(np.full(N, 1.0 + gap), np.ones(N), Stream(1, f"{gap},{scale}"))
    assert _agrees(chosen.sum(), 1 / (1 + math.exp(-scale * gap)))


@pytest.mark.parametrize("gap", [-0.2, 0.0, 0.1])
def test_noisy_argmax_is_the_probit(gap):
    """P(u1 + e1 > u2 + e2): the normal law of e2 - e1, integrated numerically rather than by its formula."""
    sd = 0.1
    chosen = NoisyArgmax(sd).choose_first(np.full(N, gap), np.zeros(N), Stream(2, str(gap)))
    share = integrate.quad(lambda t: stats.norm.pdf(t, gap, sd) * stats.norm.cdf(t, 0.0, sd), -2, 2, points=[gap])[0]
    assert _agrees(chosen.sum(), share)


def _ranking_probability(utility, order):
    """Plackett-Luce by its product: the first out of all, the second out of the rest, ..."""
    left, chance = list(order), 1.0
    while left:
        chance *= math.exp(utility[left[0]]) / math.fsum(math.exp(utility[a]) for a in left)
        left.pop(0)
    return chance


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_full_rankings_against_the_product_formula(scale):
    utility = np.array([0.3, -0.5, 1.0, 0.0])
    orders = PlackettLuce(scale).order(np.tile(utility, (N, 1)), Stream(3, f"{scale}"))
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    seen = dict.fromkeys(itertools.permutations(range(4)), 0)
    for row in map(tuple, orders.tolist()):
        seen[row] += 1
    total = 0.0
    for order, count in seen.items():
        share = _ranking_probability(scale * utility, order)
        total += share
        assert _agrees(count, share)
    assert total == pytest.approx(1.0)


def test_top_choice_is_the_softmax():
    utility = np.array([1.0, 0.0, 0.5])
    top = PlackettLuce().order(np.tile(utility, (N, 1)), Stream(4))[:, 0]
    for arm in range(3):
        assert _agrees((top == arm).sum(), math.exp(utility[arm]) / np.exp(utility).sum())


def test_noisy_argmax_orders_by_noisy_utility():
    """With noise far below the gaps the order is the utilities' own; ties are broken evenly."""
    utility = Stream(5).normals((200, 5))
    assert (NoisyArgmax(1e-9).order(utility, Stream(6)) == np.argsort(-utility, axis=1)).all()
    tied = NoisyArgmax(0.5).order(np.zeros((N, 3)), Stream(7))[:, 0]
    for arm in range(3):
        assert _agrees((tied == arm).sum(), 1 / 3)


@pytest.mark.parametrize("model", [BradleyTerry(), NoisyArgmax(), PlackettLuce(2.0)])
def test_a_prefix_is_a_smaller_draw(model):
    first, second = Stream(8).normals(100), Stream(9).normals(100)
    whole, part = model.choose_first(first, second, Stream(10)), model.choose_first(first[:40], second[:40], Stream(10))
    assert (whole[:40] == part).all()
    utility = Stream(11).normals((100, 3))
    assert (model.order(utility, Stream(12))[:40] == model.order(utility[:40], Stream(12))).all()


def test_extreme_utilities_neither_overflow_nor_warn():
    sure = BradleyTerry().choose_first(np.array([1e5, -1e5]), np.zeros(2), Stream())
    assert sure.tolist() == [True, False]
    assert PlackettLuce().order(np.array([[1e5, 0.0, -1e5]]), Stream()).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(("model", "value"), [(BradleyTerry, 0.0), (PlackettLuce, -1.0), (NoisyArgmax, float("nan"))])
def test_wrong_scales_are_named(model, value):
    with pytest.raises(ValueError, match="must be positive"):
        model(value)
