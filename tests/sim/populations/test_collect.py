"""The one sampler: laws, order, prefixes, and memory that grows with the answers alone."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from sim.environments.linear import majority_bandit
from sim.environments.tabular import random_tabular
from sim.populations.behaviour import Behaviour
from sim.populations.choice import NoisyArgmax
from sim.populations.collect import collect_pairs, collect_rankings
from sim.populations.latent_types import LatentTypes
from sim.streams import Stream

POPULATION = LatentTypes(np.array([0.6, 0.3, 0.1]))
ENVIRONMENT = random_tabular(3, 2, 3, Stream(1, "collect"))


def _pairs(n_annotators, per_annotator=10, environment=ENVIRONMENT, **options):
    return collect_pairs(environment, POPULATION, n_annotators, per_annotator, Stream(2, "answers"), **options)


def test_every_cell_of_the_joint_law():
    """Type x context x offer x winner: counts against the product of exact probabilities, written out."""
    n = 60_000
    pairs = _pairs(n, 1)
    types = pairs.group[pairs.annotator]
    tests = 0
    for z, s, a, b in itertools.product(range(3), range(2), range(3), range(3)):
        if a == b:
            continue
        r = ENVIRONMENT.rewards[z, s]
        offered = 2 / 6  # the unordered pair {a, b} among three
        share = POPULATION.mixture[z] * ENVIRONMENT.context_probabilities[s] * offered / (1 + math.exp(r[b] - r[a]))
        count = ((types == z) & (pairs.contexts == s) & (pairs.chosen == a) & (pairs.rejected == b)).sum()
        assert stats.binomtest(int(count), n, share).pvalue > 1e-4
        tests += 1
    assert tests == 36


def test_rows_are_ordered_by_annotator_and_complete():
    pairs = _pairs(50, 7)
    assert pairs.annotator.tolist() == np.repeat(np.arange(50), 7).tolist()
    assert len(pairs.group) == pairs.n_annotators == 50
    assert (pairs.chosen != pairs.rejected).all()
    assert all(a.dtype == np.int64 for a in (pairs.contexts, pairs.chosen, pairs.rejected, pairs.annotator))


@pytest.mark.parametrize("environment", [ENVIRONMENT, majority_bandit()])
@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(0.5)])
def test_the_first_annotators_of_a_larger_sample_are_the_smaller_one(environment, behaviour):
    small, large = (_pairs(n, 1000, environment, behaviour=behaviour) for n in (300, 320))
    for name in ("contexts", "chosen", "rejected", "annotator"):
        assert (getattr(large, name)[: len(small)] == getattr(small, name)).all()
    assert (large.group[:300] == small.group).all()


def test_another_seed_replicate_or_role_is_another_sample():
    base = Stream(2, "answers")
    samples = [
        collect_pairs(ENVIRONMENT, POPULATION, 50, 10, s).chosen.tolist()
        for s in (base, base.at(replicate=1), base.at(cell="other"), base.child("x"), Stream(3, "answers"))
    ]
    assert len({tuple(s) for s in samples}) == 5


def test_rankings_have_the_law_of_the_product_formula():
    n = 40_000
    full = collect_rankings(ENVIRONMENT, POPULATION, n, 1, Stream(4), n_offered=3, n_ranked=3)
    types = full.group[full.annotator]
    for z, order in itertools.product(range(3), itertools.permutations(range(3))):
        share = 0.0
        for s in range(2):
            u = np.exp(ENVIRONMENT.rewards[z, s])
            share += (
                ENVIRONMENT.context_probabilities[s]
                * (u[order[0]] / u.sum())
                * (u[order[1]] / (u[order[1]] + u[order[2]]))
            )
        count = ((types == z) & (full.responses == order).all(axis=1)).sum()
        assert stats.binomtest(int(count), n, POPULATION.mixture[z] * share).pvalue > 1e-4


def test_a_top_choice_keeps_no_trace_of_the_hidden_order():
    """Given the winner, the places of the others must not tell which was liked better."""
    n = 40_000
    top = collect_rankings(ENVIRONMENT, LatentTypes(np.array([1.0, 0.0, 0.0])), n, 1, Stream(5), n_ranked=1)
    u = ENVIRONMENT.context_probabilities @ np.exp(ENVIRONMENT.rewards[0])
    won_by_first = top.responses[top.responses[:, 0] == 0]
    share = (won_by_first[:, 1] == 1).mean()
    liked = u[1] / (u[1] + u[2])
    assert abs(liked - 0.5) > 0.05, "the instance must be able to show a leak"
    assert stats.binomtest(round(share * len(won_by_first)), len(won_by_first), 0.5).pvalue > 1e-4


def test_noisy_argmax_in_the_bandit_prefers_the_own_arm():
    pairs = collect_pairs(majority_bandit(), POPULATION, 300, 10, Stream(6), choice=NoisyArgmax(0.1))
    own = pairs.group[pairs.annotator]
    offered = (pairs.chosen == own) | (pairs.rejected == own)
    assert offered.mean() == pytest.approx(2 / 3, abs=0.05)
    assert (pairs.chosen == own)[offered].mean() > 0.99


@pytest.mark.parametrize("coverage", [1.0, 0.5])
def test_memory_grows_with_the_answers_not_with_actions_or_features(coverage):
    """A million answers over 40 actions: an (n, actions) table alone would take 320 MB."""
    n = 1_000_000
    environment = random_tabular(3, 5, 40, Stream(7))
    _pairs(10, environment=environment)  # compile first
    tracemalloc.start()
    pairs = _pairs(n // 10, 10, environment, behaviour=Behaviour(coverage))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pairs) == n
    assert peak / n < 160  # bytes an answer


def test_linear_contexts_are_the_only_wide_array():
    n, d = 400_000, 8
    environment = majority_bandit(3, d)
    _pairs(10, environment=environment)
    tracemalloc.start()
    pairs = _pairs(n // 10, 10, environment)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pairs.contexts.shape == (n, d)
    # contexts twice at most (a law may transform them), and a few columns
    assert peak / n < 2 * 8 * d + 160


def test_types_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="2 types and the environment 3"):
        collect_pairs(ENVIRONMENT, LatentTypes(np.array([0.5, 0.5])), 5, 5, Stream())
    with pytest.raises(ValueError, match="n_annotators must be a whole number"):
        _pairs(0)


@pytest.mark.parametrize(
    ("verb", "returned", "message"),
    [
        (
            "draw_offers",
            lambda n: np.tile([0, 1, 2], (n, 1)),
            r"draw_offers must return 2 responses a context, \(12, 2\)",
        ),
        ("draw_offers", lambda n: np.zeros((n - 1, 2), int), r"draw_offers must return 2 .* \(got \(11, 2\)\)"),
        ("draw_contexts", lambda n: np.zeros(n + 1, int), r"draw_contexts must return 12 contexts, .* \(got \(13,\)\)"),
    ],
)
def test_what_a_world_draws_is_looked_at(verb, returned, message):
    """Three responses where two were asked for were taken for the first two of them."""

    class Odd(type(ENVIRONMENT)):
        pass

    setattr(Odd, verb, lambda self, *given: returned(12))
    odd = object.__new__(Odd)
    odd.__dict__.update(ENVIRONMENT.__dict__)
    with pytest.raises(ValueError, match=message):
        _pairs(3, 4, environment=odd)
