"""Scorers of responses by name: simulated annotators' tastes, and the yardsticks of sampled quality."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from llm.base.folder_format import read_stamped
from llm.scorers.grammar import GrammarScorer
from llm.scorers.sentiment import LexiconSentiment, SentimentScorer
from llm.scorers.style import DiversityScorer, HedgingScorer, PersonalScorer, ReadabilityScorer, VocabularyScorer
from sim.errors import InputError
from sim.preferences import FloatArray


class Scorer(Protocol):
    """Larger is better."""

    @property
    def name(self) -> str: ...

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> FloatArray:
        """(n,) scores of responses to prompts."""
        ...


def kept_as(scorer: Scorer) -> str:
    """What a scorer's numbers depend on beside the texts, where they take so long that they are worth keeping; else
    nothing."""
    return str(getattr(scorer, "kept_as", ""))


class Negated:
    """The opposite taste."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer, self.name = scorer, f"negative-{scorer.name}"
        self.kept_as = kept_as(scorer) and f"negative {kept_as(scorer)}"

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> FloatArray:
        return -self._scorer(prompts, responses)


class AfterOpening:
    """A scorer that is not shown what every prompt begins with: an instruction to the model."""

    def __init__(self, scorer: Scorer, opening: str) -> None:
        self._scorer, self._opening, self.name = scorer, opening, scorer.name
        self.kept_as = kept_as(scorer) and f"after {opening} {kept_as(scorer)}"

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> FloatArray:
        return self._scorer([prompt.removeprefix(self._opening) for prompt in prompts], responses)


class LengthScorer:
    """Number of words."""

    name = "length"

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> FloatArray:
        return np.array([float(len(text.split())) for text in responses])


# Those that need neither data nor another package.
COUNTED: dict[str, Callable[[], Scorer]] = {
    own.name: own
    for own in (
        LengthScorer, ReadabilityScorer, DiversityScorer, VocabularyScorer, HedgingScorer, PersonalScorer
    )
}  # fmt: skip
NAMES = ("sentiment", "lexicon", "grammar", *COUNTED)


def make_scorer(name: str, folder: str | Path | None = None) -> Scorer:
    """`name` of NAMES, or negative-NAME; folder: where a trained sentiment scorer lies."""
    if name.startswith("negative-"):
        return Negated(make_scorer(name.removeprefix("negative-"), folder))
    if name == "sentiment":
        if folder is None:
            raise InputError("the sentiment scorer must be trained first", fix="run pluralign llm make-imdb")
        return SentimentScorer.load(folder)
    if name == "lexicon":
        return LexiconSentiment()
    if name == "grammar":
        return GrammarScorer(os.cpu_count() or 1)
    if name in COUNTED:
        return COUNTED[name]()
    raise InputError(f"unknown scorer '{name}'", fix=f"choose one of {', '.join(NAMES)}, or negative- and one of them")


def scorers_of(folder: str | Path | None, wanted: Sequence[str]) -> dict[str, Scorer]:
    """Group name -> scorer: from a folder written by make-imdb, and GROUP=SCORER texts."""
    found: dict[str, Scorer] = {}
    opening = ""
    place = None if folder is None else Path(folder)
    if place is not None:
        try:
            content = read_stamped(place / "make.json", "run `pluralign llm make-imdb` again, with another --out")
        except OSError as error:
            raise InputError("holds no make.json", file=place, fix="give a folder written by llm make-imdb") from error
        for row in content["groups"]:
            found[row["group_id"]] = make_scorer(row["scorer"], place / "scorers")
        opening = content.get("before", "")
    named: list[str] = []
    for text in wanted:
        group, equals, name = text.partition("=")
        if not equals:
            raise InputError(f"--scorer {text}: expected GROUP=SCORER", fix="for example --scorer group_0=lexicon")
        if group in named:
            raise InputError(f"--scorer {text}: group '{group}' has a scorer already", fix="give each group one")
        named.append(group)
        found[group] = make_scorer(name, None if place is None else place / "scorers")
    return {group: AfterOpening(scorer, opening) if opening else scorer for group, scorer in found.items()}
