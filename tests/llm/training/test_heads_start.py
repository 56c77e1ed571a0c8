"""Groups from linear heads on frozen features: planted tastes come back, and what they are chosen by is held out."""

import numpy as np
import pytest

pytest.importorskip("torch")

from llm.data.answer_sets import AnswerSet
from llm.training.adapter_training import is_settled
from llm.training.group_training import adjusted_rand_index, cluster_annotators
from llm.training.heads_start import heads_start, leading_features
from sim.preferences import PreferencePairs
from sim.streams import Stream


def _answers(people=40, answers=30, d=12, stream=None, tastes=None, first=0):
    """People of two tastes answer pairs of responses with features; features of chosen and rejected."""
    rng = (stream or Stream(4)).generator()
    tastes = np.stack([rng.normal(size=d), rng.normal(size=d)]) if tastes is None else tastes
    group = np.arange(people) % 2
    annotator = np.repeat(np.arange(people), answers)
    # What is told of both responses of a pair is large and says nothing of tastes, as in hidden states.
    common = 5.0 * rng.normal(size=(len(annotator), d))
    a, b = (common + rng.normal(size=common.shape) for _ in "ab")
    margin = ((a - b) * tastes[group[annotator]]).sum(axis=1)
    wins = rng.random(len(margin)) < 1.0 / (1.0 + np.exp(-margin))
    chosen, rejected = np.where(wins[:, None], a, b), np.where(wins[:, None], b, a)
    numbers = first + np.arange(len(annotator))
    pairs = PreferencePairs(numbers, 2 * numbers, 2 * numbers + 1, annotator, people)
    names = tuple(f"p{i}" for i in range(people))
    return AnswerSet(pairs, names, tuple("ab"[g] for g in group)), (chosen, rejected), tastes


def _planted():
    train, seen, tastes = _answers()
    held, other, _ = _answers(answers=4, stream=Stream(5), tastes=tastes, first=10_000)
    return train, held, leading_features(seen, other), seen[0]


def test_planted_tastes_come_back_where_clusters_of_what_was_chosen_do_not():
    train, held, features, chosen = _planted()
    found = heads_start(features, train, held, 2, 10, Stream(1))
    assert adjusted_rand_index(train.group, found.responsibilities) > 0.9
    clusters = cluster_annotators(train, chosen, 2, Stream(1))
    assert adjusted_rand_index(train.group, clusters) < 0.5
    assert found.penalised == tuple(sorted(found.penalised, reverse=True))
    assert len(found.penalised) == 10


def test_the_ridge_is_chosen_by_held_out_answers():
    train, held, features, _ = _planted()
    found = heads_start(features, train, held, 2, 3, Stream(1), ridges=(1e-3, 10.0))
    assert found.ridge == 1e-3
    assert found.held_out[1e-3] > found.held_out[10.0] > -0.7
    nothing = AnswerSet(held.pairs.select(np.zeros(len(held), dtype=bool)), held.annotators, held.group)
    alone = heads_start(features, train, nothing, 2, 3, Stream(1), ridges=(1e-3, 10.0))
    assert alone.ridge == 10.0, "without held-out answers the strongest"
    assert alone.held_out == {1e-3: None, 10.0: None}


def test_leading_features_keep_lengths_and_directions():
    _, (chosen, rejected), _ = _answers(people=10)
    found = leading_features((chosen, rejected), (chosen[:7], rejected[:7]))
    difference = chosen - rejected
    scale = (difference**2).sum(axis=1).mean()
    assert found.train @ found.train.T == pytest.approx(difference @ difference.T / scale, abs=1e-9)
    assert found.held_out == pytest.approx(found.train[:7], abs=1e-12)
    few = leading_features((chosen, rejected), (chosen, rejected), directions=3)
    assert few.train.shape == (len(difference), 3)
    assert (few.train**2).sum(axis=1).mean() == pytest.approx(1.0)


def test_a_fit_is_settled_when_a_pass_gains_less_than_its_share():
    assert not is_settled([0.7, 0.7], 2, 0.1), "one pass says nothing"
    assert not is_settled([0.7, 0.69, 0.695, 0.69], 2, 0.1), "a slow beginning is no end"
    assert not is_settled([0.7, 0.7, 0.6, 0.6, 0.5, 0.5], 2, 0.1)
    assert is_settled([0.7, 0.7, 0.4, 0.4, 0.38, 0.38], 2, 0.1)
    assert is_settled([0.7, 0.7, 0.4, 0.4, 0.41, 0.41], 2, 0.1), "a pass that made it worse"
    assert is_settled([0.7, 0.7, 0.71, 0.7], 2, 0.1)
    assert not is_settled([0.7, 0.7, 0.71, 0.7], 2, 0.0), "0 makes every pass"
