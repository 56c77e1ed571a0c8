"""The record of a fit's steps, fetched from the device a few steps at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from llm.base.processes import processes
from llm.training.steps import Step, StepTotals
from sim.errors import InputError

# Steps whose numbers wait on a CUDA device: reading one there stops the device until all before it is done.
_FETCHED_TOGETHER = 16


@dataclass(frozen=True)
class _Waiting:
    """step: its number.  numbers (4,): loss, sum of margins, positive ones (of this process's share where `shared`),
    norm of the gradient of all.  n: answers of the step's batch."""

    step: int
    numbers: torch.Tensor
    shared: bool
    n: int
    rate: float
    beside: Step


class StepRecord:
    """rows: a row a step, of all that were fetched."""

    def __init__(self, name: str, total: int, device: torch.device, rate_field: str, rate: float) -> None:
        """name: of what is trained.  total: its steps at most.  rate_field, rate: for the error where it diverges."""
        self.rows: list[Step] = []
        self._name, self._total, self._field, self._rate = name, total, rate_field, rate
        self._together = _FETCHED_TOGETHER if device.type == "cuda" else 1
        self._waiting: list[_Waiting] = []

    def add(self, step: int, totals: torch.Tensor | StepTotals, norm: torch.Tensor, n: int, rate: float) -> bool:
        """Take a step's numbers; whether rows were fetched.  totals: of this process's share (3,), or of all."""
        shared = isinstance(totals, torch.Tensor)
        if isinstance(totals, StepTotals):
            sums = torch.tensor([totals.loss, totals.margins, totals.right], dtype=torch.float64, device=norm.device)
            beside: Step = totals.beside
        else:
            sums, beside = totals, {}
        numbers = torch.cat([sums, norm.detach().double().reshape(1)])
        self._waiting.append(_Waiting(step, numbers, shared, n, rate, beside))
        if len(self._waiting) < self._together:
            return False
        return self.fetch()

    def fetch(self) -> bool:
        """Bring what waits; InputError where a step's loss or gradient is not finite.  Whether there was anything."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return False
        found = torch.stack([own.numbers for own in waiting]).cpu().numpy()
        shared = np.array([own.shared for own in waiting])
        if shared.any():
            found[shared, :3] = processes().summed(np.ascontiguousarray(found[shared, :3]))
        for own, (loss, margins, right, norm) in zip(waiting, found.tolist(), strict=True):
            if not math.isfinite(loss) or not math.isfinite(norm):
                raise InputError(
                    f"training of '{self._name}' diverged at step {own.step + 1} of {self._total}: loss {loss}, "
                    f"gradient norm {norm}", field=self._field, fix=f"lower the rate (now {self._rate:g})",
                )  # fmt: skip
            self.rows.append({
                "step": own.step, "loss": loss, "rewards/margins": margins / own.n, "rewards/accuracies": right / own.n,
                "grad_norm": norm, "learning_rate": own.rate, **own.beside,
            })  # fmt: skip
        return True
