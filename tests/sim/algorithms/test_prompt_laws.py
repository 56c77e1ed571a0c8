"""EM where types may meet different prompts: the E-step by hand, a monotone likelihood, and its two limits."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import adjusted_rand_score

from sim.algorithms.em_dpo import em_dpo, em_dpo_restarts, random_split
from sim.algorithms.prompt_laws import PromptLaws
from sim.policies.log_linear import ItemFeatures, LogLinear
from sim.preferences import PreferencePairs
from sim.streams import Stream

ITEMS = ItemFeatures(Stream(1, "items").normals((12, 3)))
THETA = np.array([[2.0, 0.0, 0.5], [-2.0, 1.0, 0.5]])


def _answers(seed, n_annotators=60, per_annotator=4, correlation=0.6, weights=False):
    """Two types, six prompts; a type's own three are met with `correlation`, else any."""
    rng = np.random.default_rng(seed)
    kind = (np.arange(n_annotators) % 3 == 0).astype(np.int64)
    annotator = np.repeat(np.arange(n_annotators), per_annotator)
    n = len(annotator)
    own = rng.random(n) < correlation
    prompt = np.where(own, 3 * kind[annotator] + rng.integers(0, 3, n), rng.integers(0, 6, n))
    first = rng.integers(0, 12, n)
    second = (first + rng.integers(1, 12, n)) % 12
    margin = ((ITEMS.table[first] - ITEMS.table[second]) * THETA[kind[annotator]]).sum(axis=1)
    wins = rng.random(n) < 1 / (1 + np.exp(-margin))
    return PreferencePairs(
        prompt, np.where(wins, first, second), np.where(wins, second, first), annotator, n_annotators, group=kind,
        weights=rng.uniform(0.5, 1.5, n) if weights else None,
    )  # fmt: skip


def _policies(n=2):
    return [LogLinear(ITEMS, ridge=0.1, mass_scaled=False) for _ in range(n)]


@pytest.mark.parametrize("weights", [False, True])
def test_e_step_by_hand(weights):
    """One M-step from a split, then gamma, answer by answer, with the mode of a Dirichlet for p_k."""
    pairs = _answers(3, 12, 3, weights=weights)
    start = random_split(12, 2, Stream(2))
    policies = _policies()
    fitted = em_dpo(pairs, policies, start=start, max_rounds=0, prompts=PromptLaws(pairs.contexts, 7.0))
    w = np.ones(len(pairs)) if pairs.weights is None else pairs.weights
    q = np.array([w[pairs.contexts == x].sum() for x in range(6)]) / w.sum()
    joint, penalised = np.zeros((12, 2)), 0.0
    for k in range(2):
        count = np.array([(w * start[pairs.annotator, k])[pairs.contexts == x].sum() for x in range(6)])
        law = (count + 7.0 * q) / (count.sum() + 7.0)
        assert fitted.prompt_laws[:, k] == pytest.approx(law, abs=1e-12)
        joint[:, k] = np.log(start[:, k].mean())
        for j in range(len(pairs)):
            margin = (ITEMS.table[pairs.chosen[j]] - ITEMS.table[pairs.rejected[j]]) @ policies[k].theta
            own = np.log(law[pairs.contexts[j]] / q[pairs.contexts[j]]) - np.log1p(np.exp(-margin))
            joint[pairs.annotator[j], k] += w[j] * own
        # -log of the prior's density at p_k, less that at q.
        penalised += stats.dirichlet.logpdf(law, 1 + 7.0 * q) - stats.dirichlet.logpdf(q, 1 + 7.0 * q)
        penalised -= 0.05 * policies[k].theta @ policies[k].theta
    gamma = np.exp(joint) / np.exp(joint).sum(axis=1, keepdims=True)
    assert fitted.responsibilities == pytest.approx(gamma, abs=1e-10)
    likelihood = np.log(np.exp(joint).sum(axis=1)).sum()
    assert fitted.log_likelihood[0] == pytest.approx(likelihood, abs=1e-9)
    assert fitted.penalised[0] == pytest.approx(likelihood + penalised, abs=1e-9)


@pytest.mark.parametrize("strength", [0.5, 20.0])
def test_likelihood_is_monotone(strength):
    for seed in range(8):
        pairs = _answers(seed, weights=seed % 2 == 1)
        fitted = em_dpo(
            pairs, _policies(), stream=Stream(seed), max_rounds=25, tolerance=0.0,
            prompts=PromptLaws(pairs.contexts, strength),
        )  # fmt: skip
        assert np.diff(fitted.penalised).min() > -1e-8 * abs(fitted.penalised[-1])
        assert fitted.prompt_laws.sum(axis=0) == pytest.approx(np.ones(2))


def test_a_strong_prior_is_assumption_1():
    pairs, start = _answers(5), random_split(60, 2, Stream(3))
    plain = em_dpo(pairs, _policies(), start=start)
    strong = em_dpo(pairs, _policies(), start=start, prompts=PromptLaws(pairs.contexts, 1e12))
    assert strong.responsibilities == pytest.approx(plain.responsibilities, abs=1e-5)
    assert strong.log_likelihood[-1] == pytest.approx(plain.log_likelihood[-1], abs=1e-3)
    assert plain.prompt_laws.size == 0


def test_prompts_that_never_meet_tell_types_apart():
    """Two answers an annotator say little of her taste; which prompts she was asked says nearly all."""
    index = []
    for with_laws in (True, False):
        found = []
        for seed in range(5):
            pairs = _answers(seed, 80, 2, correlation=1.0)
            best, _ = em_dpo_restarts(
                pairs, lambda _: _policies(), restarts=5, stream=Stream(seed),
                prompts=PromptLaws(pairs.contexts, 5.0) if with_laws else None,
            )  # fmt: skip
            found.append(adjusted_rand_score(pairs.group, best.responsibilities.argmax(axis=1)))
        index.append(np.mean(found))
    assert index[0] > 0.9
    assert index[1] < 0.7


def test_a_prompt_of_no_weight_changes_nothing():
    pairs = _answers(4, 12, 3)
    numbers = np.where(pairs.contexts >= 3, pairs.contexts + 1, pairs.contexts)
    some, other = (
        em_dpo(pairs, _policies(), stream=Stream(1), max_rounds=3, prompts=PromptLaws(own))
        for own in (pairs.contexts, numbers)
    )
    assert other.responsibilities == pytest.approx(some.responsibilities, abs=1e-12)
    assert (other.prompt_laws[3] == 0).all(), "nobody was asked it"


def test_prompts_are_one_an_answer():
    pairs = _answers(1, 12, 3)
    with pytest.raises(ValueError, match=r"prompts must name one an answer, 36 \(got 35\)"):
        em_dpo(pairs, _policies(), prompts=PromptLaws(pairs.contexts[:-1]))
    with pytest.raises(ValueError, match="strength must be positive"):
        PromptLaws(pairs.contexts, 0.0)
