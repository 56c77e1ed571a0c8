"""The torch MLP behind the protocol: its numbers against NumPy, its fits against finite differences and Newton."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from llm.networks.mlp import LITERAL, MLPPolicy, MLPTraining  # noqa: E402  # after the skip
from sim.algorithms.em_dpo import em_dpo  # noqa: E402
from sim.environments.linear import majority_bandit  # noqa: E402
from sim.policies.protocol import (  # noqa: E402
    FinitePolicy,
    Penalised,
    PreferencePolicy,
    Restorable,
    choice_log_likelihood,
)
from sim.populations.collect import collect_pairs, collect_rankings  # noqa: E402
from sim.populations.latent_types import LatentTypes  # noqa: E402
from sim.preferences import PreferencePairs, Rankings  # noqa: E402
from sim.streams import Stream  # noqa: E402

POPULATION = LatentTypes(np.array([0.6, 0.3, 0.1]))


def _pairs(n_annotators=40, seed=1):
    return collect_pairs(majority_bandit(), POPULATION, n_annotators, 10, Stream(seed, "mlp"))


def _policy(seed=0, beta=1.0, **training):
    return MLPPolicy(3, 3, beta=beta, training=MLPTraining(**training), stream=Stream(seed, role="net"))


def _by_hand(policy, contexts):
    """Table 1's network in NumPy: 3 - 10 - 10 - 3 with ReLU."""
    p, at, parts = policy.parameters.numpy(), 0, []
    for shape in ((10, 3), (10,), (10, 10), (10,), (3, 10), (3,)):
        size = int(np.prod(shape))
        parts.append(p[at : at + size].reshape(shape))
        at += size
    assert at == len(p) == 183
    w1, b1, w2, b2, w3, b3 = parts
    return np.maximum(np.maximum(contexts @ w1.T + b1, 0) @ w2.T + b2, 0) @ w3.T + b3


@pytest.mark.parametrize("beta", [0.1, 1.0, 5.0])
def test_numbers_against_numpy(beta):
    policy, contexts = _policy(beta=beta), Stream(2).uniforms((7, 3))
    outputs = _by_hand(policy, contexts)
    p = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    assert np.exp(policy.log_probabilities(contexts)) == pytest.approx(p, abs=1e-12)
    responses = np.array([0, 1, 2, 0, 1, 2, 0])
    assert policy.implicit_reward(contexts, responses) == pytest.approx(beta * outputs[np.arange(7), responses])
    ratio = np.log(p[np.arange(7), responses] * 3)
    assert policy.log_ratio(contexts, responses) == pytest.approx(ratio, abs=1e-12)
    margin = policy.implicit_reward(contexts, responses) - policy.implicit_reward(contexts, (responses + 1) % 3)
    assert margin == pytest.approx(beta * (ratio - np.log(p[np.arange(7), (responses + 1) % 3] * 3)), abs=1e-12)
    assert policy.rewards(contexts).dtype == np.float64


def test_it_is_every_kind_of_policy_the_algorithms_ask_for():
    policy = _policy()
    for protocol in (PreferencePolicy, FinitePolicy, Restorable, Penalised):
        assert isinstance(policy, protocol)


def _loss(policy, pairs, weights, normalised, l2):
    likelihood = weights @ choice_log_likelihood(policy, pairs)
    return -likelihood / (weights.sum() if normalised else len(weights)) + l2 / 2 * float(
        policy.parameters @ policy.parameters
    )


@pytest.mark.parametrize("normalised", [True, False])
def test_one_step_goes_against_the_gradient_of_the_stated_loss(normalised):
    """Adam's first step is -rate * sign(gradient) (up to its 1e-8): the gradient by finite differences."""
    pairs = _pairs()
    weights = Stream(3).uniforms(len(pairs))
    policy = _policy(normalised=normalised, l2=0.05, epochs=1, keep_best=False)
    start = policy.snapshot()
    gradient = np.empty(len(start))
    for j in range(len(start)):
        at = []
        for step in (1e-6, -1e-6):
            moved = start.clone()
            moved[j] += step
            policy.restore(moved)
            at.append(_loss(policy, pairs, weights, normalised, 0.05))
        gradient[j] = (at[0] - at[1]) / 2e-6
    policy.restore(start)
    policy.fit(pairs, weights)
    moved = (policy.parameters - start).numpy()
    clear = np.abs(gradient) > 1e-5
    assert clear.mean() > 0.8
    assert moved[clear] == pytest.approx(-0.01 * np.sign(gradient[clear]), rel=2e-3)


def test_a_normalised_fit_does_not_feel_the_scale_of_the_weights_and_a_literal_one_does():
    pairs, ones = _pairs(), np.ones(400)
    fits = {}
    for normalised in (True, False):
        for scale in (1.0, 0.01):
            policy = _policy(normalised=normalised, epochs=200)
            policy.fit(pairs, scale * ones)
            fits[normalised, scale] = policy.parameters.numpy()
    assert fits[True, 1.0] == pytest.approx(fits[True, 0.01], abs=1e-8)
    assert np.abs(fits[False, 1.0] - fits[False, 0.01]).max() > 0.1


def test_weight_zero_is_as_good_as_absent():
    pairs = _pairs()
    keep = pairs.annotator < 20
    whole, part = _policy(), _policy()
    whole.fit(pairs, keep.astype(float))
    part.fit(pairs.select(keep), np.ones(int(keep.sum())))
    assert whole.parameters.numpy() == pytest.approx(part.parameters.numpy(), abs=1e-12)


