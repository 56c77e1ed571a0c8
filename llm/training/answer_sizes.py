"""Tokens that answers bring into a forward pass of training, and which brings most: a pass holds one at least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm.base.sequences import ResponseScorer
from llm.base.tokens import TokenStore
from sim.answer_kinds.response_choices import ResponseChoices
from sim.preferences import IntArray, PreferencePairs


@dataclass(frozen=True)
class LargestAnswer:
    """Tokens of its prompt and of each of its `responses`; alone: each response has a sequence of its own, whatever the
    model allows."""

    prompt: int
    response: int
    responses: int = 2
    alone: bool = False

    @property
    def tokens(self) -> int:
        """In a forward pass, padding included."""
        return (self.responses * self.prompt if self.alone else self.prompt) + self.responses * self.response


@dataclass(frozen=True, eq=False)
class AnswerSizes:
    """lengths: (n,) tokens of each answer's longest sequence.  sequences: (n,) how many it has.  behind: responses
    stand behind their prompt, so that a sequence is that of a prompt; else of a response.  largest: the answer of most
    padded tokens, its responses as long as their mean where they stand behind their prompt."""

    lengths: IntArray
    sequences: IntArray
    behind: bool
    largest: LargestAnswer


def answer_sizes(
    scorer: ResponseScorer, store: TokenStore, observations: PreferencePairs | ResponseChoices
) -> AnswerSizes:
    """As training lays these answers out."""
    if isinstance(observations, PreferencePairs):
        sides = store.lengths(observations.chosen), store.lengths(observations.rejected)
        prompt, responses = store.lengths(observations.contexts), np.full(len(observations), 2)
        longest, prompts, together = np.maximum(*sides), np.ones_like(responses), prompt + sides[0] + sides[1]
    else:
        prompt, longest, responses, prompts, together = _of_choices(store, observations)
    behind = scorer.shares_up_to(int(together.max(initial=0)))
    largest = largest_answer(prompt, prompts * together - prompt, longest, responses, alone=not behind)
    return AnswerSizes(
        together if behind else prompt + longest, prompts if behind else responses, behind, largest
    )  # fmt: skip


def largest_answer(
    prompt: IntArray, total: IntArray, longest: IntArray, responses: IntArray, *, alone: bool
) -> LargestAnswer:
    """Of answers (n,) by tokens: of the prompt, of all responses and of the longest; responses: how many."""
    if not len(prompt):
        return LargestAnswer(0, 0, alone=alone)
    j = int((responses * (prompt + longest) if alone else prompt + total).argmax())
    each = longest[j] if alone else -(-total[j] // responses[j])
    return LargestAnswer(int(prompt[j]), int(each), int(responses[j]), alone)


def responses_of(choices: ResponseChoices) -> list[IntArray]:
    """The responses that each answer is about, by number in `choices.responses`, each once, ascending."""
    named = np.stack([np.tile(choices.answer_of_row, 2), np.concatenate([choices.first, choices.second])], axis=1)
    own, slots = np.unique(named[named[:, 1] >= 0], axis=0).T
    return np.split(slots, np.searchsorted(own, np.arange(1, len(choices))))


def _of_choices(store: TokenStore, choices: ResponseChoices) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Of each answer tokens of a prompt and of a response, of its longest sequence of one response, how many responses,
    how many prompts, and tokens of the longest sequence of a prompt with all of its responses; (n,) each."""
    prompt, response = store.lengths(choices.contexts), store.lengths(choices.responses)
    rows = []
    for own in responses_of(choices):
        distinct, first, of_prompt = np.unique(choices.contexts[own], return_index=True, return_inverse=True)
        sums = np.bincount(of_prompt.ravel(), weights=response[own], minlength=len(distinct)).astype(np.int64)
        longest = own[(prompt + response)[own].argmax()]
        rows.append((
            prompt[longest], response[longest], len(own), len(distinct), (prompt[own][first] + sums).max(),
        ))  # fmt: skip
    columns = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    return columns[0], columns[1], columns[2], columns[3], columns[4]
