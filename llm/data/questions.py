"""Which answers are to one question: the same prompt with the same responses, whatever was said."""

from __future__ import annotations

import numpy as np

from sim.answer_kinds.response_choices import ResponseChoices
from sim.distinct import distinct
from sim.preferences import IntArray, PreferencePairs


def questions_of(pairs: PreferencePairs, prompt: IntArray, choices: ResponseChoices | None) -> IntArray:
    """(n,) one number for all answers of one annotator about the same responses to the same prompt, whatever they say.

    Somebody who is asked again, or a file that holds a row twice, gives answers that are not independent.
    prompt: (n,) number of each answer's prompt, whose tokens may differ from answer to answer.
    """
    if choices is None:
        about = pair_numbers(pairs, prompt)
    else:
        row, compared = choices.answer_of_row, choices.second >= 0
        slots = np.concatenate([choices.first, choices.second[compared]])
        n_responses = int(choices.responses.max(initial=0)) + 1
        both = distinct(np.concatenate([row, row[compared]]) * n_responses + choices.responses[slots])
        ends = np.searchsorted(both, np.arange(len(choices) + 1) * n_responses)
        sets: dict[tuple[int, bytes], int] = {}
        keys = zip(prompt.tolist(), ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        told = both % n_responses
        about = np.array([sets.setdefault((p, told[i:j].tobytes()), len(sets)) for p, i, j in keys], dtype=np.int64)
    return np.asarray(np.unique(about * pairs.n_annotators + pairs.annotator, return_inverse=True)[1].reshape(-1))


def pair_numbers(pairs: PreferencePairs, prompt: IntArray) -> IntArray:
    """One number for each prompt with the same two responses, whichever was chosen; (n,)."""
    low, high = np.minimum(pairs.chosen, pairs.rejected), np.maximum(pairs.chosen, pairs.rejected)
    return np.unique(np.stack([prompt, low, high], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
