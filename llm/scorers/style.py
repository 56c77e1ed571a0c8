"""How a text is written: readability, lexical diversity, vocabulary, hedging, first person. Counts, without any data.

Each is a scorer of `named_scorers`: larger is better, the prompt is not looked at, and a text without words has the
score that its class names.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from llm.base.plain_text import sentences
from sim.preferences import FloatArray

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_VOWELS = re.compile(r"[aeiouy]+")
_SILENT = re.compile(r"(?:[^laeiouy]es|[^dt]ed|[^l]e)$")

_HEDGES = """
almost apparently appear appears around assume assumed believe believed could couldn't doubt fairly feel felt frequently
generally guess indicate largely likely mainly may maybe might mostly often perhaps plausible please possible possibly
presumably probable probably quite rather seem seemed seems should somewhat sorry suggest suggests suppose tend tends
thank thanks think thought typically uncertain unlikely usually would wouldn't
"""
_FIRST_PERSON = "i i'd i'll i'm i've me mine my myself our ours ourselves us we we'd we'll we're we've"


def words_of(text: str) -> list[str]:
    """Letters with apostrophes inside, in lower case."""
    return _WORD.findall(text.lower())


def syllables(word: str) -> int:
    """Runs of vowels but for a silent ending, at least one; a rule of thumb for English."""
    return max(1, len(_VOWELS.findall(word)) - bool(_SILENT.search(word)))


class _Style(ABC):
    """wordless: the score of a text without words."""

    name: ClassVar[str]
    wordless: ClassVar[float] = 0.0

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> FloatArray:
        """(n,)."""
        return np.array([self._of(text) for text in responses], dtype=np.float64)

    def _of(self, text: str) -> float:
        words = words_of(text)
        return self._score(text, words) if words else self.wordless

    @abstractmethod
    def _score(self, text: str, words: list[str]) -> float: ...


class ReadabilityScorer(_Style):
    """Flesch's reading ease, 206.835 - 1.015 words / sentences - 84.6 syllables / words.    [Flesch 1948]

    Not bounded below: one sentence of a thousand words is as hard as it looks.
    """

    name = "readability"

    def _score(self, text: str, words: list[str]) -> float:
        n = len(words)
        return 206.835 - 1.015 * n / len(sentences(text)) - 84.6 * sum(map(syllables, words)) / n


class DiversityScorer(_Style):
    """Moving-average share of distinct words in windows of 25; of a shorter text its own.   [Covington, McFall 2010]

    Unlike the plain share of distinct words it does not fall with length.
    """

    name = "diversity"
    window: ClassVar[int] = 25

    def _score(self, text: str, words: list[str]) -> float:
        size = min(self.window, len(words))
        starts = range(len(words) - size + 1)
        return float(np.mean([len(set(words[start : start + size])) for start in starts])) / size


class VocabularyScorer(_Style):
    """Mean number of letters of the distinct words: rarer words are longer (Zipf 1935)."""

    name = "vocabulary"

    def _score(self, text: str, words: list[str]) -> float:
        distinct = set(words)
        return sum(map(len, distinct)) / len(distinct)


class _Marked(_Style):
    """Marked words and phrases, a hundred words.  marks: single words; phrases: of several words."""

    marks: ClassVar[frozenset[str]]
    phrases: ClassVar[tuple[str, ...]] = ()

    def _score(self, text: str, words: list[str]) -> float:
        found = sum(word.replace("’", "'") in self.marks for word in words)
        joined = f" {' '.join(words)} ".replace("’", "'")
        return 100.0 * (found + sum(joined.count(f" {phrase} ") for phrase in self.phrases)) / len(words)


class HedgingScorer(_Marked):
    """Hedges and polite formulas a hundred words: the commonest of the lists of Hyland (2005) and of
    Danescu-Niculescu-Mizil et al. (2013)."""

    name = "hedging"
    marks = frozenset(_HEDGES.split())
    phrases = ("kind of", "sort of", "a little", "a bit", "in general", "in my opinion", "more or less")


class PersonalScorer(_Marked):
    """Words of the first person a hundred words: whether somebody speaks for herself."""

    name = "personal"
    marks = frozenset(_FIRST_PERSON.split())
