"""Group-robust DPO on an adapter: the weights of known groups, and a step of both (Ramesh et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from llm.base.processes import processes
from llm.training.answer_objectives import AnswerObjective
from llm.training.step_shares import own_pieces
from llm.training.steps import Step, StepTotals
from sim.algorithms.worst_case_weights import exponentiated_step
from sim.preferences import FloatArray, IntArray

_STATE = "log_weights"


@dataclass(frozen=True, eq=False)
class GroupWeights:
    """The groups of some answers, and how much each weighs.

    names: (G,).  group: (n,) of each answer, in 0..G-1.  log_weights: (G,), logarithms of alpha, which sums to one.
    step: of alpha, eta in `RobustObjective`; 0 leaves it as it is.
    """

    names: tuple[str, ...]
    group: IntArray
    log_weights: FloatArray
    step: float

    @classmethod
    def even(cls, names: tuple[str, ...], group: IntArray, step: float) -> GroupWeights:
        """All alike: where the game begins."""
        return cls(names, group, np.full(len(names), -np.log(len(names))), step)

    @property
    def alpha(self) -> FloatArray:
        return np.asarray(np.exp(self.log_weights))

    def named(self, values: FloatArray) -> dict[str, float]:
        """values: (G,)."""
        return dict(zip(self.names, values.tolist(), strict=True))

    def shares(self, weights: FloatArray) -> FloatArray:
        """What a unit of alpha gives each answer, v_j / M_g with M_g the sum of its group's v; (n,).

        weights: v (n,), no group without any.
        """
        mass = np.bincount(self.group, weights, len(self.names))
        return np.asarray(weights / mass[self.group])

    def tensors(self) -> dict[str, torch.Tensor]:
        """What changes, to be kept."""
        return {_STATE: torch.from_numpy(self.log_weights.copy())}

    def restored(self, tensors: Mapping[str, torch.Tensor]) -> GroupWeights:
        """The same groups with the weights that `tensors` gave."""
        return replace(self, log_weights=tensors[_STATE].numpy().astype(np.float64))


class RobustObjective:
    """max over alpha in the simplex of sum_g alpha_g L_g(theta), L_g the mean loss of known group g, from batches.

        L_g(B) = (n / b) sum_{j in B, g(j) = g} v_j l_j / M_g,         l_j = -log p(answer j),  M_g = sum_{g(j) = g} v_j
        alpha_g <- alpha_g exp(eta L_g(B)) / sum_h alpha_h exp(eta L_h(B))      [arXiv 2405.20304, Algorithm 1, l. 6, 7]
        theta <- theta - rate grad_theta sum_g alpha_g L_g(B)                   [line 8, with the new alpha, as there]

    n answers (rows, where answers alike are merged), v their weights, b the mean size of a pass's batches, whose own
    sizes |B| differ by one at most; of pairs l = -log sigma(M_j), the loss of GR-DPO.
    With v = 1 a batch of one answer gives the paper's N l / N_g. Means of L_g(B) over the batches of a pass are the
    groups' mean losses, however unlike their sizes. With eta = 0 and even alpha this is DPO with every group weighing
    the same.

    Departs from the paper, whose step sees one answer drawn from all: a step sees a batch, the mean over it of what the
    lines say of one, and a pass sees every answer once (so do the authors' programs, which do not divide by b: a step
    of theirs is one of b times as much here). theta moves by the optimiser of all fits, clipped, in place of a
    projected gradient step.
    """

    def __init__(self, answers: AnswerObjective, weights: FloatArray, groups: GroupWeights) -> None:
        """weights: v (n,), positive; groups: of the same answers, each group with some."""
        self._answers, self._groups = answers, groups
        self.lengths, self.sequences = answers.lengths, answers.sequences
        self._unit = groups.shares(weights) * len(weights)

    @property
    def groups(self) -> GroupWeights:
        """With the weights as they are now."""
        return self._groups

    def __call__(self, rows: IntArray, batch: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of a piece of a batch at the weights as they are, and margins without gradient; batch: b."""
        found, margin = self._answers.log_likelihood(rows)
        return self._loss(rows, found, batch), margin

    def accumulate(
        self, rows: IntArray, batch: float, tokens: int, parameters: Sequence[torch.nn.Parameter]
    ) -> StepTotals:  # fmt: skip
        """Both halves of a step: the groups' weights move, and `parameters` get the gradient at the new ones.

        Of several processes: the losses of all move the weights, and the gradient is that of this one's share.
        """
        pieces = own_pieces(rows, self.lengths, tokens, self.sequences)
        if len(pieces) == 1:
            piece, counts = pieces[0]
            found, margin = self._answers.log_likelihood(piece)
            losses = processes().summed(self._losses(piece, found, batch) * counts)
            self._move(losses)
            (self._loss(piece, found, batch) * counts).backward()
            return self._totals(losses, [(margin, counts)])
        return self._by_group(rows, batch, tokens, parameters)

    def _by_group(
        self, rows: IntArray, batch: float, tokens: int, parameters: Sequence[torch.nn.Parameter]
    ) -> StepTotals:  # fmt: skip
        """A batch in several pieces, none of two groups: alpha is known after the last, so that each group's gradient
        is kept until then, which costs its size in memory, and no second pass."""
        losses, margins = np.zeros(len(self._groups.names)), []
        kept: dict[int, list[torch.Tensor | None]] = {}
        for g in np.unique(self._groups.group[rows]).tolist():
            own = rows[self._groups.group[rows] == g]
            for piece, counts in own_pieces(own, self.lengths, tokens, self.sequences):
                found, margin = self._answers.log_likelihood(piece)
                losses += self._losses(piece, found, batch) * counts
                unit = torch.as_tensor(self._unit[piece], dtype=torch.float32, device=found.device)
                (-(unit * found).sum() / batch * counts).backward()
                margins.append((margin, counts))
            kept[g] = [parameter.grad for parameter in parameters]
            for parameter in parameters:
                parameter.grad = None
        losses = processes().summed(losses)
        self._move(losses)
        for g, gradients in kept.items():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    part = gradient.mul_(float(self._groups.alpha[g]))
                    parameter.grad = part if parameter.grad is None else parameter.grad.add_(part)
        return self._totals(losses, margins)

    def _losses(self, piece: IntArray, found: torch.Tensor, batch: float) -> FloatArray:
        """What a piece adds to L_g(B); (G,)."""
        each = -found.detach().double().cpu().numpy() * self._unit[piece] / batch
        return np.bincount(self._groups.group[piece], each, len(self._groups.names)).astype(np.float64)

    def _loss(self, piece: IntArray, found: torch.Tensor, batch: float) -> torch.Tensor:
        weight = self._groups.alpha[self._groups.group[piece]] * self._unit[piece]
        return -(torch.as_tensor(weight, dtype=torch.float32, device=found.device) * found).sum() / batch

    def _move(self, losses: FloatArray) -> None:
        # A fit that diverged says so where its loss is looked at.
        if np.isfinite(losses).all():
            own = self._groups
            self._groups = replace(own, log_weights=exponentiated_step(own.log_weights, losses, own.step))

    def _totals(self, losses: FloatArray, margins: Sequence[tuple[torch.Tensor, float]]) -> StepTotals:
        """losses: of all processes.  margins: of this one's pieces, with what each counts."""
        own = self._groups
        sums = [[counts * float(margin.sum()), counts * float((margin > 0).sum())] for margin, counts in margins]
        total, right = processes().summed(np.sum(sums, axis=0)).tolist()
        return StepTotals(
            loss=float(own.alpha @ losses),
            margins=total,
            right=int(right),
            beside={"group_weights": own.named(own.alpha), "group_losses": own.named(losses)},
        )

    def state(self) -> dict[str, torch.Tensor]:
        return self._groups.tensors()

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        self._groups = self._groups.restored(state)

    def pass_loss(self, steps: Sequence[Step]) -> float:
        """The largest of the groups' mean losses over a pass: alpha's own mean may rise as alpha finds it."""
        each = [list(step["group_losses"].values()) for step in steps]
        return float(np.mean(each, axis=0).max())
