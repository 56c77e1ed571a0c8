"""Every world through one protocol: it is met, and answers are as frequent as the world's own formula says."""

import numpy as np
import pytest
from scipy.special import expit, ndtr, ndtri

from sim.environments.contextual_pool import ContextualPool
from sim.environments.episodic_mdp import random_mdp
from sim.environments.linear import majority_bandit
from sim.environments.linear_types import LinearTypes
from sim.environments.low_rank import LowRankWorld, low_rank_matrix, plain_world
from sim.environments.preference_tables import PreferenceTables, cyclic_matrix, uniform_pairs
from sim.environments.protocol import Environment, FeatureWorld, NumberedEnvironment, RewardEnvironment, noisy_sigmoid
from sim.environments.tabular import random_tabular
from sim.environments.trajectory_pool import TrajectoryPool
from sim.environments.two_attributes import two_attribute_world
from sim.populations.behaviour import Behaviour
from sim.populations.choice import NoisyArgmax
from sim.populations.collect import collect_pairs, collect_rankings
from sim.populations.latent_types import LatentTypes
from sim.streams import Stream

S = Stream(7, "worlds")
TABULAR = random_tabular(3, 4, 5, S)
BANDIT = majority_bandit(scale=1.0, noise_sd=0.8)
FEATURES = S.child("features").normals((6, 3))
POOL = TrajectoryPool(FEATURES, np.full(6, 1 / 6), np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1]), reference=0)
ACTIONS = S.child("actions").normals((2, 4, 3))
CONTEXTUAL = ContextualPool(
    ACTIONS, np.array([0.3, 0.7]), np.full((2, 4), 0.25), np.full((2, 4), 0.25), np.array([0, 1])
)
MDP = random_mdp(3, 2, 3, 3, S)
THETA = 2.0 * S.child("theta").normals((4, 3))
MATRIX = low_rank_matrix(3, 4, 2, S)
LOW_RANK = plain_world(MATRIX)
ONES = {name: np.ones(4) for name in ("feature_sd", "normal_sd", "exotic_sd")}
PROBIT = LowRankWorld(MATRIX, np.ones(3), **ONES, probit=True, flips=0.1)
BOUNDED = LowRankWorld(20 * MATRIX, np.ones(3), **ONES, bounded=True)
ATTRIBUTES = two_attribute_world(3, 4, S)
TABLES = PreferenceTables(
    np.stack([[cyclic_matrix(5, 0.8)] * 2, [cyclic_matrix(5, -0.3)] * 2]), np.array([0.2, 0.8]), uniform_pairs(5)
)


def _bilinear(world):
    return lambda x, z, a, b: np.einsum("nd,de,ne->n", x, world.theta, a - b)


def _mdp_return(trajectories):
    return MDP.features[trajectories[..., 0], trajectories[..., 1]].sum(axis=1)


def _noisy(x, z, a, b):
    """Averaged over 400 quantiles of the noise of a difference."""
    draws = np.sqrt(2.0) * 0.8 * ndtri((np.arange(400) + 0.5) / 400)
    gap = BANDIT.coefficients[z, a, :-1] - BANDIT.coefficients[z, b, :-1]
    return expit(np.einsum("nd,nd->n", gap, x)[:, None] + draws).mean(axis=1)


# name -> (world, P(a is preferred to b) from contexts, types and two responses, written out)
WORLDS = {
    "tabular": (TABULAR, lambda x, z, a, b: expit(TABULAR.rewards[z, x, a] - TABULAR.rewards[z, x, b])),
    "linear": (BANDIT, _noisy),
    "trajectory pool": (
        LinearTypes(POOL, THETA), lambda x, z, a, b: expit(((FEATURES[a] - FEATURES[b]) * THETA[z]).sum(axis=1))
    ),
    "contextual pool": (
        LinearTypes(CONTEXTUAL, THETA),
        lambda x, z, a, b: expit(((ACTIONS[x, a] - ACTIONS[x, b]) * THETA[z]).sum(axis=1)),
    ),
    "episodic MDP": (
        LinearTypes(MDP, THETA),
        lambda x, z, a, b: expit(((_mdp_return(a) - _mdp_return(b)) * THETA[z]).sum(axis=1)),
    ),
    "low rank": (LOW_RANK, lambda *row: expit(_bilinear(LOW_RANK)(*row))),
    "low rank, probit and flips": (PROBIT, lambda *row: 0.1 + 0.8 * ndtr(_bilinear(PROBIT)(*row))),
    "low rank, bounded": (BOUNDED, lambda *row: expit(_bilinear(BOUNDED)(*row))),
    "two attributes": (ATTRIBUTES, lambda *row: expit(_bilinear(ATTRIBUTES)(*row))),
    "preference tables": (TABLES, lambda x, z, a, b: 0.5 + 0.5 * TABLES.matrices[z, x, a, b]),
}  # fmt: skip
WITHOUT_REWARDS = {"preference tables"}


def _even(world):
    return LatentTypes(np.full(world.n_types, 1.0 / world.n_types))


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_meets_the_protocol(name):
    world = WORLDS[name][0]
    assert isinstance(world, Environment)
    assert isinstance(world, RewardEnvironment) == (name not in WITHOUT_REWARDS)
    assert isinstance(world, NumberedEnvironment) == (name in {"tabular", "linear"})


