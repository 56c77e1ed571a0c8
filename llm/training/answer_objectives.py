"""The weighted DPO objective of answers of every kind, a piece of a batch at a time."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from llm.base.sequences import collate
from llm.base.shared_base import SharedBase
from llm.training.losses import margins, weighted_dpo_loss
from sim.answer_kinds.response_choices import ResponseChoices
from sim.preferences import FloatArray, IntArray, PreferencePairs


class Objective(Protocol):
    """lengths: (n,) tokens of the longest sequence of each answer.  sequences: (n,) how many each has."""

    lengths: IntArray
    sequences: IntArray

    def __call__(self, rows: IntArray, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of the answers `rows`, a piece of a batch of `batch` answers, and their margins without gradient."""
        ...


def objective_of(
    base: SharedBase, observations: PreferencePairs | ResponseChoices, weights: FloatArray, beta: float
) -> Objective:
    """weights: (n,), as they enter the loss."""
    if isinstance(observations, PreferencePairs):
        return PairObjective(base, observations, weights, beta)
    return ChoiceObjective(base, observations, weights, beta)


class PairObjective:
    """-sum_j v_j log sigma(M_j) / batch: plain DPO, with weights."""

    def __init__(self, base: SharedBase, pairs: PreferencePairs, weights: FloatArray, beta: float) -> None:
        self._base, self._pairs, self._beta = base, pairs, beta
        self._weight = torch.as_tensor(weights, dtype=torch.float32)
        both = base.reference(pairs.contexts, pairs.chosen), base.reference(pairs.contexts, pairs.rejected)
        self._reference = torch.as_tensor(np.stack(both), dtype=torch.float32)
        longer = np.maximum(base.store.lengths(pairs.chosen), base.store.lengths(pairs.rejected))
        self.lengths = base.store.lengths(pairs.contexts) + longer
        self.sequences = np.full(len(pairs), 2)

    def __call__(self, rows: IntArray, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        base, pairs = self._base, self._pairs
        contexts = pairs.contexts[rows]
        both = np.concatenate([contexts, contexts]), np.concatenate([pairs.chosen[rows], pairs.rejected[rows]])
        scores = base.scorer(collate(base.store, *both, base.pad, base.device))
        half, reference = len(rows), self._reference[:, rows].to(scores.device)
        margin = margins(scores[:half], scores[half:], reference[0], reference[1], self._beta)
        return weighted_dpo_loss(margin, self._weight[rows].to(scores.device), float(batch)), margin.detach()


class ChoiceObjective:
    """-sum_j v_j log p(answer j) / batch under implicit rewards, the likelihood that of `ResponseChoices`.

    A margin is how far the first choice of an answer is above the nearest of its alternatives.
    """

    def __init__(self, base: SharedBase, choices: ResponseChoices, weights: FloatArray, beta: float) -> None:
        self._base, self._choices, self._beta = base, choices, beta
        self._weight = torch.as_tensor(weights, dtype=torch.float32)
        self._reference = torch.as_tensor(base.reference(choices.contexts, choices.responses), dtype=torch.float32)
        self._offset = torch.as_tensor(choices.offset(), dtype=torch.float32)
        self._constant = torch.as_tensor(choices.constant(), dtype=torch.float32)
        of_choice = np.searchsorted(choices.answer, np.arange(len(choices) + 1))
        self._choices_of = of_choice
        length = base.store.lengths(choices.contexts) + base.store.lengths(choices.responses)
        ends = choices.starts[of_choice]
        n = len(choices)
        self.lengths, self.sequences = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        for j in range(n):
            slots = _slots(choices, np.arange(ends[j], ends[j + 1]))
            self.lengths[j], self.sequences[j] = length[slots].max(), len(slots)

    def __call__(self, rows: IntArray, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        base, own = self._base, self._choices
        choice = np.concatenate([np.arange(self._choices_of[j], self._choices_of[j + 1]) for j in rows.tolist()])
        sizes = np.diff(own.starts)[choice]
        # A choice is a row of a matrix, its alternatives the columns; those it lacks are infinitely far below.
        column = np.arange(int(sizes.max()))
        there = column < sizes[:, None]
        at = np.where(there, own.starts[choice][:, None] + column, own.starts[choice][:, None])
        used = at[there]
        slots = _slots(own, used)
        scores = base.scorer(collate(base.store, own.contexts[slots], own.responses[slots], base.pad, base.device))
        device = scores.device
        # The last reward, zero, is that of no response.
        reward = torch.cat([self._beta * (scores - self._reference[slots].to(device)), scores.new_zeros(1)])
        place = {slot: number for number, slot in enumerate(slots.tolist())}
        first, second = (
            torch.tensor([place.get(slot, len(slots)) for slot in column.tolist()], device=device)
            for column in (own.first[used], own.second[used])
        )
        scale = torch.as_tensor(own.scale[used], dtype=torch.float32, device=device)
        difference = scale * (reward[first] - reward[second])
        mask = torch.as_tensor(there, device=device)
        z = scores.new_full(mask.shape, torch.inf).masked_scatter(mask, difference + self._offset[used].to(device))
        found = -torch.logsumexp(torch.cat([z.new_zeros(len(z), 1), -z], dim=1), dim=1)
        answer = torch.as_tensor(np.repeat(np.arange(len(rows)), np.diff(self._choices_of)[rows]), device=device)
        weight = torch.as_tensor(own.weight[choice], dtype=torch.float32, device=device)
        total = self._constant[rows].to(device).index_add(0, answer, weight * found)
        loss = -(self._weight[rows].to(device) * total).sum() / float(batch)
        with torch.no_grad():
            plain = scores.new_full(mask.shape, torch.inf).masked_scatter(mask, difference)
            begins = np.concatenate([[0], np.cumsum(np.diff(self._choices_of)[rows])[:-1]])
            margin = plain[torch.as_tensor(begins, device=device)].min(dim=1).values
        return loss, margin


def _slots(choices: ResponseChoices, rows: IntArray) -> IntArray:
    """The responses that rows of choices are about, each once, ascending."""
    slots = np.unique(np.concatenate([choices.first[rows], choices.second[rows]]))
    return slots[slots >= 0]
