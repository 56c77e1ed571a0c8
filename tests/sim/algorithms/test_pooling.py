"""Opinion pools against brute force, with zeros and at the limits; distances against quadrature and differences."""

import numpy as np
import pytest
from scipy.integrate import quad

from sim.algorithms.opinion_distances import distance_gradient, opinion_distance, printed_distance
from sim.algorithms.pooling import pool_opinions
from sim.algorithms.pop_dpo import pooled_pairs, pop_dpo, pop_dpo_optimum
from sim.policies.finite import log_softmax
from sim.policies.softmax_table import SoftmaxTable
from sim.streams import Stream

RANDOM = np.random.default_rng(3)
P = RANDOM.dirichlet(np.full(5, 1.5), size=4)


@pytest.mark.parametrize("alpha", [-3.0, -1.0, -0.01, 0.01, 0.5, 1.0, 4.0])
def test_against_the_power_formula(alpha):
    weight = (P**alpha).sum(axis=0) ** (1.0 / alpha)
    # The sum instead of the mean multiplies every candidate alike: 4^(1/alpha) may overflow, the pool does not.
    weight = ((P**alpha).mean(axis=0)) ** (1.0 / alpha) if not np.isfinite(weight).all() else weight
    assert pool_opinions(P, alpha) == pytest.approx(weight / weight.sum(), abs=1e-12)


def test_special_members():
    assert pool_opinions(P, 1.0) == pytest.approx(P.mean(axis=0), abs=1e-15)
    geometric = np.prod(P, axis=0) ** 0.25
    assert pool_opinions(P, 0.0) == pytest.approx(geometric / geometric.sum(), abs=1e-14)
    for alpha, of in ((-np.inf, P.min(axis=0)), (np.inf, P.max(axis=0))):
        assert pool_opinions(P, alpha) == pytest.approx(of / of.sum(), abs=1e-15)
    near = pool_opinions(P, 1e-9)
    assert near == pytest.approx(geometric / geometric.sum(), abs=1e-8)
    # Two annotators, alpha = -1: harmonic means 2 p q / (p + q) of (.2, .8) and (.6, .4) are .3 and .5333.
    hand = pool_opinions(np.array([[0.2, 0.8], [0.6, 0.4]]), -1.0)
    assert hand == pytest.approx([0.36, 0.64], abs=1e-12)


def test_batches_are_rows():
    many = RANDOM.dirichlet(np.ones(3), size=(7, 4))
    assert pool_opinions(many, 0.5)[3] == pytest.approx(pool_opinions(many[3], 0.5), abs=1e-15)


