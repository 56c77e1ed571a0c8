"""Low-rank worlds: what the dials say is what is drawn."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.special import ndtr

from sim.environments.low_rank import exotic_world, low_rank_matrix, plain_world
from sim.streams import Stream


def test_rank_length_and_spectrum() -> None:
    theta = low_rank_matrix(7, 9, 3, Stream(1), norm=2.0, ratio=4.0)
    values = np.linalg.svd(theta, compute_uv=False)
    assert np.isclose(np.linalg.norm(theta), 2.0)
    np.testing.assert_allclose(values[3:], 0.0, atol=1e-12)
    np.testing.assert_allclose(values[:2] / values[1:3], 2.0)  # geometric: 4, 2, 1


def test_power_law_and_off_rank_mass() -> None:
    values = np.linalg.svd(low_rank_matrix(6, 8, 2, Stream(2), power=1.0), compute_uv=False)
    np.testing.assert_allclose(values / values[0], 1.0 / np.arange(1, 7))
    tails = []
    for share in (0.0, 0.3):
        own = np.linalg.svd(low_rank_matrix(30, 30, 2, Stream(3), off_rank=share), compute_uv=False)
        tails.append(np.linalg.norm(own[2:]) / np.linalg.norm(own))
    # A dense part of .3 of the length, of which a fifteenth or so falls on the two directions.
    assert tails[0] < 1e-12
    assert 0.2 < tails[1] < 0.3


def test_only_the_first_columns_matter() -> None:
    theta = low_rank_matrix(5, 9, 2, Stream(4), columns=4)
    assert np.abs(theta[:, :4]).max() > 0.1
    assert not theta[:, 4:].any()


@pytest.mark.parametrize(("rank", "ratio"), [(0, 1.0), (6, 1.0), (2, 0.5)])
def test_impossible_matrices_are_refused(rank: int, ratio: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in|at least 1"):
        low_rank_matrix(5, 7, rank, Stream(5), ratio=ratio)


def test_answers_follow_the_choice_model() -> None:
    """The answer is folded into the sign: z turned back, P(first) = sigma(u), Phi(u), or mixed with flips."""
    world = plain_world(low_rank_matrix(4, 5, 2, Stream(6)))
    from scipy.special import expit, ndtr

    models = (
        (world, lambda u: expit(u)),
        (replace(world, probit=True), lambda u: ndtr(u)),
        (replace(world, flips=0.2), lambda u: 0.2 + 0.6 * expit(u)),
    )
    for own, chance in models:
        x, signed = own.comparisons(200_000, Stream(7))
        u = ((x @ own.theta) * signed).sum(axis=1)
        # The unsigned margin is symmetric: of answers with |u| about t the chosen has margin +t with P(t).
        for low, high in ((0.2, 0.4), (1.0, 1.3), (2.0, 3.0)):
            inside = (np.abs(u) > low) & (np.abs(u) < high)
            expected = chance(np.abs(u[inside])).mean()
            error = 4.5 * np.sqrt(expected * (1 - expected) / inside.sum())
            assert abs((u[inside] > 0).mean() - expected) < error


def test_rankings_are_plackett_luce() -> None:
    """One context and one set of items: frequencies of the six orders against the product formula."""
    theta = np.array([[1.0]])
    world = plain_world(theta)
    x, ranked = world.rankings(60_000, 3, Stream(8))
    u = x[:, :, None] * ranked  # (n, 3, 1), in the order of the ranking
    chance = np.ones(len(u))
    total = np.zeros(len(u))
    for order in permutations(range(3)):
        own = np.exp(u[:, order, 0])
        p = own[:, 0] / own.sum(axis=1) * own[:, 1] / (own[:, 1] + own[:, 2])
        total += p
        if order == (0, 1, 2):
            chance = p
    np.testing.assert_allclose(total, 1.0)
    # Given the set of items, the order seen has probability `chance`: E[1 / chance] is the number of orders.
    inverse = 1.0 / chance
    assert abs(inverse.mean() - 6.0) < 4.5 * inverse.std() / np.sqrt(len(u))


@pytest.mark.parametrize("dials", [
    {}, {"bounded": True}, {"flips": 1.0}, {"flips": 0.3}, {"probit": True}, {"probit": True, "flips": 0.2},
])  # fmt: skip
def test_rankings_of_two_are_comparisons(dials) -> None:
    """How often the better item is first, at margins of three sizes, against the world's own law."""
    world = replace(plain_world(low_rank_matrix(3, 4, 2, Stream(11), norm=4.0)), **dials)
    x, ranked = world.rankings(30_000, 2, Stream(12))
    z = ranked[:, 0] - ranked[:, 1]
    if world.bounded:
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0)
    u = np.einsum("nd,nd->n", x @ world.theta, z)
    better = np.where(u[:, None, None] > 0, ranked, ranked[:, ::-1])
    expected = world.preferred(x, np.zeros(len(x), dtype=np.int64), better)
    for low, high in ((0.0, 0.5), (0.5, 1.5), (1.5, 30.0)):
        inside = (np.abs(u) > low) & (np.abs(u) < high)
        p = expected[inside]
        error = 4.5 * np.sqrt((p * (1 - p)).sum() + 1e-9) / inside.sum()
        assert abs((u[inside] > 0).mean() - p.mean()) < error


