"""Rows whose log-probabilities a training step asks for, laid out for a forward pass: of one adapter, or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from llm.base.sequences import ResponseScorer, SequenceBatch, collate_sequences
from llm.base.shared_prompts import behind_their_prompts
from llm.base.tokens import TokenStore
from sim.preferences import IntArray


@dataclass(frozen=True, eq=False)
class AskedRows:
    """log pi(response | context) is wanted of these rows, (n,) each.

    most: tokens in a sequence of several responses behind their prompt, which the scorer must allow; None: each
    response has its own.  A row that comes twice is computed once.
    """

    contexts: IntArray
    responses: IntArray
    most: int | None

    def sequences(self, store: TokenStore) -> tuple[IntArray, list[IntArray], IntArray]:
        """Distinct rows (m, 2), the sequences that hold them by number, and where each of the n rows is in these."""
        rows, back = np.unique(np.stack([self.contexts, self.responses], axis=1), axis=0, return_inverse=True)
        sequences = list(np.arange(len(rows))[:, None])
        if self.most is not None:
            prompt, response = store.lengths(rows[:, 0]), store.lengths(rows[:, 1])
            sequences = behind_their_prompts(rows[:, 0], prompt, response, self.most)
        return rows, sequences, np.argsort(np.concatenate(sequences))[back.reshape(-1)]


@dataclass(frozen=True, eq=False)
class LaidOut:
    """batch: of all that was asked.  Of each asker, in order: its sequences' lengths in tokens, and where its rows are
    among the batch's."""

    batch: SequenceBatch
    lengths: tuple[IntArray, ...]
    places: tuple[IntArray, ...]

    def scores(self, scorer: ResponseScorer) -> list[torch.Tensor]:
        """(n,) of each asker, in the numbers of training and differentiable."""
        found = scorer(self.batch)
        return [found[torch.from_numpy(place).to(found.device)] for place in self.places]


def laid_out(store: TokenStore, askers: Sequence[AskedRows], pad: int, device: Any) -> LaidOut:
    """The batch of what all of them ask for; a row that two ask for is in it twice."""
    rows, sequences, lengths, places, begun = [], [], [], [], 0
    for asked in askers:
        own, grouped, place = asked.sequences(store)
        prompt, response = store.lengths(own[:, 0]), store.lengths(own[:, 1])
        rows.append(own)
        sequences += [begun + numbers for numbers in grouped]
        lengths.append(np.array([prompt[numbers[0]] + response[numbers].sum() for numbers in grouped]))
        places.append(begun + place)
        begun += len(own)
    prompts, answers = np.concatenate(rows).T
    batch = collate_sequences(store, prompts, answers, sequences, pad, device)
    return LaidOut(batch, tuple(lengths), tuple(places))
