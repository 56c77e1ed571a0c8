"""What chooses rounds, numbers of types and linear heads counts an answer as often as its weight says."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from llm.data.answer_sets import AnswerSet
from llm.training.group_training import _Watch
from llm.training.heads_start import HeadAnswers, heads_start, leading_features
from llm.training.robust_training import _on_held_out
from sim.answer_kinds.response_choices import ResponseChoices, choices_of_pairs
from sim.preferences import PreferencePairs
from sim.streams import Stream

N, PEOPLE = 30, 6
DRAW = np.random.default_rng(0)
CHOSEN, REJECTED = DRAW.integers(0, 5, N), DRAW.integers(5, 10, N)
WHO, TIMES = np.arange(N) % PEOPLE, DRAW.integers(1, 4, N)
FEATURES = DRAW.normal(size=(10, 3))


class Table:
    def __init__(self, seed):
        self.reward = np.random.default_rng(seed).normal(size=10)

    def implicit_reward(self, contexts, responses):
        return self.reward[responses]


def _answers(rows, weights=None):
    pairs = PreferencePairs(np.zeros(len(rows), dtype=np.int64), CHOSEN[rows], REJECTED[rows], WHO[rows], PEOPLE,
                            weights=weights)  # fmt: skip
    return AnswerSet(pairs, tuple("abcdef"), ("",) * PEOPLE)


COUNTED, OFTEN, EVEN, PLAIN = (
    _answers(np.arange(N), TIMES.astype(float)), _answers(np.repeat(np.arange(N), TIMES)),
    _answers(np.arange(N), np.full(N, 0.1)), _answers(np.arange(N)),
)  # fmt: skip


def test_the_score_that_chooses_the_round():
    watch = _Watch([Table(1), Table(2)], SimpleNamespace(), 1, (), lambda row: None)
    gamma = np.random.default_rng(3).dirichlet([1, 1], PEOPLE)
    score = [watch._score(gamma, answers, np.zeros(0)) for answers in (COUNTED, OFTEN, EVEN, PLAIN)]
    assert score[0] == pytest.approx(score[1])
    assert score[2] == score[3], "equal weights round nothing"
    assert abs(score[0] - score[3]) > 1e-3
    assert math.isnan(watch._score(gamma, _answers(np.arange(0)), np.zeros(0)))


def test_the_score_of_the_worst_group():
    groups = SimpleNamespace(names=("x", "y"), of_annotator=np.arange(PEOPLE) % 2)
    (all_, each), (rows, by), (even, e), (plain, p) = (
        _on_held_out(Table(1), answers, groups, np.zeros(0)) for answers in (COUNTED, OFTEN, EVEN, PLAIN)
    )
    assert all_ == pytest.approx(rows)
    assert each == pytest.approx(by)
    assert (even, e.tolist()) == (plain, p.tolist())


def _head_answers(answers):
    choices = choices_of_pairs(answers.pairs)
    return HeadAnswers(choices, FEATURES[choices.responses])


def test_linear_heads():
    (counted, _), (rows, _) = (leading_features(*(_head_answers(own),) * 2) for own in (COUNTED, OFTEN))
    gram = [own.differences @ own.differences.T for own in (counted, rows)]
    # The order of the rows aside, and signs of directions: lengths and angles between answers.
    assert gram[0][0, 0] == pytest.approx(gram[1][0, 0])
    assert gram[0][0, N - 1] == pytest.approx(gram[1][0, -1])
    held = [heads_start(_head_answers(PLAIN), _head_answers(own), 2, 2, Stream(1)).held_out for own in (COUNTED, OFTEN)]
    assert held[0] == pytest.approx(held[1])


def test_what_a_coin_has():
    """An answer of three and one of two, which counts three times: -(log 3 + 3 log 2) / 4."""
    choices = ResponseChoices(
        np.full(3, 4), np.array([10, 11, 12]), np.array([0, 0, 1]), np.array([1, 2, 0]), np.ones(3), np.zeros(3),
        np.array([0, 2, 3]), np.arange(2), np.ones(2), np.zeros(2, dtype=np.int64), 1, weights=np.array([1.0, 3.0]),
    )  # fmt: skip
    pairs = PreferencePairs(np.full(2, 4), np.array([10, 11]), np.array([11, 10]), np.zeros(2, dtype=np.int64), 1,
                            weights=choices.weights)  # fmt: skip
    coin = AnswerSet(pairs, ("a",), ("",), choices).coin
    assert coin == pytest.approx(-(math.log(3) + 3 * math.log(2)) / 4)
