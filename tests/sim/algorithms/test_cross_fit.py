"""E-steps for policies that memorise, and the caller's view of a round."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from sim.algorithms.cross_fit import CrossFit, Fixed, split_answers
from sim.algorithms.em_dpo import EMStatus, em_dpo, hard_posterior, random_split, soft_posterior
from sim.algorithms.minmax_dpo import minmax_dpo, weigh
from sim.environments.tabular import random_tabular
from sim.policies.log_linear import ItemFeatures, LogLinear
from sim.policies.softmax_table import SoftmaxTable
from sim.preferences import PreferencePairs
from sim.streams import Stream

N_ANNOTATORS, ANSWERS = 30, 10


def _study(by_heart, seed=0):
    """Two opposed tastes over 3 features, no noise. by_heart: size of each pair's own indicator among its features,
    which lets a policy learn answers by heart."""
    stream = Stream(seed, "study")
    n = N_ANNOTATORS * ANSWERS
    real = stream.child("features").normals((n, 3))
    annotator = np.repeat(np.arange(N_ANNOTATORS), ANSWERS)
    truth = (np.arange(N_ANNOTATORS) % 3 == 2).astype(int)
    first_wins = np.where(truth[annotator] == 1, -1.0, 1.0) * real[:, 0] > 0
    half = np.hstack([real, by_heart * np.eye(n)]) / 2
    first, second = np.arange(n), n + np.arange(n)
    pairs = PreferencePairs(
        contexts=np.zeros(n, dtype=np.int64), chosen=np.where(first_wins, first, second),
        rejected=np.where(first_wins, second, first), annotator=annotator, n_annotators=N_ANNOTATORS,
    )  # fmt: skip
    return pairs, ItemFeatures(np.vstack([half, -half])), truth


def test_split_halves_every_annotators_answers():
    annotator = np.array([0, 0, 0, 1, 2, 2, 0, 2, 2])
    half = split_answers(annotator, Stream(1))
    assert np.bincount(annotator[half], minlength=3).tolist() == [2, 0, 2]
    assert (split_answers(annotator, Stream(1)) == half).all()
    many = np.tile(np.arange(4), 500)
    assert not (split_answers(many, Stream(1)) == split_answers(many, Stream(2))).all()


def test_answers_to_one_question_are_in_one_half():
    annotator = np.repeat(np.arange(10), 8)
    question = np.tile(np.repeat(np.arange(4), 2), 10)
    half = split_answers(annotator, Stream(1), question)
    taken = half.reshape(10, 4, 2)
    assert (taken[:, :, 0] == taken[:, :, 1]).all(), "what somebody said twice would tell of itself"
    assert (taken[:, :, 0].sum(axis=1) == 2).all(), "half of each annotator's questions"
    # A question of everybody's is one of each annotator.
    assert len({tuple(row) for row in taken[:, :, 0].tolist()}) > 1
    # Where nobody is asked twice it changes nothing.
    mixed = Stream(2).permutation(80)
    assert (split_answers(annotator, Stream(1), mixed) == split_answers(annotator, Stream(1))).all()
    trained = CrossFit(annotator, Stream(3), question).first(np.ones((10, 1)), annotator).answer_weights[:, 0]
    assert (trained.reshape(10, 4, 2)[:, :, 0] == trained.reshape(10, 4, 2)[:, :, 1]).all()


def test_cross_fit_scores_the_half_that_was_not_trained_on():
    annotator = np.repeat(np.arange(5), 4)
    estep = CrossFit(annotator, Stream(2))
    start = random_split(5, 2, Stream(3))
    first = estep.first(start, annotator)
    trained = first.answer_weights.sum(axis=1) > 0
    assert np.bincount(annotator[trained]).tolist() == [2] * 5
    answers = np.log(np.random.default_rng(0).uniform(0.1, 0.9, size=(20, 2)))
    mixture = np.array([0.4, 0.6])
    posterior = estep(answers, annotator, 5, mixture)
    alone = soft_posterior(answers[~trained], annotator[~trained], 5, mixture)
    assert posterior.responsibilities == pytest.approx(alone.responsibilities)
    assert posterior.log_likelihood == pytest.approx(alone.log_likelihood)
    # The scored half is what the next M-step sees, and the round after it is the other way about.
    assert ((posterior.answer_weights.sum(axis=1) > 0) == ~trained).all()
    after = estep(answers, annotator, 5, mixture)
    assert ((after.answer_weights.sum(axis=1) > 0) == trained).all()


def _agreement(cross, by_heart, seed):
    """Adjusted Rand index of EM's groups with the truth, and with the random split it began from."""
    pairs, features, truth = _study(by_heart, seed)
    start = random_split(N_ANNOTATORS, 2, Stream(seed, "start"))
    policies = [LogLinear(features, ridge=0.002) for _ in range(2)]
    estep = CrossFit(pairs.annotator, Stream(seed, "halves"))
    fitted = em_dpo(
        pairs,
        policies,
        start=estep.first(start, pairs.annotator) if cross else start,
        estep=estep if cross else hard_posterior,
        max_rounds=12,
        tolerance=0.0,
        guard=False,
    )
    found = fitted.responsibilities.argmax(axis=1)
    return adjusted_rand_score(truth, found), adjusted_rand_score(start.argmax(axis=1), found)


