"""Answers of other kinds than pairs in tokens: choices, rankings, ratings, ties, levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from llm.data.windows import TokenSet, cut_set
from sim.answer_kinds.response_choices import ResponseChoices
from sim.files.pair_table import PairTable
from sim.preferences import BoolArray

# The context and responses of one prompt, or what an InputError is raised for.
Written = Callable[[int, list[int]], TokenSet]


@dataclass(frozen=True, eq=False)
class TokenisedChoices:
    """All answers, with numbers of the token store as contexts and responses.  keep: (n,) which of them are whole.
    counts: what was done to prompts and answers, in words of `Tokeniser.notes`, and how often."""

    choices: ResponseChoices
    keep: BoolArray
    counts: dict[str, int]


def tokenised_choices(
    choices: ResponseChoices, written: Written, add: Callable[[list[int]], int], window: int,
    begin: int | None, truncate: bool,
) -> TokenisedChoices:  # fmt: skip
    """In tokens, an answer left out where a response of it is too long, or is another's tokens once cut.

    choices: contexts are prompts, responses items.  written: tokens of a prompt and of its responses.  All responses of
    a prompt have one context: its tokens that stand unchanged before each of them.  truncate: cut what is too long to
    the window, instead of leaving answers out.
    """
    contexts, responses = np.zeros((2, len(choices.contexts)), dtype=np.int64)
    lost = np.zeros(len(choices.contexts), dtype=np.bool_)
    found: dict[str, int] = {}
    order = np.argsort(choices.contexts, kind="stable")
    for slots in np.split(order, np.flatnonzero(np.diff(choices.contexts[order])) + 1):
        tokens = written(int(choices.contexts[slots[0]]), choices.responses[slots].tolist())
        if tokens.excess(window) and truncate:
            tokens = cut_set(tokens, window, begin)
            found["prompts-cut"] = found.get("prompts-cut", 0) + tokens.cut_prompt
            found["responses-cut"] = found.get("responses-cut", 0) + sum(tokens.cut_responses)
        contexts[slots] = add(tokens.context)
        for slot, response in zip(slots.tolist(), tokens.responses, strict=True):
            lost[slot] = len(tokens.context) + len(response) > window
            responses[slot] = add(response)
    keep = np.ones(len(choices), dtype=np.bool_)
    answer = choices.answer_of_row
    alone = choices.second < 0
    second = np.where(alone, choices.first, choices.second)
    keep[answer[lost[choices.first] | lost[second]]] = False
    found["answers-dropped"] = int((~keep).sum())
    same = ~alone & (responses[choices.first] == responses[second])
    equal = np.zeros(len(choices), dtype=np.bool_)
    equal[answer[same]] = True
    found["answers-same"] = int((equal & keep).sum())
    keep &= ~equal
    numbered = replace(choices, contexts=contexts, responses=responses)
    return TokenisedChoices(numbered, keep, {why: n for why, n in found.items() if n})


def ties_of(table: PairTable) -> BoolArray | None:
    """(n,) which answers say that the first two of their responses are alike; None where none does."""
    own = table.offered
    tie = table.tie if own is None else own.tie[np.searchsorted(own.answer, np.arange(len(table)))]
    return tie if tie is not None and tie.any() else None
