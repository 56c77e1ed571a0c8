"""Answers in tokens: one set of them, and the sets that a run trains and is judged on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from llm.data.questions import questions_of
from sim.answer_kinds.response_choices import ResponseChoices
from sim.distinct import distinct
from sim.preferences import BoolArray, FloatArray, IntArray, PreferencePairs
from sim.weighted_means import mean_of


@dataclass(frozen=True, eq=False)
class AnswerSet:
    """Answers of some annotators in tokens. group: (n_annotators,) names, "" where the file has none.

    choices: what the answers say, where they are not pairs whose one response is better; pairs then hold the response
    taken first and another one, and tie which of them say that neither is better (n,).
    prompt: (n,) number of each answer's prompt, which may have several contexts (see `TokenisedPairs`); None where each
    context is one.
    """

    pairs: PreferencePairs
    annotators: tuple[str, ...]
    group: tuple[str, ...]
    choices: ResponseChoices | None = None
    tie: BoolArray | None = None
    prompt: IntArray | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def observations(self) -> PreferencePairs | ResponseChoices:
        """What a policy is fitted to."""
        return self.pairs if self.choices is None else self.choices

    @property
    def prompts(self) -> IntArray:
        """(n,) number of each answer's prompt."""
        return self.pairs.contexts if self.prompt is None else self.prompt

    @property
    def questions(self) -> IntArray:
        """(n,) see `questions_of`."""
        return questions_of(self.pairs, self.prompts, self.choices)

    def of_annotators(self, kept: BoolArray) -> AnswerSet:
        """The answers of some annotators, a mask, who are numbered anew."""
        own, people, number = self.pairs.annotator, np.flatnonzero(kept), np.cumsum(kept) - 1
        rows = kept[own]
        pairs, choices = self.pairs.select(rows), self.choices
        if choices is not None:
            choices = choices.select(rows)
            choices = replace(choices, annotator=number[choices.annotator], n_annotators=len(people))
        return AnswerSet(
            replace(pairs, annotator=number[pairs.annotator], n_annotators=len(people)),
            tuple(self.annotators[i] for i in people.tolist()),
            tuple(self.group[i] for i in people.tolist()),
            choices,
            None if self.tie is None else self.tie[rows],
            None if self.prompt is None else self.prompt[rows],
        )

    @property
    def coin(self) -> float | None:
        """Mean nats an answer, each as often as its weight says, where every outcome is as likely as another; None
        where there is no answer."""
        if not len(self):
            return None
        return -math.log(2) if self.choices is None else mean_of(self.choices.by_coin(), self.pairs.weights)

    def given_weights(self, rows: BoolArray) -> FloatArray | None:
        """The file's weights of the masked answers, None where it has none."""
        return None if self.pairs.weights is None else self.pairs.weights[rows]

    @property
    def decided(self) -> BoolArray:
        """(n,) whether the first of `pairs` is better than the second."""
        return np.ones(len(self), dtype=np.bool_) if self.tie is None else ~self.tie

    @property
    def rows(self) -> tuple[IntArray, IntArray]:
        """(context, response) of everything that a policy must score, each once; two columns."""
        own, pairs = self.choices, self.pairs
        contexts = [pairs.contexts, pairs.contexts, *([] if own is None else [own.contexts])]
        responses = [pairs.chosen, pairs.rejected, *([] if own is None else [own.responses])]
        found = np.unique(np.stack([np.concatenate(contexts), np.concatenate(responses)], axis=1), axis=0)
        return found[:, 0], found[:, 1]


def asked_responses(observations: PreferencePairs | ResponseChoices) -> tuple[IntArray, IntArray]:
    """(context, response) of what was asked about, as draws of who wrote it; two columns.

    A question (a prompt with the same responses, whichever was preferred) counts once, however many were asked it.  A
    text that stands in several questions was written several times, and counts as often.
    """
    own = observations
    if isinstance(own, PreferencePairs):
        low, high = np.minimum(own.chosen, own.rejected), np.maximum(own.chosen, own.rejected)
        questions = np.unique(np.stack([own.contexts, low, high], axis=1), axis=0)
        return np.tile(questions[:, 0], 2), questions[:, 1:].T.ravel()
    row, compared, n_places = own.answer_of_row, own.second >= 0, len(own.responses)
    places = np.concatenate([own.first, own.second[compared]])
    both = distinct(np.concatenate([row, row[compared]]) * n_places + places)
    parts = np.split(both % n_places, np.searchsorted(both, np.arange(1, len(own)) * n_places))
    used = np.concatenate(list({part.tobytes(): part for part in parts}.values()))
    return own.contexts[used], own.responses[used]


@dataclass(frozen=True, eq=False)
class TextPreferences:
    """train, held_out and new_prompts share their annotators: held_out is about prompts that are in train, new_prompts
    about others.  unseen holds people who are nowhere else; known_test later answers of training annotators where the
    file marks some.  notes: what was left out or changed, for the reader.  chat: whether prompts are turns of
    a conversation, rendered by the chat template.  rendering: what the template is given beside messages in all answers
    to train on, None where they differ (see `common_rendering`).  likelihood: of the answers."""

    train: AnswerSet
    held_out: AnswerSet
    new_prompts: AnswerSet
    unseen: AnswerSet
    known_test: AnswerSet
    notes: tuple[str, ...]
    chat: bool = False
    likelihood: str = "bradley-terry"
    rendering: Mapping[str, Any] | None = field(default_factory=dict)
