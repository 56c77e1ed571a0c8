"""Groups from linear heads on frozen features: planted tastes come back, and what they are chosen by is held out."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from llm.data.answer_sets import AnswerSet
from llm.training.group_training import cluster_annotators
from llm.training.heads_start import HeadAnswers, heads_start, leading_features
from llm.training.passes import is_settled
from sim.algorithms.em_log_linear import em_log_linear
from sim.algorithms.prompt_laws import PromptLaws
from sim.answer_kinds.response_choices import choices_of_pairs
from sim.partitions import adjusted_rand_index
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


def _head_answers(answers, chosen, rejected):
    own = choices_of_pairs(answers.pairs)
    of_response = np.empty((int(own.responses.max()) + 1, chosen.shape[1]))
    of_response[answers.pairs.chosen], of_response[answers.pairs.rejected] = chosen, rejected
    return HeadAnswers(own, of_response[own.responses])


def _planted():
    train, seen, tastes = _answers()
    held, other, _ = _answers(answers=4, stream=Stream(5), tastes=tastes, first=10_000)
    return train, *leading_features(_head_answers(train, *seen), _head_answers(held, *other)), seen[0]


def test_planted_tastes_come_back_where_clusters_of_what_was_chosen_do_not():
    train, features, held, chosen = _planted()
    found = heads_start(features, held, 2, 10, Stream(1))
    assert adjusted_rand_index(train.group, found.responsibilities.argmax(axis=1)) > 0.9
    clusters = cluster_annotators(train, chosen, 2, Stream(1))
    assert adjusted_rand_index(train.group, clusters.argmax(axis=1)) < 0.5
    assert found.penalised == tuple(sorted(found.penalised, reverse=True))
    assert len(found.penalised) == 10


def test_clusters_count_an_answer_by_its_weight():
    """Nine to one of two embeddings for half of the annotators, one to nine for the others."""
    annotator, response = np.repeat(np.arange(6), 2), np.tile([0, 1], 6)
    weights = np.where(response == annotator % 2, 9.0, 1.0)
    pairs = PreferencePairs(np.zeros(12, dtype=np.int64), response, 1 - response, annotator, 6, weights)
    train = AnswerSet(pairs, tuple("abcdef"), ("",) * 6)
    found = cluster_annotators(train, np.eye(2)[response], 2, Stream(1)).argmax(axis=1)
    assert (found == found[np.arange(6) % 2]).all()
    assert found[0] != found[1]


def test_the_ridge_is_chosen_by_held_out_answers():
    _, features, held, _ = _planted()
    found = heads_start(features, held, 2, 3, Stream(1), ridges=(1e-3, 10.0))
    assert found.ridge == 1e-3
    assert found.held_out[1e-3] > found.held_out[10.0] > -0.7
    nothing = HeadAnswers(held.choices.select(np.zeros(len(held), dtype=bool)), held.features[:0])
    alone = heads_start(features, nothing, 2, 3, Stream(1), ridges=(1e-3, 10.0))
    assert alone.ridge == 10.0, "without held-out answers the strongest"
    assert alone.held_out == {1e-3: None, 10.0: None}


def test_pairs_give_the_heads_of_em_log_linear():
    train, features, held, _ = _planted()
    found = heads_start(features, held, 2, 4, Stream(1), ridges=(1e-3,))
    other = em_log_linear(
        features.differences, train.pairs.annotator, train.pairs.n_annotators, 2, ridge=1e-3, restarts=4,
        tolerance=1e-6,
        stream=Stream(1).child("heads"),
    )  # fmt: skip
    assert found.responsibilities == pytest.approx(other.responsibilities, abs=2e-6)


def test_the_last_bits_of_features_do_not_change_the_start():
    _, features, held, _ = _planted()
    nearly = HeadAnswers(features.choices, features.features * (1.0 + 1e-15))
    first, second = (heads_start(own, held, 2, 3, Stream(1), ridges=(1e-3,)) for own in (features, nearly))
    assert (first.responsibilities == second.responsibilities).all()
    assert first.as_json() == second.as_json()


def test_leading_features_keep_lengths_and_directions():
    answers, (chosen, rejected), _ = _answers(people=10)
    own = _head_answers(answers, chosen, rejected)
    found, again = leading_features(own, own)
    difference = chosen - rejected
    scale = (difference**2).sum(axis=1).mean()
    assert found.differences @ found.differences.T == pytest.approx(difference @ difference.T / scale, abs=1e-9)
    assert again.features == pytest.approx(found.features, abs=1e-12)
    nothing = HeadAnswers(own.choices.select(np.zeros(len(own), dtype=bool)), np.empty((0, 0)))
    assert leading_features(own, nothing)[1].features.shape == (0, found.features.shape[1])
    few, _ = leading_features(own, own, directions=3)
    assert few.differences.shape == (len(difference), 3)
    assert (few.differences**2).sum(axis=1).mean() == pytest.approx(1.0)


def test_ties_and_strengths_start_groups_too():
    """Answers with ties: the groups come back, at a constant that is not zero."""
    train, features, held, _ = _planted()
    rewards = features.features @ np.linalg.svd(features.differences, full_matrices=False)[2][0]
    gap = np.abs(rewards[features.choices.first] - rewards[features.choices.second])
    tie = gap < np.quantile(gap, 0.2)
    doubled = _davidson(features.choices, tie)
    start = heads_start(
        HeadAnswers(doubled, features.features),
        HeadAnswers(doubled.select(np.zeros(len(doubled), dtype=bool)), features.features[:0]),
        2,
        6,
        Stream(1),
        ridges=(1e-3,),
    )
    assert adjusted_rand_index(train.group, start.responsibilities.argmax(axis=1)) > 0.8
    assert len(held)


def _davidson(pairs, tie):
    """Pairs, some of which tie, as `response_choices` makes them."""
    return replace(
        pairs, first=np.repeat(pairs.first, 2), second=np.repeat(pairs.second, 2),
        scale=np.stack([np.where(tie, -0.5, 1.0), np.full(len(tie), 0.5)], axis=1).ravel(),
        tie=np.stack([tie * 1.0, np.where(tie, 1.0, -1.0)], axis=1).ravel(), starts=2 * pairs.starts,
        constants=np.zeros(1),
    )  # fmt: skip


def test_a_fit_is_settled_when_a_pass_gains_less_than_its_share():
    assert not is_settled([0.7, 0.7], 2, 0.1), "one pass says nothing"
    assert not is_settled([0.7, 0.69, 0.695, 0.69], 2, 0.1), "a slow beginning is no end"
    assert not is_settled([0.7, 0.7, 0.6, 0.6, 0.5, 0.5], 2, 0.1)
    assert is_settled([0.7, 0.7, 0.4, 0.4, 0.38, 0.38], 2, 0.1)
    assert is_settled([0.7, 0.7, 0.4, 0.4, 0.41, 0.41], 2, 0.1), "a pass that made it worse"
    assert is_settled([0.7, 0.7, 0.71, 0.7], 2, 0.1)
    assert is_settled([0.7, 0.9, 0.85], 1, 0.1), "worse than after the first pass"
    assert not is_settled([0.7, 0.7, 0.71, 0.7], 2, 0.0), "0 makes every pass"


def _prompts_by_type(train, n_prompts=10):
    """A prompt an answer: each type has half of them to itself."""
    own = np.array(["ab".index(name) for name in train.group])[train.pairs.annotator]
    return own * (n_prompts // 2) + np.arange(len(own)) % (n_prompts // 2)


def test_types_that_meet_different_prompts_are_told_apart_by_these():
    train, seen, tastes = _answers(answers=2)
    held, other, _ = _answers(answers=4, stream=Stream(5), tastes=tastes, first=10_000)
    features = leading_features(_head_answers(train, *seen), _head_answers(held, *other))
    laws = PromptLaws(_prompts_by_type(train), 5.0)
    found = {
        prompts: adjusted_rand_index(
            train.group,
            heads_start(*features, 2, 5, Stream(1), ridges=(1e-2,), prompts=prompts).responsibilities.argmax(axis=1),
        )
        for prompts in (laws, None)
    }
    assert found[laws] == 1.0
    assert found[None] < 0.5


def test_laws_that_are_held_to_the_frequencies_change_nothing():
    train, features, held, _ = _planted()
    laws = PromptLaws(_prompts_by_type(train), 1e12)
    printed, found = (
        heads_start(features, held, 2, 4, Stream(1), ridges=(1e-3,), prompts=prompts) for prompts in (None, laws)
    )
    assert found.responsibilities == pytest.approx(printed.responsibilities, abs=1e-3)
    assert found.penalised[0] == pytest.approx(printed.penalised[0], rel=1e-5)
    assert len(found.penalised) == 5, "the restarts, and from where EM without laws ended"


def test_laws_stand_beside_ties():
    train, features, held, _ = _planted()
    rewards = features.features @ np.linalg.svd(features.differences, full_matrices=False)[2][0]
    gap = np.abs(rewards[features.choices.first] - rewards[features.choices.second])
    doubled = _davidson(features.choices, gap < np.quantile(gap, 0.2))
    nothing = HeadAnswers(doubled.select(np.zeros(len(doubled), dtype=bool)), features.features[:0])
    start = heads_start(
        HeadAnswers(doubled, features.features), nothing, 2, 2, Stream(1), ridges=(1e-3,),
        prompts=PromptLaws(_prompts_by_type(train), 5.0),
    )  # fmt: skip
    assert adjusted_rand_index(train.group, start.responsibilities.argmax(axis=1)) == 1.0
    assert len(held)