def test_keep_best_never_ends_worse_than_it_began():
    pairs, weights = _pairs(), np.ones(400)
    policy = _policy(rate=0.5, epochs=25, l2=0.0)
    for _ in range(4):
        before = _loss(policy, pairs, weights, True, 0.0)
        policy.fit(pairs, weights)
        assert _loss(policy, pairs, weights, True, 0.0) <= before + 1e-12
    wild = _policy(rate=0.5, epochs=1, l2=0.0, keep_best=False)
    wild.restore(policy.snapshot())
    wild.fit(pairs, weights)
    assert _loss(wild, pairs, weights, True, 0.0) > _loss(policy, pairs, weights, True, 0.0), "the control must differ"


def test_guarded_em_is_monotone_for_a_fixed_penalty():
    pairs = _pairs(30)
    policies = [_policy(seed, normalised=False, l2=1e-3, epochs=60) for seed in range(2)]
    fitted = em_dpo(pairs, policies, max_rounds=8, tolerance=0.0, stream=Stream(1))
    assert np.diff(fitted.penalised).min() > -1e-8 * abs(fitted.penalised[-1])
    assert fitted.penalised[-1] > fitted.penalised[0]


def test_penalty_belongs_to_the_loss():
    """log-likelihood - penalty must be minus the denominator times the loss, for both recipes."""
    pairs, weights = _pairs(), Stream(3).uniforms(400)
    for normalised in (True, False):
        policy = _policy(normalised=normalised, l2=0.02, epochs=20)
        policy.fit(pairs, weights)
        value = weights @ choice_log_likelihood(policy, pairs) - policy.penalty(float(weights.sum()))
        scale = weights.sum() if normalised else 400
        assert value == pytest.approx(-scale * _loss(policy, pairs, weights, normalised, 0.02))


def test_pooled_fit_finds_the_majority():
    """Pooled DPO: mean policy about (.535, .282, .184), argmax the majority's arm nearly everywhere."""
    pairs = _pairs(400, seed=5)
    policy = MLPPolicy(3, 3, training=LITERAL, stream=Stream(1))
    policy.fit(pairs, pairs.pair_weights())
    contexts = majority_bandit().draw_contexts(2000, Stream(2))
    log_p = policy.log_probabilities(contexts)
    assert np.exp(log_p).mean(axis=0) == pytest.approx([0.535, 0.282, 0.184], abs=0.07)
    assert (log_p.argmax(axis=1) == 0).mean() > 0.9
    assert 1 <= policy.epochs_run <= 1000


def test_rankings_of_two_are_pairs_and_of_three_are_plackett_luce():
    pairs = _pairs()
    offered = np.stack([pairs.chosen, pairs.rejected], axis=1)
    both = Rankings(pairs.contexts, offered, pairs.annotator, pairs.n_annotators)
    one, two = _policy(), _policy()
    one.fit(pairs, np.ones(400))
    two.fit(both, np.ones(400))
    assert (one.parameters == two.parameters).all()
    full = collect_rankings(majority_bandit(), POPULATION, 60, 5, Stream(7), n_ranked=3)
    ranked = _policy(epochs=100)
    before = choice_log_likelihood(ranked, full).mean()
    ranked.fit(full, np.ones(300))
    after = choice_log_likelihood(ranked, full).mean()
    assert after > before + 0.1


def test_streams_decide_the_start_and_the_global_generator_is_left_alone():
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    one, again, other = _policy(1), _policy(1), _policy(2)
    assert (torch.rand(3) == expected).all()
    assert (one.parameters == again.parameters).all()
    assert (one.parameters != other.parameters).any()
    assert one.parameters.abs().max() <= 1 / np.sqrt(3)  # torch's default start: uniform within 1 / sqrt(inputs)


def test_snapshot_is_a_copy_and_threads_are_put_back():
    before = torch.get_num_threads()
    policy = _policy(epochs=5)
    state = policy.snapshot()
    kept = state.clone()
    policy.fit(_pairs(), np.ones(400))
    assert (state == kept).all()
    assert (policy.parameters != kept).any()
    policy.restore(state)
    assert (policy.parameters == kept).all()
    assert torch.get_num_threads() == before


def test_float32_is_near_float64():
    pairs = _pairs()
    low = MLPPolicy(3, 3, training=MLPTraining(epochs=20), stream=Stream(1), dtype=torch.float32)
    high = MLPPolicy(3, 3, training=MLPTraining(epochs=20), stream=Stream(1))
    low.restore(high.parameters.float())
    for policy in (low, high):
        policy.fit(pairs, np.ones(400))
    assert low.rewards(pairs.contexts).dtype == np.float64
    assert low.rewards(pairs.contexts) == pytest.approx(high.rewards(pairs.contexts), abs=1e-2)


def test_wrong_input_is_named():
    empty = PreferencePairs(np.zeros((1, 3)), np.zeros(1, int), np.ones(1, int), np.zeros(1, int), 1)
    policy = _policy()
    start = policy.snapshot()
    policy.fit(empty, np.zeros(1))
    assert (policy.parameters == start).all(), "no weight, no fit"
    with pytest.raises(ValueError, match="weights must"):
        policy.fit(empty, np.array([-1.0]))
    with pytest.raises(ValueError, match="rate must be positive"):
        MLPTraining(rate=0.0)
    with pytest.raises(ValueError, match="epochs"):
        MLPTraining(epochs=0)
    with pytest.raises(ValueError, match="two actions"):
        MLPPolicy(3, 1)
