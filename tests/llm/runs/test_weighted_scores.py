"""Held-out scores of a run count each answer as often as the file's weight says: as if its row were repeated."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from chat_models import chat_tokenizer
from tiny_llm import write_pairs

import pluralign as pl
from llm.base.tokens import TokenStore
from llm.data.answer_sets import AnswerSet
from llm.data.preference_text import DataSettings, load_preferences
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


@pytest.mark.parametrize(("mean", "said"), [(0.01, "hardly say"), (100.0, "leave no doubt"), (1.0, None), (5.0, None)])
def test_a_weight_is_a_count_and_it_is_said_where_it_cannot_be_one(tmp_path, mean, said):
    """Weights were said to be in any unit; a constant .01 left nobody in a group."""
    path = write_pairs(tmp_path / "p.jsonl", annotators=4, answers=3, unseen=1)
    rows = [json.loads(line) | {"weight": mean} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load_preferences(DataSettings(train=str(path)), chat_tokenizer(None), TokenStore(), 512, Stream(0))
    found = [note for note in data.notes if "mean weight" in note]
    assert len(found) == (said is not None)
    assert all(f"is {mean:g}: a weight of 2 is the row twice" in note and said in note for note in found)
    fit_rows = [
        {"annotator_id": f"a{j % 25}", "prompt": "p", "chosen": [1.0, float(j % 3)], "rejected": [0.0, float(j % 2)]}
        | {"weight": mean}
        for j in range(100)
    ]
    counts = pl.fit(fit_rows, method="dpo").as_dict()["counts"]
    assert [said in what for what in counts["noted"] if "mean weight" in what] == [True] * (said is not None)
