"""Which prompts policies are sampled on, and how often."""

from __future__ import annotations

import numpy as np

from llm.base.progress import Progress
from llm.base.tokens import TokenStore
from llm.data.answer_sets import AnswerSet
from sim.errors import InputError
from sim.preferences import IntArray
from sim.streams import Stream


def contexts_of_prompts(answers: AnswerSet, store: TokenStore) -> IntArray:
    """(n_prompts,) one context a prompt: the longest, of which least was cut for its answers or merges with them."""
    contexts = answers.pairs.contexts
    order = np.lexsort((contexts, -store.lengths(contexts), answers.prompts))
    _, first = np.unique(answers.prompts[order], return_index=True)
    return np.asarray(contexts[order][first])


def say_tempered(temperature: float, progress: Progress) -> None:
    """Regrets and weights are of the policies themselves only where their samples are drawn as they are."""
    if temperature != 1.0:
        progress(
            f"note: responses are drawn at temperature {temperature:g} (sampling.temperature), and log-probabilities "
            "are those of the policies at 1, as they are served: regrets, weights and KL are of neither; set it to 1"
        )


def distinct_prompts(contexts: IntArray, limit: int, stream: Stream) -> IntArray:
    """At most `limit` different prompts, in random order."""
    prompts = np.unique(contexts)
    return prompts[stream.permutation(len(prompts))[:limit]]


def sampled_prompts(contexts: IntArray, limit: int, samples: int, stream: Stream) -> tuple[IntArray, int]:
    """(prompts to sample on, responses to each): at most `limit` different prompts.

    contexts: of prompts, each with one (`contexts_of_prompts`).

    Prompts are the units that errors are estimated from. Where there is one, it is all there is to know, and its
    responses are the units: it then stands there once a response.  InputError where that is a single response.
    """
    found = distinct_prompts(contexts, limit, stream)
    if len(found) > 1:
        return found, samples
    if samples < 2:
        raise InputError(
            "all answers are to one prompt: a single response of each policy tells nothing of their spread",
            fix="sample several to it (--samples 100)",
        )
    return np.repeat(found, samples), 1
