"""Scorers of style against counts made by hand."""

import numpy as np
import pytest

from llm.scorers.named_scorers import COUNTED, NAMES, make_scorer
from llm.scorers.style import syllables, words_of
from sim.errors import InputError


def _score(name, text):
    return make_scorer(name)([""], [text])[0]


@pytest.mark.parametrize(
    ("word", "count"), [("film", 1), ("made", 1), ("table", 2), ("wanted", 2), ("played", 1), ("beautiful", 3)]
)  # fmt: skip
def test_syllables(word, count):
    assert syllables(word) == count


def test_words():
    assert words_of("Don't PAY 20 dollars, O’Neil!") == ["don't", "pay", "dollars", "o’neil"]


def test_readability_is_fleschs():
    """Eight words in two sentences, nine syllables (be-fore has two)."""
    text = "The cat sat down. He ran before it."
    assert _score("readability", text) == pytest.approx(206.835 - 1.015 * 8 / 2 - 84.6 * 9 / 8)
    assert _score("readability", "Incomprehensible sophistication.") < _score("readability", text)


def test_diversity_is_a_mean_over_windows_of_25():
    assert _score("diversity", "a b a c") == pytest.approx(3 / 4)
    words = [f"w{chr(97 + j)}" for j in range(20)] + ["same"] * 10
    windows = [len(set(words[j : j + 25])) / 25 for j in range(6)]
    assert _score("diversity", " ".join(words)) == pytest.approx(np.mean(windows))
    long = " ".join(words[:20] * 3)
    assert _score("diversity", long) == pytest.approx(20 / 25), "not lower because it is longer"


def test_vocabulary_counts_each_word_once():
    assert _score("vocabulary", "a a a cinematography") == pytest.approx((1 + 14) / 2)


def test_marked_words_a_hundred():
    assert _score("hedging", "Perhaps it is kind of dull, I think.") == pytest.approx(100 * 3 / 8)
    assert _score("personal", "I think we’ll like my film") == pytest.approx(100 * 3 / 6)
    assert _score("hedging", "A maybelline kindof film") == 0.0


def test_without_words():
    for name in COUNTED:
        scores = make_scorer(name)(["a", "b"], ["", "123 !?"])
        assert scores.shape == (2,)
        assert np.isfinite(scores).all()
    assert set(COUNTED) < set(NAMES)
    with pytest.raises(InputError, match="readability, diversity"):
        make_scorer("charm")