def test_probit_rankings_of_three_are_thurstones() -> None:
    """P(first) = int phi(t) prod_j Phi(t + (u_1 - u_j) sqrt 2) dt, by quadrature, given the set of items."""
    world = replace(plain_world(np.array([[1.5]])), probit=True)
    x, ranked = world.rankings(20_000, 3, Stream(13))
    u = 1.5 * x * ranked[:, :, 0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    chance = np.stack([
        (weights / weights.sum() * np.prod(
            [ndtr(nodes + np.sqrt(2.0) * (u[:, [k]] - u[:, [j]])) for j in range(3) if j != k], axis=0
        )).sum(axis=1)
        for k in range(3)
    ])  # fmt: skip
    np.testing.assert_allclose(chance.sum(axis=0), 1.0, atol=1e-3)
    # Given the set, who is first has probability `chance`: E[1 / chance] is how many there are.
    inverse = 1.0 / chance[0]
    assert abs(inverse.mean() - 3.0) < 4.5 * inverse.std() / np.sqrt(len(u))


def test_bounded_rankings_are_of_two() -> None:
    with pytest.raises(ValueError, match="n_offered must"):
        plain_world(np.eye(3), bounded=True).rankings(5, 3, Stream(14))


def test_targets_rewards_and_what_is_hidden() -> None:
    theta = low_rank_matrix(6, 8, 2, Stream(9), columns=5)
    world = replace(exotic_world(theta, 5, unsafe=-2.0, normal=3, exotic=4), hidden=2)
    targets = world.targets(50, Stream(10))
    assert targets.contexts.shape == (50, 4)
    assert targets.features.shape == (50, 7, 8)
    np.testing.assert_array_equal(targets.exotic, [False] * 3 + [True] * 4)
    assert not targets.features[:, :3, 5:].any()
    assert np.abs(targets.features[:, 3:, 5:]).mean() > 0.5
    whole = replace(world, hidden=0).targets(50, Stream(10))
    np.testing.assert_array_equal(whole.contexts[:, :4], targets.contexts)
    by_hand = np.einsum("md,de,mae->ma", whole.contexts, theta, targets.features)
    by_hand[:, 3:] -= 2.0
    np.testing.assert_allclose(targets.rewards, by_hand)


def test_training_hardly_varies_exotic_features_and_bounded_worlds_are_bounded() -> None:
    theta = low_rank_matrix(6, 8, 2, Stream(11), columns=5)
    _, z = exotic_world(theta, 5, tau=0.05).comparisons(20_000, Stream(12))
    np.testing.assert_allclose(z.std(axis=0), [1.0] * 5 + [0.05] * 3, rtol=0.05)
    x, z = plain_world(theta, bounded=True).comparisons(100, Stream(13))
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1.0)
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1.0)
