"""Dynamic programming, occupancies and trajectories against enumeration and simulation."""

import numpy as np
import pytest
from alone import in_python

from sim.compiled import trajectories as kernels
from sim.environments.episodic_mdp import EpisodicMDP, linear_mdp, random_mdp
from sim.streams import Stream


def test_backward_recursion_and_occupancies_agree():
    mdp = random_mdp(4, 3, 5, 4, Stream(1))
    reward = Stream(2).normals((4, 3))
    for seed in range(10):
        policy = Stream(3, replicate=seed).integers(3, (4, 4))
        assert mdp.value(policy, reward) == pytest.approx(mdp.occupancy_value(policy, reward), abs=1e-12)
        assert mdp.occupancy(policy).sum() == pytest.approx(4.0)


def test_dynamic_programming_against_every_policy():
    mdp = random_mdp(2, 2, 3, 3, Stream(4))
    reward = Stream(5).normals((2, 2))
    policy, value = mdp.best_policy(reward)
    values = [mdp.value(other, reward) for other in mdp.all_policies()]
    assert len(values) == 64
    assert value == pytest.approx(max(values), abs=1e-12)
    assert mdp.value(policy, reward) == pytest.approx(value, abs=1e-12)


def test_two_states_by_hand():
    """Action 1 in state 0 leads to state 1, worth 5 a step; action 0 stays and pays 1."""
    moves = np.zeros((1, 2, 2, 2))
    moves[0, 0, 0, 0] = moves[0, 0, 1, 1] = moves[0, 1, :, 1] = 1.0
    mdp = EpisodicMDP(moves, np.array([1.0, 0.0]), np.zeros((2, 2, 1)))
    reward = np.array([[1.0, 0.0], [5.0, 5.0]])
    policy, value = mdp.best_policy(reward)
    assert (policy[0, 0], value) == (1, 5.0)
    assert mdp.occupancy(policy) == pytest.approx(np.array([[1.0, 0.0], [0.0, 1.0]]))


def test_trajectories_follow_the_occupancies():
    mdp = random_mdp(3, 2, 2, 3, Stream(6))
    behaviour = np.full((3, 2), 0.5)
    states, actions = mdp.trajectories(40_000, behaviour, Stream(7))
    law = mdp.law
    for h in range(3):
        assert np.bincount(states[:, h], minlength=3) / 40_000 == pytest.approx(law, abs=0.012)
        if h < 2:
            law = np.einsum("s,sa,sat->t", law, behaviour, mdp.transitions[h])
    assert actions.mean() == pytest.approx(0.5, abs=0.01)


def test_kernels_of_walks_equal_their_python_functions():
    mdp, horizon = random_mdp(4, 3, 5, 3, Stream(10)), 3
    uniform, behaviour = Stream(11).uniforms((200, 2 * horizon)), np.full((4, 3), 1 / 3)
    laws = [np.cumsum(law, axis=-1) for law in (mdp.law, behaviour, mdp.transitions)]
    found = []
    for walk, add in ((kernels.walk, kernels.add_features), (in_python(kernels.walk), in_python(kernels.add_features))):
        states, actions = np.empty((2, 200, horizon), np.int64)
        totals = np.empty((200, 5))
        walk(uniform, *laws, states, actions)
        add(mdp.features, states, actions, totals)
        found.append((states, actions, totals))
    assert all((own == other).all() for own, other in zip(*found, strict=True))
    states, actions, totals = found[0]
    assert totals == pytest.approx(mdp.features[states, actions].sum(axis=1), abs=1e-15)
    # By hand: the inverse distribution function, step by step.
    assert (states[:, 0] == np.searchsorted(laws[0], uniform[:, 0], side="right")).all()
    for i in range(200):
        for h in range(horizon - 1):
            edges = laws[2][h, states[i, h], actions[i, h]]
            assert states[i, h + 1] == np.searchsorted(edges / edges[-1], uniform[i, 2 * h + 2], side="right")


def test_places_of_rows_are_those_of_the_inverse_distribution_function():
    laws, rows = np.array([[0.2, 0.0, 0.8], [0.5, 0.5, 0.0]]), np.arange(400) % 2
    edges, uniform = np.cumsum(laws, axis=1), Stream(12).uniforms(400)
    uniform[:2] = 0.0
    picked, slow = np.empty((2, 400), np.int64)
    kernels.pick_rows(edges, rows, uniform, picked)
    in_python(kernels.pick_rows)(edges, rows, uniform, slow)
    expected = [np.searchsorted(edges[row], u, side="right") for row, u in zip(rows, uniform, strict=True)]
    assert (picked == slow).all()
    assert (picked == expected).all()
    assert (laws[rows, picked] > 0).all()


def test_answers_follow_the_returns():
    mdp = random_mdp(3, 2, 2, 3, Stream(8))
    theta = np.array([[6.0, -4.0], [-6.0, 4.0]])
    x = mdp.collect(theta, 20_000, np.full((3, 2), 0.5), Stream(9))
    margin = np.einsum("mnd,md->mn", x, theta)
    # P(margin > 0 | |margin|) = sigma(|margin|)
    assert (margin > 0).mean() == pytest.approx((1 / (1 + np.exp(-np.abs(margin)))).mean(), abs=0.01)
    assert x.shape == (2, 20_000, 2)


def test_linear_mdp_has_transitions_of_low_rank():
    mdp = linear_mdp(6, 4, 3, 3, Stream(10))
    assert np.linalg.matrix_rank(mdp.transitions[0].reshape(24, 6)) == 3
    assert mdp.transitions.sum(axis=-1) == pytest.approx(np.ones((2, 6, 4)))


def test_bad_shapes():
    with pytest.raises(ValueError, match="transitions must be"):
        EpisodicMDP(np.ones((1, 2, 2, 3)), np.ones(2) / 2, np.zeros((2, 2, 1)))
    with pytest.raises(ValueError, match="probabilities"):
        EpisodicMDP(np.ones((1, 2, 2, 2)), np.ones(2) / 2, np.zeros((2, 2, 1)))
