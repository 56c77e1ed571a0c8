"""The weighted DPO objective of answers of every kind, a piece of a batch at a time."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch.nn import functional

from llm.base.asked_rows import AskedRows
from llm.base.shared_base import SharedBase
from llm.training.answer_sizes import answer_sizes
from llm.training.losses import margins, weighted_dpo_loss
from sim.answer_kinds.response_choices import ResponseChoices
from sim.preferences import FloatArray, IntArray, PreferencePairs


class Objective(Protocol):
    """lengths: (n,) tokens of the longest sequence of each answer.  sequences: (n,) how many each has: where responses
    stand behind their prompt, one for each prompt."""

    lengths: IntArray
    sequences: IntArray

    def __call__(self, rows: IntArray, batch: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of the answers `rows`, a piece of a batch, and their margins without gradient.

        batch: answers of a batch, what its losses are divided by: of a pass the mean number, so that each answer
        weighs the same and the mean of its batches' losses is that of its answers'.
        """
        ...


class AnswerObjective(Objective, Protocol):
    """An objective that is a sum over answers, -sum_j v_j log p(answer j) / batch."""

    def log_likelihood(self, rows: IntArray) -> tuple[torch.Tensor, torch.Tensor]:
        """log p of the answers `rows`, differentiable, and their margins without gradient; (len(rows),) each."""
        ...

    def asked(self, rows: IntArray) -> AskedRows:
        """What the loss of the answers `rows` is made from."""
        ...

    def loss(self, rows: IntArray, scores: torch.Tensor, batch: float) -> tuple[torch.Tensor, torch.Tensor]:
        """As a call gives it, from the log-probabilities of `asked(rows)`."""
        ...


def objective_of(
    base: SharedBase, observations: PreferencePairs | ResponseChoices, weights: FloatArray, beta: float
) -> AnswerObjective:
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
        sizes = answer_sizes(base.scorer, base.store, pairs)
        self.lengths, self.sequences, self._behind = sizes.lengths, sizes.sequences, sizes.behind

    def __call__(self, rows: IntArray, batch: float) -> tuple[torch.Tensor, torch.Tensor]:
        return self.loss(rows, self._base.log_probability(self.asked(rows)), batch)

    def log_likelihood(self, rows: IntArray) -> tuple[torch.Tensor, torch.Tensor]:
        margin = self._margin(rows, self._base.log_probability(self.asked(rows)))
        return functional.logsigmoid(margin), margin.detach()

    def asked(self, rows: IntArray) -> AskedRows:
        pairs = self._pairs
        contexts = pairs.contexts[rows]
        both = np.concatenate([contexts, contexts]), np.concatenate([pairs.chosen[rows], pairs.rejected[rows]])
        return AskedRows(*both, int(self.lengths[rows].max()) if self._behind else None)

    def loss(self, rows: IntArray, scores: torch.Tensor, batch: float) -> tuple[torch.Tensor, torch.Tensor]:
        margin = self._margin(rows, scores)
        return weighted_dpo_loss(margin, self._weight[rows].to(margin.device), batch), margin.detach()

    def _margin(self, rows: IntArray, scores: torch.Tensor) -> torch.Tensor:
        half, reference = len(rows), self._reference[:, rows].to(scores.device)
        return margins(scores[:half], scores[half:], reference[0], reference[1], self._beta)


