"""The linear bandit: context laws, rewards written out, and the largest regrets of section 5.1."""

import numpy as np
import pytest
from scipy import stats

from sim.environments.linear import LinearBandit, majority_bandit
from sim.streams import Stream

N = 20_000


def _bandit(law="cube", noise_sd=0.0, d=3):
    return LinearBandit(Stream(1, "coefficients").normals((2, 4, d + 1)), law, noise_sd)


def test_context_laws():
    """Kolmogorov-Smirnov against each law's exact marginal."""
    stream = Stream(4, "contexts")
    cube = _bandit("cube").draw_contexts(N, stream)
    gaussian = _bandit("gaussian").draw_contexts(N, stream)
    ball = _bandit("ball").draw_contexts(N, stream)
    for axis in range(3):
        assert stats.kstest(cube[:, axis], "uniform").pvalue > 1e-4
        assert stats.kstest(gaussian[:, axis], "norm").pvalue > 1e-4
        # one coordinate of a uniform point of the unit ball in 3 dimensions has density 3/4 (1 - t^2)
        assert stats.kstest(ball[:, axis], lambda t: 0.5 + 0.75 * (t - t**3 / 3)).pvalue > 1e-4
    radius = np.linalg.norm(ball, axis=1)
    assert radius.max() <= 1.0
    assert stats.kstest(radius**3, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("law", ["cube", "ball", "gaussian"])
def test_a_prefix_is_a_smaller_draw(law):
    bandit, stream = _bandit(law), Stream(2, "prefix")
    assert (bandit.draw_contexts(50, stream)[:20] == bandit.draw_contexts(20, stream)).all()


def test_rewards_written_out():
    bandit = _bandit()
    contexts = bandit.draw_contexts(6, Stream(3))
    rewards = bandit.rewards(contexts)
    for z in range(2):
        for j, x in enumerate(contexts):
            for a in range(4):
                assert rewards[z, j, a] == pytest.approx(float(bandit.coefficients[z, a] @ [*x, 1.0]))
    types, actions = np.array([0, 1, 1, 0, 1, 0]), np.array([[0, 1], [3, 2], [1, 0], [2, 3], [0, 3], [1, 2]])
    offered = bandit.rewards_of(contexts, types, actions, Stream())
    rows = np.arange(6)
    assert offered == pytest.approx(np.stack([rewards[types, rows, actions[:, p]] for p in range(2)], axis=1))


def test_noise_is_fresh_for_each_offered_arm():
    bandit = _bandit(noise_sd=0.1)
    contexts, types = bandit.draw_contexts(N, Stream(3)), np.zeros(N, dtype=np.int64)
    actions = np.tile([0, 0], (N, 1))
    noisy = bandit.rewards_of(contexts, types, actions, Stream(5, "noise"))
    noise = noisy - bandit.rewards(contexts)[0, :, :1]
    for place in range(2):
        assert stats.kstest(noise[:, place] / 0.1, "norm").pvalue > 1e-4
    assert abs(np.corrcoef(noise.T)[0, 1]) < 5 / np.sqrt(N)


def test_regret_of_the_best_the_worst_and_the_uniform_policy():
    """The bandit of section 5.1: 10 E[sum x] = 15 for another group's arm, 10 for the uniform policy."""
    bandit = majority_bandit()
    contexts = bandit.draw_contexts(5000, Stream(0, "evaluation"))
    error = 10 * np.sqrt(3 / 12 / 5000)
    first = np.tile(np.eye(3)[0], (5000, 1))
    assert bandit.regret(contexts, first)[0] == pytest.approx(0.0, abs=1e-12)
    assert bandit.regret(contexts, first)[1:] == pytest.approx([15.0, 15.0], abs=4 * error)
    assert bandit.regret(contexts, np.full((5000, 3), 1 / 3)) == pytest.approx([10.0] * 3, abs=4 * error)
    probabilities = np.tile([0.2, 0.5, 0.3], (5000, 1))
    total = 10 * contexts.sum(axis=1).mean()
    assert bandit.regret(contexts, probabilities) == pytest.approx(total * np.array([0.8, 0.5, 0.7]))
    assert bandit.expected_reward(contexts, probabilities) == pytest.approx(total * np.array([0.2, 0.5, 0.3]))


def test_majority_bandit_is_the_papers():
    bandit = majority_bandit()
    assert (bandit.n_types, bandit.n_actions, bandit.dimension) == (3, 3, 3)
    assert bandit.noise_sd**2 == pytest.approx(0.01)
    x = np.array([[0.2, 0.3, 0.4]])
    assert bandit.rewards(x)[:, 0] == pytest.approx(9.0 * np.eye(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)),), "coefficients must be"),
        ((np.zeros((2, 3, 4)), "sphere"), "context_law must be"),
        ((np.zeros((2, 3, 4)), "cube", -0.1), "noise_sd"),
        ((np.zeros((2, 3, 4)), "cube", float("nan")), "noise_sd"),
    ],
)
def test_wrong_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LinearBandit(*arguments)