def test_pools_and_the_mdp_are_worlds_of_features():
    assert all(isinstance(world, FeatureWorld) for world in (POOL, CONTEXTUAL, MDP))


@pytest.mark.parametrize("name", WORLDS)
def test_answers_are_as_frequent_as_the_formula_says(name):
    world, formula = WORLDS[name]
    pairs = collect_pairs(world, _even(world), 1000, 20, Stream(1, name))
    types = pairs.group[pairs.annotator]
    # Which of the two stands first must not depend on the answer: the larger projection does.
    keys = [np.asarray(side, dtype=float).reshape(len(pairs), -1) for side in (pairs.chosen, pairs.rejected)]
    direction = np.sqrt(np.arange(2.0, 2.0 + keys[0].shape[1]))
    won = keys[0] @ direction > keys[1] @ direction
    shape = (-1,) + (1,) * (pairs.chosen.ndim - 1)
    first = np.where(won.reshape(shape), pairs.chosen, pairs.rejected)
    second = np.where(won.reshape(shape), pairs.rejected, pairs.chosen)
    chance = formula(pairs.contexts, types, first, second)
    assert world.preferred(pairs.contexts, types, np.stack([first, second], axis=1)) == pytest.approx(chance, abs=0.02)
    told = np.abs(chance - 0.5) > 1e-9
    assert told.sum() > 5_000
    assert chance[told].std() > 0.05
    for weight in (np.ones(told.sum()), chance[told] - 0.5):
        gap = ((won[told] - chance[told]) * weight).sum()
        assert abs(gap) < 5.0 * np.sqrt((chance[told] * (1 - chance[told]) * weight**2).sum())


@pytest.mark.parametrize("name", WORLDS)
def test_no_draw_depends_on_how_many_annotators_there_are(name):
    """Offers and answers of worlds drawn number by number; a world with a library generator keeps its rows too."""
    world = WORLDS[name][0]
    few, many = (collect_pairs(world, _even(world), n, 3, Stream(2, name)) for n in (5, 9))
    assert np.array_equal(few.contexts, many.contexts[:15])
    assert np.array_equal(few.chosen, many.chosen[:15])


@pytest.mark.parametrize("name", ["tabular", "episodic MDP", "low rank", "two attributes"])
def test_rankings_put_the_better_first(name):
    world = WORLDS[name][0]
    found = collect_rankings(world, _even(world), 500, 4, Stream(4, name), n_offered=3, n_ranked=3)
    rewards = world.rewards_of(found.contexts, found.group[found.annotator], found.responses, Stream())
    total = np.exp(rewards).sum(axis=1)
    right = np.exp(rewards[:, 0]) / total
    # P(a given one is first) from Plackett-Luce: the best item by reward is first as often as its share says.
    best = rewards.max(axis=1)
    share = np.exp(best) / total
    assert abs((rewards[:, 0] == best).mean() - share.mean()) < 5 * np.sqrt(0.25 / len(found))
    assert right.mean() > 0.4


def test_hidden_dimensions_are_not_in_the_answers():
    world = LowRankWorld(MATRIX, np.ones(3), **ONES, hidden=1)
    pairs = collect_pairs(world, _even(world), 50, 2, Stream(5))
    assert pairs.contexts.shape == (100, 2)
    assert world.draw_contexts(3, Stream(5)).shape == (3, 3)


def test_bounded_differences_have_length_one():
    pairs = collect_pairs(BOUNDED, _even(BOUNDED), 20, 2, Stream(6))
    assert np.linalg.norm(pairs.chosen - pairs.rejected, axis=1) == pytest.approx(np.ones(40))


def test_what_a_world_cannot_do_is_named():
    with pytest.raises(ValueError, match="behaviour chooses among numbered actions"):
        collect_pairs(LOW_RANK, _even(LOW_RANK), 2, 2, S, behaviour=Behaviour(0.5))
    with pytest.raises(ValueError, match="environment must have rewards"):
        collect_rankings(TABLES, _even(TABLES), 2, 2, S)
    with pytest.raises(ValueError, match="environment must have rewards"):
        collect_pairs(TABLES, _even(TABLES), 2, 2, S, choice=NoisyArgmax())
    with pytest.raises(ValueError, match="choice must be given"):
        collect_rankings(PROBIT, _even(PROBIT), 2, 2, S)
    with pytest.raises(ValueError, match=r"n_offered must be a whole number, 2\.\.2"):
        collect_rankings(LinearTypes(POOL, THETA), LatentTypes(np.full(4, 0.25)), 2, 2, S)


def test_noisy_sigmoid_against_simulation():
    margin, draws = np.array([-3.0, 0.0, 0.5, 4.0]), Stream(8).normals(400_000)
    for sd in (0.1, 1.0, 3.0):
        simulated = expit(margin[:, None] + sd * draws).mean(axis=1)
        assert noisy_sigmoid(margin, sd) == pytest.approx(simulated, abs=4e-3)
    assert noisy_sigmoid(margin, 0.0) == pytest.approx(expit(margin))
