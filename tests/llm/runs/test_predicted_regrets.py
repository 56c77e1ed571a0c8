"""Regrets predicted from what the reference wrote: exact where it wrote everything, and nearer the more it wrote."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from llm.data.answer_sets import asked_responses  # noqa: E402
from llm.runs.predicted_regrets import order_agreement, predicted_regrets  # noqa: E402
from llm.runs.tiny_twin import collect, fit_types, fresh_policies, tiny_twin  # noqa: E402
from llm.training.adapter_training import DPOTraining  # noqa: E402
from sim.algorithms.dpo import dpo  # noqa: E402
from sim.algorithms.minmax_dpo import weigh  # noqa: E402
from sim.algorithms.regret import discrepancy  # noqa: E402
from sim.answer_kinds.response_choices import ResponseChoices  # noqa: E402
from sim.preferences import PreferencePairs  # noqa: E402
from sim.streams import Stream  # noqa: E402

# Networks of this size are slower on several threads than on one.
torch.set_num_threads(1)
BETA = 0.5


@pytest.fixture(scope="module")
def run():
    """A twin, its two types and a pooled policy; the exact L (2 groups, 3 policies)."""
    tastes = np.array([[0, 0, 0, 2.0, -1.0, 0], [0, 0, 0, -2.0, 1.0, 0.5]])
    twin = tiny_twin(tastes, np.array([0.6, 0.4]), 3, 2, Stream(4))
    training = DPOTraining(rate=3e-2, epochs=3, settled=0.0, batch=64)
    policies = fresh_policies(twin, ["one", "two", "pooled"], BETA, training, Stream(5))
    pairs = collect(twin, 20, 10, Stream(6))
    fit_types(policies[:2], pairs)
    dpo(policies[2], pairs)
    L = discrepancy([twin.space.table(policy, BETA) for policy in policies], np.arange(3))
    return twin, policies, L[:2]


def _written(twin, n, seed):
    reference = twin.space.reference()
    drawn = [twin.space.responses[Stream(seed, str(s)).choice(reference[s], n)] for s in range(3)]
    return np.repeat(twin.space.prompts, n), np.concatenate(drawn)


def _predicted(run, n, seed, **keys):
    twin, policies, _ = run
    return predicted_regrets(policies[:2], {"pooled": policies[2]}, *_written(twin, n, seed), beta=BETA, **keys)


def test_many_responses_give_the_exact_regrets(run):
    _, policies, L = run
    weights = np.array([0.3, 0.7])
    found = _predicted(run, 40_000, 1, weights=weights)
    own = BETA * np.diag(L[:, :2])
    assert found.regrets["pooled"] == pytest.approx(own - BETA * L[:, 2], abs=0.02)
    assert found.regrets["minmax"] == pytest.approx(own - BETA * L[:, :2] @ weights, abs=0.02)
    assert found.welfare["pooled"] == pytest.approx(BETA * L[:, 2], abs=0.02)
    assert found.weights is not None
    played = _predicted(run, 40_000, 1)
    assert played.weights == pytest.approx(weigh(policies[:2], L[:, :2], beta=BETA).weights, abs=0.02)
    assert played.responses == 40_000


def test_by_hand(run):
    """Four responses to one prompt: weights are ratios over their sum."""
    twin, policies, _ = run
    contexts = np.repeat(twin.space.prompts[:1], 4)
    responses = twin.space.responses[[0, 3, 11, 20]]
    found = predicted_regrets(policies[:2], {"pooled": policies[2]}, contexts, responses, beta=BETA)
    h = np.stack([policy.log_ratio(contexts, responses) for policy in policies])
    share = np.exp(h) / np.exp(h).sum(axis=1, keepdims=True)
    for z in range(2):
        own, of_pooled = sum(share[z] * h[z]), sum(share[2] * h[z])
        assert found.welfare["pooled"][z] == pytest.approx(BETA * of_pooled)
        assert found.regrets["pooled"][z] == pytest.approx(BETA * (own - of_pooled))
    assert found.effective["pooled"] == pytest.approx(1 / sum(share[2] ** 2))
    assert set(found.effective) == {"group 0", "group 1", "pooled"}


def test_more_responses_are_nearer(run):
    _, _, L = run
    exact = BETA * (np.diag(L[:, :2]) - L[:, 2])
    errors = [
        np.mean([np.abs(_predicted(run, n, seed).regrets["pooled"] - exact).mean() for seed in range(12)])
        for n in (10, 300)
    ]
    assert errors[1] < 0.4 * errors[0]


def test_prompts_count_alike_however_often_they_were_answered(run):
    twin, policies, _ = run
    contexts, responses = _written(twin, 50, 3)
    rows = np.concatenate([np.arange(150), np.arange(50), np.arange(50)])
    once, often = (
        predicted_regrets(policies[:2], {"pooled": policies[2]}, contexts[own], responses[own], beta=BETA)
        for own in (np.arange(150), rows)
    )
    assert often.regrets["pooled"] == pytest.approx(once.regrets["pooled"], abs=1e-12)


def test_what_was_asked_about_is_what_the_reference_wrote_by_hand():
    """Two people are asked (5, 7), whose 5 counts once; the 5 of (5, 9) was written again, as both of (8, 8) were."""
    chosen, rejected = np.array([5, 7, 9, 8, 5]), np.array([7, 5, 5, 8, 7])
    contexts = np.array([0, 0, 0, 0, 1])
    pairs = PreferencePairs(contexts, chosen, rejected, np.array([0, 1, 0, 0, 0]), 2)
    written = sorted(zip(*(column.tolist() for column in asked_responses(pairs)), strict=True))
    assert written == [(0, 5), (0, 5), (0, 7), (0, 8), (0, 8), (0, 9), (1, 5), (1, 7)]


def test_sets_of_responses_count_once_a_set():
    """Three responses 0, 1, 2: chosen 0 out of all, by one person, and 2 by another; then 0 out of {0, 1}."""
    first, second = np.array([0, 0, 2, 2, 0]), np.array([1, 2, 0, 1, 1])
    choices = ResponseChoices(
        np.full(3, 4), np.array([10, 11, 12]), first, second, np.ones(5), np.zeros(5), np.array([0, 2, 4, 5]),
        np.arange(3), np.ones(3), np.array([0, 1, 0]), 2,
    )  # fmt: skip
    contexts, responses = asked_responses(choices)
    assert sorted(responses.tolist()) == [10, 10, 11, 11, 12]
    assert set(contexts.tolist()) == {4}


def test_texts_written_often_count_often(run):
    """Answers whose pairs the reference drew: distinct texts alone are not its law."""
    twin, policies, L = run
    exact = BETA * (np.diag(L[:, :2]) - L[:, 2])
    pairs = collect(twin, 30, 30, Stream(8))
    rows = np.stack(asked_responses(pairs), axis=1)
    off = [
        np.abs(
            predicted_regrets(policies[:2], {"pooled": policies[2]}, *own.T, beta=BETA).regrets["pooled"] - exact
        ).mean()
        for own in (rows, np.unique(rows, axis=0))
    ]
    assert off[0] < 0.1 * np.abs(exact).max()
    assert off[0] < 0.5 * off[1]


def test_order_by_hand():
    truth = {"pooled": np.array([0.3, 0.6]), "minmax": np.array([0.4, 0.5])}
    assert order_agreement({"pooled": np.array([1, 9]), "minmax": np.array([2, 3])}, truth) == pytest.approx(1.0)
    # One of six pairs turned: (5 - 1) / 6.
    turned = {"pooled": np.array([1, 9]), "minmax": np.array([3, 2])}
    assert order_agreement(turned, truth) == pytest.approx(4 / 6)
    assert order_agreement({}, truth) is None
    assert order_agreement({"pooled": np.array([1, 2])}, truth) == pytest.approx(1.0)