def test_zeros():
    opinions = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    for alpha in (-2.0, 0.0, -np.inf):
        pooled = pool_opinions(opinions, alpha)
        assert pooled[2] == 0.0
        assert pooled.sum() == pytest.approx(1.0)
    assert pool_opinions(opinions, 0.5)[2] > 0
    # Veto of everything: no pool. And the limit from above, a small positive alpha, is not a veto.
    opposed = np.array([[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(ValueError, match="no candidate is left"):
        pool_opinions(opposed, -1.0)
    assert pool_opinions(opposed, 0.3).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("bad", "message"),
    [([[0.5, 0.6]], "sum to 1"), ([[1.5, -0.5]], "not be negative"), ([0.5, 0.5], "annotators, candidates"),
     ([[np.nan, 1.0]], "finite")],
)  # fmt: skip
def test_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        pool_opinions(np.array(bad), 1.0)


@pytest.mark.parametrize("alpha", [-1.5, 0.25, 0.9999999, 0.5, 2.0, 1e-7])
def test_distance_against_its_definition(alpha):
    p, q = P[0], P[1]
    if abs(alpha) > 1e-3 and abs(1 - alpha) > 1e-3:
        plain = (1.0 - (p**alpha * q ** (1 - alpha)).sum()) / (alpha * (1 - alpha))
        assert opinion_distance(p, q, alpha) == pytest.approx(plain, abs=1e-12)
    # d_alpha as an f-divergence: sum q (u^alpha - alpha u + alpha - 1) / (alpha (alpha - 1)), u = p / q, and
    # f(u) = integral from 1 to u of (u - t) t^(alpha - 2) dt.
    f = [quad(lambda t, u=u: (u - t) * t ** (alpha - 2), 1.0, u)[0] for u in p / q]
    assert opinion_distance(p, q, alpha) == pytest.approx(float(q @ np.array(f)), abs=1e-7)


def test_distance_limits_and_zero():
    p, q = P[0], P[1]
    assert opinion_distance(p, q, 1.0) == pytest.approx(float((p * np.log(p / q)).sum()), abs=1e-15)
    assert opinion_distance(p, q, 0.0) == pytest.approx(float((q * np.log(q / p)).sum()), abs=1e-15)
    assert opinion_distance(p, q, 1.0 - 1e-9) == pytest.approx(opinion_distance(p, q, 1.0), abs=1e-7)
    assert opinion_distance(p, q, 1e-9) == pytest.approx(opinion_distance(p, q, 0.0), abs=1e-7)
    for alpha in (-2.0, -1.0, 0.0, 0.5, 1.0, 3.0):
        assert opinion_distance(p, p, alpha) == 0.0
    for alpha, value in ((-1.0, -2.0), (0.5, 8.0), (2.0, -4.0)):
        assert printed_distance(p, p, alpha) == pytest.approx(value)
    with pytest.raises(ValueError, match="no distance"):
        opinion_distance(p, q, np.inf)


def test_distance_with_zeros():
    p, q = np.array([0.0, 0.4, 0.6]), np.array([0.3, 0.3, 0.4])
    assert np.isfinite(opinion_distance(p, q, 1.0))
    assert opinion_distance(p, q, 0.0) == np.inf
    assert opinion_distance(p, q, -1.0) == np.inf
    assert opinion_distance(q, p, 2.0) == np.inf
    assert opinion_distance(p, q, 0.5) == pytest.approx((1 - np.sqrt(p * q).sum()) / 0.25, abs=1e-14)


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 1.0, 3.0])
def test_distance_gradient_against_differences(alpha):
    p, q = P[0], P[1]
    for a in range(5):
        step = 1e-6 * (np.arange(5) == a)
        # Off the simplex d_alpha is what its formula says; one direction is free up to a constant, which the
        # normalisation hides: compare directions that keep the sum.
        other = 1e-6 * (np.arange(5) == (a + 1) % 5)
        slope = (opinion_distance(p, q + step - other, alpha) - opinion_distance(p, q - step + other, alpha)) / 2e-6
        gradient = distance_gradient(p, q, alpha)
        assert gradient[a] - gradient[(a + 1) % 5] == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_resampled_answers_and_their_expectation():
    opinions = np.array([[[0.9, 0.1], [0.3, 0.7]], [[0.7, 0.3], [0.5, 0.5]]])
    expected = pooled_pairs(np.arange(2), np.array([[0, 1], [0, 1]]), opinions, 1.0)
    assert expected.weights == pytest.approx([0.8, 0.4, 0.2, 0.6])
    drawn = pooled_pairs(np.arange(2), np.array([[0, 1], [0, 1]]), opinions, 1.0, draws=20_000, stream=Stream(1, "pop"))
    share = [float((drawn.chosen[drawn.contexts == s] == 0).mean()) for s in (0, 1)]
    assert share == pytest.approx([0.8, 0.4], abs=4 * 0.5 / np.sqrt(20_000))
    reference = np.array([[0.6, 0.4], [0.5, 0.5]])
    wanted = pop_dpo_optimum(reference, np.array([[0.8, 0.2], [0.4, 0.6]]), 0.5)
    # .6 * .8^2 : .4 * .2^2 = .384 : .016
    assert wanted[0] == pytest.approx([0.96, 0.04])
    for pairs, tolerance in ((expected, 1e-6), (drawn, 0.02)):
        policy = SoftmaxTable(reference, beta=0.5, ridge=1e-10)
        pop_dpo(policy, pairs)
        assert np.exp(log_softmax(policy.table / 0.5 + np.log(reference))) == pytest.approx(wanted, abs=tolerance)


def test_resampling_is_refused_for_more_than_two_candidates():
    with pytest.raises(ValueError, match="two candidates"):
        pooled_pairs(np.arange(1), np.array([[0, 1, 2]]), np.full((2, 1, 3), 1 / 3), 1.0)
    with pytest.raises(ValueError, match="need a stream"):
        pooled_pairs(np.arange(1), np.array([[0, 1]]), np.full((2, 1, 2), 0.5), 1.0, draws=3)


@pytest.mark.parametrize("alpha", [1e-6, 1e-12, 1e-14, 1e-16, 1e-20, 1e-150])
def test_next_to_zero_the_number_who_give_something_decides_and_then_their_mean(alpha):
    opinions = np.array([[0.9, 0.1, 0.0, 0.0], [0.0, 0.0, 0.3, 0.7]])
    assert pool_opinions(opinions, alpha) == pytest.approx([0.45, 0.05, 0.15, 0.35], rel=1e-5)
    both = np.array([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
    assert pool_opinions(both, min(alpha, 1e-9)) == pytest.approx([0.0, 1.0, 0.0])
    full = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    # Without zeros nothing is counted, and what is asked beside does not matter.
    together = pool_opinions(np.stack([full, both]), alpha)
    assert (together[0] == pool_opinions(full, alpha)).all()


@pytest.mark.parametrize("alpha", [0.3, 0.9, 1.0])
def test_zeros_by_the_formula(alpha):
    opinions = np.array([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8], [0.5, 0.5, 0.0]])
    weight = (opinions**alpha).sum(axis=0) ** (1 / alpha)
    assert pool_opinions(opinions, alpha) == pytest.approx(weight / weight.sum(), rel=1e-12)
