"""Whose answers are trained on, held out, and kept for people nobody trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from llm.data.answer_sets import AnswerSet
from llm.data.questions import pair_numbers
from llm.data.tokeniser import TokenisedPairs
from sim.files.pair_table import PairTable
from sim.preferences import BoolArray, FloatArray, IntArray, PreferencePairs
from sim.streams import Stream


def some_annotators(n: int, share: float, stream: Stream) -> BoolArray:
    """A random share of the annotators, at least one where the share is positive and two are there."""
    chosen = np.zeros(n, dtype=np.bool_)
    size = min(n - 1, max(1, round(share * n))) if share > 0 else 0
    chosen[stream.permutation(n)[:size]] = True
    return chosen


def kept_apart(
    pairs: PreferencePairs, prompt: IntArray, rows: BoolArray, question: IntArray, new_prompts: float, held_out: float,
    stream: Stream,
) -> tuple[BoolArray, BoolArray]:  # fmt: skip
    """Of the answers `rows` of training annotators (those on new prompts, those held out beside them); see
    `DataSettings`.  What is on neither side is trained on."""
    new = hold_out_prompts(prompt, pairs.annotator, rows, new_prompts, stream.child("held-out"))
    held = hold_out_answers(pairs, prompt, rows & ~new, held_out, stream.child("held-out answers"), question)
    return new, held


def hold_out_answers(
    pairs: PreferencePairs, prompt: IntArray, rows: BoolArray, share: float, stream: Stream,
    question: IntArray | None = None,
) -> BoolArray:  # fmt: skip
    """About a random share of each annotator's answers, of those about what somebody answers in training too.

    Such answers say whether an annotator is in the right group, whatever a policy makes of prompts it never saw. They
    are drawn among pairs that several answer; where hardly any are, among prompts that several answer.  Everybody keeps
    an answer, and every pair (or prompt) drawn from keeps one.  Empty where no prompt has two answers.  prompt: (n,)
    number of each answer's prompt, whose tokens may differ from answer to answer.  question: (n,) see `questions_of`;
    an annotator's answers to one question count as one, and are held out together.
    """
    if question is not None:
        first = np.zeros_like(rows)
        places = np.flatnonzero(rows)
        first[places[np.unique(question[places], return_index=True)[1]]] = True
        held = hold_out_answers(pairs, prompt, first, share, stream)
        return np.asarray(rows & np.isin(question, question[held]))
    held = np.zeros_like(rows)
    target = share * np.bincount(pairs.annotator[rows], minlength=pairs.n_annotators).astype(np.float64)
    for about in (pair_numbers(pairs, prompt), prompt):
        held = _spread(about, pairs.annotator, rows, target, stream)
        if held.sum() >= 0.5 * target.sum():
            break
    return held


def _spread(about: IntArray, annotator: IntArray, rows: BoolArray, target: FloatArray, stream: Stream) -> BoolArray:
    """Rows in random order, as long as their annotator is below her target, and she and `about` keep another."""
    held = np.zeros_like(rows)
    left_about = np.bincount(about[rows], minlength=int(about.max(initial=0)) + 1).tolist()
    left, taken = np.bincount(annotator[rows], minlength=len(target)).tolist(), [0] * len(target)
    # A target of 2.3 is 2 or 3 answers, by chance: shares hold on average for people with few answers, too.
    wanted = np.floor(target + stream.child("rounding").uniforms(len(target))).astype(int).tolist()
    places = np.flatnonzero(rows)
    for row in places[stream.permutation(len(places))].tolist():
        who, what = int(annotator[row]), int(about[row])
        if taken[who] < wanted[who] and left[who] > 1 and left_about[what] > 1:
            held[row] = True
            taken[who] += 1
            left[who] -= 1
            left_about[what] -= 1
    return held


def hold_out_prompts(prompt: IntArray, annotator: IntArray, rows: BoolArray, share: float, stream: Stream) -> BoolArray:
    """All answers to a random share of the prompts; people who answered nothing else keep theirs for training.

    What these say of is what carries over to prompts nobody answered in training.
    """
    prompts = np.unique(prompt[rows])
    size = round(share * len(prompts)) if share > 0 else 0
    chosen = prompts[stream.permutation(len(prompts))[: min(size, len(prompts) - 1)]]
    held = rows & np.isin(prompt, chosen)
    left = np.bincount(annotator[rows & ~held], minlength=int(annotator.max()) + 1)
    return np.asarray(held & (left[annotator] > 0), dtype=np.bool_)


def answers_of(
    table: PairTable, tokenised: TokenisedPairs, rows: BoolArray, people: IntArray | None = None
) -> AnswerSet:
    """The rows as a set of their own, annotators numbered anew (as `people` if given)."""
    pairs, choices = tokenised.pairs, tokenised.choices
    people = np.unique(pairs.annotator[rows]) if people is None else people
    number = np.full(pairs.n_annotators, -1, dtype=np.int64)
    number[people] = np.arange(len(people))
    part = pairs.select(rows)
    if choices is not None:
        choices = choices.select(rows)
        choices = replace(choices, annotator=number[choices.annotator], n_annotators=len(people))
    group = tuple("" if table.group is None else table.group[i] for i in people.tolist())
    return AnswerSet(
        PreferencePairs(
            part.contexts, part.chosen, part.rejected, number[part.annotator], len(people), weights=part.weights
        ),
        tuple(table.annotators[i] for i in people.tolist()),
        group,
        choices,
        None if tokenised.tie is None else tokenised.tie[rows],
        tokenised.prompt[rows],
    )
