"""One step of a fit: the gradient of a batch's loss, with or without an adversary who answers the batch first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch

from llm.training.answer_objectives import Objective
from llm.training.step_shares import own_pieces
from sim.preferences import IntArray

# What is kept of a step: numbers by name, or numbers of groups by name.
Step: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class StepTotals:
    """Of one step's batch: its loss, the sum of its margins, how many are positive, and what else is to be kept."""

    loss: float
    margins: float
    right: int
    beside: Step = field(default_factory=dict)


@runtime_checkable
class Contested(Protocol):
    """An objective with an adversary, who answers each batch's losses before its gradient is taken."""

    def accumulate(
        self, rows: IntArray, batch: float, tokens: int, parameters: Sequence[torch.nn.Parameter]
    ) -> StepTotals:  # fmt: skip
        """Move the adversary, and leave in `parameters` the gradient of the batch `rows` against it.  batch: as of an
        `Objective`.  tokens: padded, at most, in a forward pass."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """Of the adversary."""
        ...

    def restore(self, state: Mapping[str, torch.Tensor]) -> None: ...

    def pass_loss(self, steps: Sequence[Step]) -> float:
        """What a pass reached, which says whether a fit is settled."""
        ...


def accumulate(objective: Objective, rows: IntArray, batch: float, tokens: int) -> torch.Tensor:
    """The gradient of a batch, added up in the parameters from pieces of at most `tokens` padded tokens.

    batch: as of an `Objective`.
    Returns loss, sum of margins, and how many are positive, (3,) float64 on the device: nothing here waits for it.
    Of several processes: all of this one's share.
    """
    parts = []
    for piece, counts in own_pieces(rows, objective.lengths, tokens, objective.sequences):
        loss, margin = objective(piece, batch)
        (loss * counts).backward()
        parts.append(torch.stack([loss.detach(), margin.sum(), (margin > 0).sum()]).double() * counts)
    return torch.stack(parts).sum(dim=0)
