"""The loss of a reward model whose trunk is trained: answers under heads on hidden states that move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from llm.base.sequences import SequenceBatch, collate
from llm.base.shared_base import SharedBase
from llm.training.answer_objectives import ChoiceTerms
from sim.answer_kinds.response_choices import ResponseChoices
from sim.preferences import FloatArray, IntArray

# Answers of one prompt that are computed together at most: all share its responses' hidden states.
_MOST_OF_A_PROMPT = 256


@dataclass(frozen=True, eq=False)
class TrunkStart:
    """Where training of the trunk begins, from the heads that suit the model as it is.

    mean: (hidden,), directions: (hidden, d): phi = (h - mean)' directions, what heads are linear in.
    centre: (d,) the reward common to all.  shared: (d, k) U and own: (n_annotators, k) v_i of theta_i = centre + U v_i;
    k = 0: one reward for all.  train, held: answers whose contexts are annotators and whose responses are items, by
    number.  prompts: (n,) of the training answers.  decay: ridge of the departures v_i, nats.  ridge: that the centre
    was fitted with.
    """

    mean: FloatArray
    directions: FloatArray
    centre: FloatArray
    shared: FloatArray
    own: FloatArray
    train: ResponseChoices
    held: ResponseChoices
    prompts: IntArray
    decay: float
    ridge: float = 0.0


class Heads:
    """theta_i = centre + U v_i over phi(h), as parameters."""

    def __init__(self, start: TrunkStart, device: torch.device) -> None:
        def whole(values: FloatArray) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        self._mean, self._directions = whole(start.mean), whole(start.directions)
        self.parameters = {
            "heads.centre": torch.nn.Parameter(whole(start.centre)),
            "heads.shared": torch.nn.Parameter(whole(start.shared)),
            "heads.own": torch.nn.Parameter(whole(start.own)),
        }

    def rewards(self, hidden: torch.Tensor, annotators: IntArray) -> torch.Tensor:
        """<theta_i, phi(h)> of (n, hidden) states, each for an annotator; (n,)."""
        centre, shared, own = self.parameters.values()
        phi = (hidden.float() - self._mean) @ self._directions
        departures = (own[torch.as_tensor(annotators, device=own.device)] * (phi @ shared)).sum(dim=1)
        return phi @ centre + departures

    def penalty(self, decay: float) -> torch.Tensor:
        """decay / 2 sum_i |U v_i|^2, of the departures from the reward common to all."""
        _, shared, own = self.parameters.values()
        return 0.5 * decay * ((own @ shared.T) ** 2).sum()


class TrunkObjective:
    """(-sum_j v_j log p(answer j) + decay / 2 sum_i |U v_i|^2) / sum_j v_j, a few prompts at a time.

    A row is up to 256 answers to one prompt: hidden states of its responses are computed once for all who answered.
    """

    def __init__(self, base: SharedBase, heads: Heads, start: TrunkStart, contexts: IntArray, last: IntArray) -> None:
        """contexts, last: of each item, all of its tokens but one, and that one, in the token store."""
        self._base, self._heads, self._choices, self._decay = base, heads, start.train, start.decay
        self._contexts, self._last = contexts, last
        self._terms = ChoiceTerms(start.train)
        weights = start.train.pair_weights()
        self._rows = _of_prompts(start.prompts, start.train.annotator)
        total = float(weights.sum())
        # A batch's losses are divided by the mean size of a pass's batches: they then average to the whole.
        self._weight = torch.as_tensor(weights * len(self._rows) / total, dtype=torch.float32)
        self._scale = 1.0 / total
        length = base.store.lengths(contexts) + base.store.lengths(last)
        items = [np.unique(self._choices.responses[self._terms.slots(row)]) for row in self._rows]
        self.lengths = np.array([length[own].max() for own in items], dtype=np.int64)
        self.sequences = np.array([len(own) for own in items], dtype=np.int64)

    def __call__(self, rows: IntArray, batch: float) -> tuple[torch.Tensor, torch.Tensor]:
        own, answers = self._choices, [np.sort(self._rows[row]) for row in rows.tolist()]
        every = np.sort(np.concatenate(answers))
        slots = self._terms.slots(every)
        items, place = np.unique(own.responses[slots], return_inverse=True)
        hidden = self._hidden(items)
        hidden = hidden[torch.as_tensor(place.ravel(), device=hidden.device)]
        rewards = self._heads.rewards(hidden, own.contexts[slots])
        found, margin = self._terms(every, slots, rewards)
        loss = -(self._weight[every].to(found.device) * found).sum() / batch
        loss = loss + self._heads.penalty(self._decay) * self._scale * len(rows) / batch
        return loss, torch.stack([margin[np.searchsorted(every, one)].mean() for one in answers]).detach()

    def _hidden(self, items: IntArray) -> torch.Tensor:
        base = self._base
        batch = collate(base.store, self._contexts[items], self._last[items], base.pad, base.device)
        return last_states(base, batch)


def last_states(base: SharedBase, batch: SequenceBatch) -> torch.Tensor:
    """The last hidden state at the token after each context, of the adapter in use; (B, hidden)."""
    hidden = base.model.get_decoder()(input_ids=batch.input_ids, use_cache=False).last_hidden_state
    return hidden[batch.row, batch.before + 1]


def _of_prompts(prompts: IntArray, annotator: IntArray) -> list[IntArray]:
    """Answers by prompt, those of one prompt in runs of at most 256, annotators together; ascending inside."""
    order = np.lexsort((annotator, prompts))
    cuts = np.flatnonzero(np.diff(prompts[order])) + 1
    return [
        np.sort(own[lo : lo + _MOST_OF_A_PROMPT])
        for own in np.split(order, cuts) for lo in range(0, len(own), _MOST_OF_A_PROMPT)
    ]  # fmt: skip
