"""Sums over all responses of a tiny model: against brute force, transformers' own logits, and its sampler."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from scipy import stats  # noqa: E402

from llm.base.generation import Sampling  # noqa: E402
from llm.base.reference_policy import ReferencePolicy  # noqa: E402
from llm.runs.exact_policy import ExactResponses, exact_responses  # noqa: E402
from llm.runs.tiny_twin import END, START, collect, fit_types, fresh_policies, tiny_base, tiny_twin  # noqa: E402
from llm.training.passes import DPOTraining  # noqa: E402
from sim.policies.mixture import Mixture  # noqa: E402
from sim.streams import Stream  # noqa: E402

# Networks of this size are slower on several threads than on one.
torch.set_num_threads(1)
TASTES = np.array([[0, 0, 0, 2.0, -1.0, 0], [0, 0, 0, -2.0, 1.0, 0.5]])
TRAINING = DPOTraining(rate=3e-2, epochs=4, settled=0.0, batch=64)


@pytest.fixture(scope="module")
def fitted():
    twin = tiny_twin(TASTES, np.array([0.5, 0.5]), 3, 3, Stream(4))
    policies = fresh_policies(twin, ["one", "two"], 0.5, TRAINING, Stream(5))
    fit_types(policies, collect(twin, 30, 20, Stream(6)))
    return twin, policies


def _by_hand(base, name, prompt, response):
    """log pi(response | prompt), a token at a time, each from a forward pass of its own."""
    tokens, total = list(prompt), 0.0
    with base.using(name) as model, torch.inference_mode():
        for token in response:
            logits = model(input_ids=torch.tensor([tokens])).logits[0, -1].double()
            total += float(torch.log_softmax(logits, dim=0)[token])
            tokens.append(token)
    return total


@pytest.mark.parametrize("length", [1, 2, 3])
def test_all_responses_are_those_of_brute_force(length):
    base = tiny_base()
    space = exact_responses(base, np.array([base.store.add([START, 3])]), length)
    written = [tuple(base.store[r].tolist()) for r in space.responses.tolist()]
    wanted = set()
    for row in itertools.product(range(6), repeat=length):
        wanted.add(row[: row.index(END) + 1] if END in row else row)
    assert len(written) == len(set(written))
    assert set(written) == wanted


def test_probabilities_are_the_models_own(fitted):
    twin, policies = fitted
    space, base = twin.space, twin.space.base
    log_p, reference = space.log_probabilities(policies[0]), space.log_probabilities(ReferencePolicy(base))
    assert np.exp(log_p).sum(axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert np.abs(log_p - reference).max() > 0.5, "the adapter was trained"
    for s, a in ((0, 3), (1, 40), (2, 155)):
        prompt, response = base.store[int(space.prompts[s])].tolist(), base.store[int(space.responses[a])].tolist()
        assert log_p[s, a] == pytest.approx(_by_hand(base, "one", prompt, response), abs=1e-5)
        assert reference[s, a] == pytest.approx(_by_hand(base, None, prompt, response), abs=1e-5)


def test_values_and_kl_are_sums(fitted):
    twin, policies = fitted
    space = twin.space
    p, q = np.exp(space.log_probabilities(policies[1])), space.reference()
    kl = np.array([stats.entropy(own, other) for own, other in zip(p, q, strict=True)])
    assert space.kl_to_reference(policies[1]) == pytest.approx(kl, abs=1e-5)
    value = [[sum(p[s] * twin.rewards[z, s]) for s in range(3)] for z in range(2)]
    assert space.expected(policies[1], twin.rewards) == pytest.approx(np.array(value), abs=1e-5)
    table = space.table(policies[1], 0.5)
    assert np.exp(table.log_probabilities(np.arange(3))) == pytest.approx(p, abs=1e-6)
    assert space.implicit_rewards(policies[1], 0.5) == pytest.approx(0.5 * np.log(p / q), abs=1e-5)


def test_fitted_to_a_type_serves_it(fitted):
    twin, policies = fitted
    value = np.stack([twin.space.expected(policy, twin.rewards).mean(axis=1) for policy in policies], axis=1)
    assert value[0, 0] > value[0, 1] + 0.2
    assert value[1, 1] > value[1, 0] + 0.2


def test_the_sampler_draws_what_is_summed(fitted):
    """Chi-squared of 3,000 responses of the ensemble against its exact probabilities; cells of few are pooled."""
    twin, policies = fitted
    space = twin.space
    for policy in policies:
        policy.sampling = Sampling(max_new_tokens=3, batch=1000)
    mixture = Mixture(policies, np.array([0.3, 0.7]))
    drawn = mixture.sample(np.repeat(space.prompts[:1], 3000), Stream(8))
    place = {number: a for a, number in enumerate(space.responses.tolist())}
    seen = np.bincount([place[number] for number in drawn.tolist()], minlength=len(space.responses))
    expected = 3000 * np.exp(space.log_probabilities(mixture)[0])
    many = expected >= 8
    seen, expected = np.append(seen[many], seen[~many].sum()), np.append(expected[many], expected[~many].sum())
    assert stats.chisquare(seen, expected * 3000 / expected.sum()).pvalue > 1e-3


def test_answers_are_bradley_terry(fitted):
    twin, _ = fitted
    pairs = collect(twin, 40, 100, Stream(9))
    place = {number: a for a, number in enumerate(twin.space.responses.tolist())}
    prompt = {number: s for s, number in enumerate(twin.space.prompts.tolist())}
    own = twin.rewards[pairs.group[pairs.annotator], [prompt[c] for c in pairs.contexts.tolist()]]
    chosen, rejected = (
        own[np.arange(4000), [place[r] for r in side.tolist()]] for side in (pairs.chosen, pairs.rejected)
    )
    # Each answer goes the way of its own chance: the mean of (1 - p) of those chosen is that of p (1 - p) twice over.
    chance = 1 / (1 + np.exp(-np.abs(chosen - rejected)))
    right = (chosen >= rejected).mean() - (0.5 * (chosen == rejected)).mean()
    assert right == pytest.approx(np.where(chosen == rejected, 0.5, chance).mean(), abs=0.02)


def test_what_is_no_small_vocabulary_is_refused(fitted):
    twin, policies = fitted
    base, space = twin.space.base, twin.space
    with pytest.raises(ValueError, match=r"length must leave at most 100,000 responses \(got 8: 6 tokens make"):
        exact_responses(base, space.prompts, 8)
    with pytest.raises(ValueError, match="length must be at least 1"):
        exact_responses(base, space.prompts, 0)
    some = ExactResponses(base, space.prompts, space.responses[:-20])
    with pytest.raises(ValueError, match="must be all of them"):
        some.log_probabilities(policies[0])