def test_policies_that_learn_answers_by_heart_stay_at_their_random_start():
    """The negative control of cross-fitting: in-sample EM over over-parameterised policies does not move."""
    frozen = np.array([_agreement(False, 6.0, seed) for seed in range(5)])
    assert (frozen[:, 1] == 1.0).all(), "it returns the split it was given"
    assert frozen[:, 0].mean() < 0.2
    freed = np.array([_agreement(True, 6.0, seed)[0] for seed in range(5)])
    assert freed.mean() > 0.8
    simple = np.array([_agreement(False, 0.0, seed)[0] for seed in range(5)])
    assert simple.mean() > 0.95, "the same EM finds the groups where policies cannot memorise"


def test_fixed_keeps_what_it_was_given():
    annotator = np.array([0, 0, 1])
    given = np.array([[1.0, 0.0], [0.25, 0.75]])
    answers = np.log(np.array([[0.5, 0.1], [0.5, 0.2], [0.4, 0.8]]))
    posterior = Fixed(given)(answers, annotator, 2, np.array([0.5, 0.5]))
    assert (posterior.responsibilities == given).all()
    assert (posterior.answer_weights == given[annotator]).all()
    by_hand = np.log(0.5) * 2 + 0.25 * np.log(0.4) + 0.75 * np.log(0.8)
    assert posterior.log_likelihood == pytest.approx(by_hand)


def test_on_round_sees_every_e_step_and_may_stop():
    pairs, features, _ = _study(0.0)
    seen = []

    def watch(event):
        seen.append(event)
        return event.number == 2

    fitted = em_dpo(
        pairs, [LogLinear(features, ridge=0.1) for _ in range(2)], stream=Stream(5), max_rounds=9,
        tolerance=0.0, on_round=watch,
    )  # fmt: skip
    assert [event.number for event in seen] == [0, 1, 2]
    assert fitted.status is EMStatus.STOPPED
    assert fitted.rounds == 2
    assert [event.penalised for event in seen] == fitted.penalised.tolist()
    assert (seen[-1].posterior.responsibilities == fitted.responsibilities).all()
    assert (seen[-1].mixture == fitted.mixture).all()
    unwatched = em_dpo(
        pairs, [LogLinear(features, ridge=0.1) for _ in range(2)], stream=Stream(5), max_rounds=2,
        tolerance=0.0,
    )  # fmt: skip
    assert unwatched.penalised == pytest.approx(fitted.penalised, rel=1e-12), "watching changes nothing"


def test_weigh_is_minmax_without_new_samples():
    environment = random_tabular(3, 4, 5, Stream(0, "minmax"), scale=2.0)
    policies = [SoftmaxTable(environment.reference, beta=0.5, rewards=r) for r in environment.rewards]
    whole = minmax_dpo(policies, np.arange(4), beta=0.5, priorities=[1.0, 4.0, 2.0])
    matrix = minmax_dpo(policies, np.arange(4), beta=0.5).regret.discrepancy
    again = weigh(policies, matrix, beta=0.5, priorities=[1.0, 4.0, 2.0])
    assert again.weights == pytest.approx(whole.weights, abs=1e-12)
    assert again.value == pytest.approx(whole.value)
    assert again.group_regret == pytest.approx(whole.group_regret)
