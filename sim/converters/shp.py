"""Stanford Human Preferences: two comments on a post of Reddit, and which of them its readers put higher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sim.converters.answers import EVERYBODY, Item, LeftOut, each, pair_of
from sim.converters.converter import Converter
from sim.converters.records import Record


def rows(files: Sequence[Path], ratio: float) -> Iterator[Item]:
    """A pair a record.  ratio: pairs whose scores are less than so many times apart are left out; 0 keeps all."""

    def answers(record: Record) -> Iterator[Item]:
        # 1: A is preferred; 0: B.
        preferred = record.one_of("labels", {1: 0, 0: 1, "1": 0, "0": 1})
        if ratio > 0 and record.number("score_ratio") < ratio:
            yield LeftOut(f"pairs whose scores are less than {ratio:g} times apart")
            return
        first, second = record.text("human_ref_A"), record.text("human_ref_B")
        yield pair_of(first, second, preferred, prompt=record.text("history"), annotator_id=EVERYBODY)

    yield from each(files, answers, ("history", "human_ref_A", "human_ref_B", "labels"))


CONVERTER = Converter(
    rows,
    schema="SHP: history, human_ref_A, human_ref_B, labels (1: A is preferred, 0: B), and score_ratio for the option "
    "ratio",
    licence="none is named on the card of stanfordnlp/SHP: the terms of Reddit hold",
    loses="how many votes stand behind a pair, its domain, ids and times; a pair is the sum of many readers' votes, "
    "who are not told apart",
    options={"ratio": 0},
)
