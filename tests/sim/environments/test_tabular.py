"""The finite environment against sums written out in plain Python, and against sampling."""

import itertools
import math

import numpy as np
import pytest

from sim.environments.tabular import TabularEnvironment, compromise_arm, maxmin_example, random_tabular
from sim.policies.softmax_table import SoftmaxTable
from sim.streams import Stream


@pytest.fixture(params=range(3))
def environment(request):
    return random_tabular(3, 4, 5, Stream(request.param, "tabular"), scale=2.0)


def _policy(environment, seed):
    raw = Stream(seed, "policy").uniforms((environment.n_contexts, environment.n_actions))
    return raw / raw.sum(axis=1, keepdims=True)


def _triples(environment):
    return itertools.product(range(environment.n_types), range(environment.n_contexts), range(environment.n_actions))


@pytest.mark.parametrize("beta", [0.1, 1.0, 5.0])
def test_expectations_written_out(environment, beta):
    policy = _policy(environment, 7)
    value, best, optimum = [0.0] * 3, [0.0] * 3, np.zeros(environment.rewards.shape)
    for z, s in itertools.product(range(3), range(4)):
        top = max(environment.rewards[z, s])
        raw = [environment.reference[s, a] * math.exp((environment.rewards[z, s, a] - top) / beta) for a in range(5)]
        optimum[z, s] = np.array(raw) / math.fsum(raw)
        best[z] += environment.context_probabilities[s] * top
        for a in range(5):
            value[z] += environment.context_probabilities[s] * policy[s, a] * environment.rewards[z, s, a]
    assert environment.expected_reward(policy) == pytest.approx(value, abs=1e-12)
    assert environment.optimal_policies(beta) == pytest.approx(optimum, abs=1e-12)
    assert environment.regret(policy) == pytest.approx(np.array(best) - value, abs=1e-12)
    soft = [environment.expected_reward(optimum[z])[z] - value[z] for z in range(3)]
    assert environment.regret(policy, "kl", beta) == pytest.approx(soft, abs=1e-12)


@pytest.mark.parametrize("beta", [0.1, 1.0, 5.0])
def test_optimum_beats_everything_near_and_far(environment, beta):
    """E r - beta KL is concave: no mixture with any other policy may do better than pi_z*."""
    for z, best in enumerate(environment.optimal_policies(beta)):
        reached = environment.regularised_value(best, beta)[z]
        others = [_policy(environment, seed) for seed in range(20)] + list(np.eye(5)[None].repeat(4, 0).swapaxes(0, 1))
        for other in others:
            for step in (1e-3, 0.1, 1.0):
                assert environment.regularised_value((1 - step) * best + step * other, beta)[z] <= reached + 1e-12
        # its value in closed form: beta E log C_z(s)
        constant = np.log((environment.reference * np.exp(environment.rewards[z] / beta)).sum(axis=1))
        assert reached == pytest.approx(beta * environment.context_probabilities @ constant, abs=1e-10)


def test_optimum_survives_a_beta_whose_exponentials_overflow(environment):
    policies = environment.optimal_policies(1e-4)
    assert np.isfinite(policies).all()
    assert policies.argmax(axis=2).tolist() == environment.rewards.argmax(axis=2).tolist()


def test_expected_reward_is_what_sampling_gives(environment):
    policy = _policy(environment, 3)
    table = SoftmaxTable(environment.reference, rewards=np.log(policy / environment.reference))
    n = 40_000
    contexts = environment.draw_contexts(n, Stream(1, "contexts"))
    actions = table.sample(contexts, Stream(2, "actions"))
    drawn = environment.rewards[:, contexts, actions]
    error = drawn.std(axis=1) / math.sqrt(n)
    assert (np.abs(drawn.mean(axis=1) - environment.expected_reward(policy)) < 5 * error).all()


def test_rewards_of_looks_up_each_row(environment):
    contexts, types = np.array([0, 3, 2]), np.array([2, 0, 1])
    actions = np.array([[0, 4], [1, 2], [3, 3]])
    found = environment.rewards_of(contexts, types, actions, Stream())
    for j, place in itertools.product(range(3), range(2)):
        assert found[j, place] == environment.rewards[types[j], contexts[j], actions[j, place]]


def test_examples_of_the_paper():
    example = maxmin_example()
    by_arm = np.stack([example.regret(np.eye(3)[a][None]) for a in range(3)])
    assert by_arm == pytest.approx(np.array([[0.02, 10.0], [0.01, 0.0], [0.0, 9.0]]))
    arms = compromise_arm(8.0)
    assert arms.rewards.shape == (3, 1, 4)
    assert arms.regret(np.eye(4)[3][None]) == pytest.approx([2.0, 2.0, 2.0])
    assert arms.regret(np.eye(4)[0][None]) == pytest.approx([0.0, 10.0, 10.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewards": np.zeros((2, 3))}, "rewards must be"),
        ({"context_probabilities": np.array([0.5, 0.6])}, "context_probabilities must be probabilities"),
        ({"context_probabilities": np.ones(3) / 3}, r"context_probabilities must be \(2,\)"),
        ({"reference": np.array([[1.0, 0.0], [0.5, 0.5]])}, "reference must be positive"),
        ({"reference": np.full((2, 2), 0.4)}, "sum to 1"),
    ],
)
def test_wrong_input_is_named(change, message):
    good = {
        "rewards": np.zeros((2, 2, 2)),
        "context_probabilities": np.full(2, 0.5),
        "reference": np.full((2, 2), 0.5),
    }
    TabularEnvironment(**good)
    with pytest.raises(ValueError, match=message):
        TabularEnvironment(**{**good, **change})