class ChoiceTerms:
    """log p(answer j) of some answers from rewards of the responses they are about, the likelihood that of
    `ResponseChoices`; differentiable."""

    def __init__(self, choices: ResponseChoices) -> None:
        self._choices = choices
        self._offset = torch.as_tensor(choices.offset(), dtype=torch.float32)
        self._constant = torch.as_tensor(choices.constant(), dtype=torch.float32)
        self._choices_of = np.searchsorted(choices.answer, np.arange(len(choices) + 1))

    def slots(self, rows: IntArray) -> IntArray:
        """The responses that answers `rows` are about, each once, ascending."""
        own = self._choices
        used = [np.arange(own.starts[lo], own.starts[hi]) for lo, hi in self._bounds(rows)]
        found = np.concatenate(used) if used else np.zeros(0, dtype=np.int64)
        slots = np.unique(np.concatenate([own.first[found], own.second[found]]))
        return slots[slots >= 0]

    def _bounds(self, rows: IntArray) -> list[tuple[int, int]]:
        return [(int(self._choices_of[j]), int(self._choices_of[j + 1])) for j in rows.tolist()]

    def __call__(self, rows: IntArray, slots: IntArray, rewards: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(log p, margin) of the answers `rows`, (len(rows),) each, from the rewards of `slots(rows)`.

        A margin is how far the first choice of an answer is above the nearest of its alternatives; no gradient.
        """
        own, device = self._choices, rewards.device
        choice = np.concatenate([np.arange(lo, hi) for lo, hi in self._bounds(rows)])
        sizes = np.diff(own.starts)[choice]
        # A choice is a row of a matrix, its alternatives the columns; those it lacks are infinitely far below.
        column = np.arange(int(sizes.max()))
        there = column < sizes[:, None]
        at = np.where(there, own.starts[choice][:, None] + column, own.starts[choice][:, None])
        used = at[there]
        # The last reward, zero, is that of no response.
        reward = torch.cat([rewards, rewards.new_zeros(1)])
        first, second = (
            torch.as_tensor(np.where(of < 0, len(slots), np.searchsorted(slots, of)), device=device)
            for of in (own.first[used], own.second[used])
        )
        scale = torch.as_tensor(own.scale[used], dtype=torch.float32, device=device)
        difference = scale * (reward[first] - reward[second])
        mask = torch.as_tensor(there, device=device)
        z = rewards.new_full(mask.shape, torch.inf).masked_scatter(mask, difference + self._offset[used].to(device))
        found = -torch.logsumexp(torch.cat([z.new_zeros(len(z), 1), -z], dim=1), dim=1)
        per_answer = np.diff(self._choices_of)[rows]
        answer = torch.as_tensor(np.repeat(np.arange(len(rows)), per_answer), device=device)
        weight = torch.as_tensor(own.weight[choice], dtype=torch.float32, device=device)
        total = self._constant[rows].to(device).index_add(0, answer, weight * found)
        with torch.no_grad():
            plain = rewards.new_full(mask.shape, torch.inf).masked_scatter(mask, difference)
            begins = np.concatenate([[0], np.cumsum(per_answer)[:-1]])
            margin = plain[torch.as_tensor(begins, device=device)].min(dim=1).values
        return total, margin


class ChoiceObjective:
    """-sum_j v_j log p(answer j) / batch under implicit rewards."""

    def __init__(self, base: SharedBase, choices: ResponseChoices, weights: FloatArray, beta: float) -> None:
        self._base, self._choices, self._beta = base, choices, beta
        self._terms = ChoiceTerms(choices)
        self._weight = torch.as_tensor(weights, dtype=torch.float32)
        self._reference = torch.as_tensor(base.reference(choices.contexts, choices.responses), dtype=torch.float32)
        sizes = answer_sizes(base.scorer, base.store, choices)
        self.lengths, self.sequences, self._behind = sizes.lengths, sizes.sequences, sizes.behind

    def __call__(self, rows: IntArray, batch: float) -> tuple[torch.Tensor, torch.Tensor]:
        return self._loss(rows, *self.log_likelihood(rows), batch)

    def log_likelihood(self, rows: IntArray) -> tuple[torch.Tensor, torch.Tensor]:
        slots = self._terms.slots(rows)
        return self._answers(rows, slots, self._base.log_probability(self._asked(rows, slots)))

    def asked(self, rows: IntArray) -> AskedRows:
        return self._asked(rows, self._terms.slots(rows))

    def loss(self, rows: IntArray, scores: torch.Tensor, batch: float) -> tuple[torch.Tensor, torch.Tensor]:
        return self._loss(rows, *self._answers(rows, self._terms.slots(rows), scores), batch)

    def _asked(self, rows: IntArray, slots: IntArray) -> AskedRows:
        own, most = self._choices, int(self.lengths[rows].max()) if self._behind else None
        return AskedRows(own.contexts[slots], own.responses[slots], most)

    def _answers(self, rows: IntArray, slots: IntArray, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rewards = self._beta * (scores - self._reference[slots].to(scores.device))
        return self._terms(rows, slots, rewards)

    def _loss(
        self, rows: IntArray, total: torch.Tensor, margin: torch.Tensor, batch: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return -(self._weight[rows].to(total.device) * total).sum() / batch, margin
