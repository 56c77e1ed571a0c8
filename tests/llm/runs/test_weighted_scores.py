"""Held-out scores of a run count each answer as often as the file's weight says: as if its row were repeated."""

import numpy as np
import pytest

pytest.importorskip("torch")

from llm.data.answer_sets import AnswerSet
from llm.runs.margins import difference, summarise
from llm.training import group_training
from sim.preferences import PreferencePairs
from sim.streams import Stream

RNG = np.random.default_rng(0)
WEIGHTS = RNG.integers(1, 4, 30)
AGAIN = np.repeat(np.arange(30), WEIGHTS)
WHO = RNG.integers(0, 6, 30)
FIRST, SECOND = RNG.normal(size=(2, 30)) + 0.3


def test_margins_and_their_differences():
    weights = WEIGHTS.astype(float)
    found, again = summarise(FIRST, WHO, Stream(1), weights), summarise(FIRST[AGAIN], WHO[AGAIN], Stream(1))
    assert (found.n_pairs, again.n_pairs) == (30, WEIGHTS.sum())
    for name in ("accuracy", "accuracy_interval", "margin", "margin_interval"):
        assert getattr(found, name) == pytest.approx(getattr(again, name), rel=1e-12), name
    assert found.margin != pytest.approx(summarise(FIRST, WHO, Stream(1)).margin, rel=1e-3)
    gap = difference(FIRST, SECOND, WHO, Stream(1), weights)
    expected = difference(FIRST[AGAIN], SECOND[AGAIN], WHO[AGAIN], Stream(1))
    assert gap.accuracy == pytest.approx(expected.accuracy)
    assert gap.accuracy_interval == pytest.approx(expected.accuracy_interval)


def test_a_round_is_judged_by_weighted_answers(monkeypatch):
    """Which round is kept follows from this mean."""
    zero = np.zeros(30, dtype=np.int64)
    pairs = PreferencePairs(zero, zero, zero + 1, WHO, 6, weights=WEIGHTS.astype(float))
    answers = AnswerSet(pairs, tuple("abcdef"), ("",) * 6)
    monkeypatch.setattr(group_training, "predictive", lambda *_: -np.abs(FIRST))
    watch = group_training._Watch([], None, 1, (), lambda row: None)
    found = watch._score(np.ones((6, 1)), answers, np.zeros(0))
    assert found == pytest.approx(-np.abs(FIRST)[AGAIN].mean())
    assert answers.given_weights(WHO == 1).tolist() == WEIGHTS[WHO == 1].tolist()
