"""Whose answers are trained on, held out, and kept for people nobody trained on."""

from __future__ import annotations

import numpy as np

from llm.data.answer_sets import AnswerSet
from sim.files.pair_table import PairTable
from sim.preferences import BoolArray, IntArray, PreferencePairs
from sim.streams import Stream


def some_annotators(n: int, share: float, stream: Stream) -> BoolArray:
    """A random share of the annotators, at least one where the share is positive and two are there."""
    chosen = np.zeros(n, dtype=np.bool_)
    size = min(n - 1, max(1, round(share * n))) if share > 0 else 0
    chosen[stream.permutation(n)[:size]] = True
    return chosen


def hold_out(contexts: IntArray, annotator: IntArray, rows: BoolArray, share: float, stream: Stream) -> BoolArray:
    """All answers to a random share of the prompts; people who answered nothing else keep theirs for training.

    Prompts and not answers are drawn: annotators share prompts, and a policy that has seen somebody's answer to a
    prompt has memorised part of everybody's.
    """
    prompts = np.unique(contexts[rows])
    size = round(share * len(prompts)) if share > 0 else 0
    chosen = prompts[stream.permutation(len(prompts))[: min(size, len(prompts) - 1)]]
    held = rows & np.isin(contexts, chosen)
    left = np.bincount(annotator[rows & ~held], minlength=int(annotator.max()) + 1)
    return np.asarray(held & (left[annotator] > 0), dtype=np.bool_)


def answers_of(table: PairTable, pairs: PreferencePairs, rows: BoolArray, people: IntArray | None = None) -> AnswerSet:
    """The rows as a set of their own, annotators numbered anew (as `people` if given)."""
    people = np.unique(pairs.annotator[rows]) if people is None else people
    number = np.full(pairs.n_annotators, -1, dtype=np.int64)
    number[people] = np.arange(len(people))
    part = pairs.select(rows)
    group = tuple("" if table.group is None else table.group[i] for i in people.tolist())
    return AnswerSet(
        PreferencePairs(
            part.contexts, part.chosen, part.rejected, number[part.annotator], len(people), weights=part.weights
        ),
        tuple(table.annotators[i] for i in people.tolist()),
        group,
    )
