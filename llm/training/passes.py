"""Passes over answers: the loop of optimiser steps that every training of adapters on answers is."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from llm.base.dropout import require_no_randomness, silence_dropout
from llm.base.journal import Journal
from llm.base.processes import processes
from llm.base.shared_base import SharedBase
from llm.training.adapter_dropout import AdapterDropout
from llm.training.answer_objectives import Objective
from llm.training.batches import n_batches, step_batches
from llm.training.finite import require_finite
from llm.training.optimiser_state import as_tensors, put_back
from llm.training.step_record import StepRecord
from llm.training.steps import Contested, Step, StepTotals, accumulate
from sim.errors import InputError
from sim.preferences import IntArray
from sim.streams import Stream


@dataclass(frozen=True)
class DPOTraining:
    """How an adapter is fitted; every fit starts a fresh optimiser from the present parameters.

    rate, schedule: peak learning rate; constant, linear or cosine after `warmup` (a share of one epoch's steps for a
    constant rate, of all epochs' for the others).
    epochs, settled: a fit ends after `epochs` passes, or with the first that lowers the mean loss by less than the
    share `settled` of all that the passes since the first have: it has all but reached what its own objective gives. 0
    makes every pass.
    batch: pairs an optimiser step, at most: a pass has as few steps as that allows, of sizes that differ by one at
    most, in which each answer weighs the same.  micro_tokens: padded tokens in one forward pass; more are accumulated.
    skip_below: answers whose weight in a group is below this share of the mean weight that the file gives an answer are
    left out (the share of the group that they hold is reported).
    merge: pairs that were answered alike (the same prompt, chosen and rejected; of group-dpo by the same group) are one
    row that weighs what they weigh together: the same loss over fewer rows, and a pass is one over the rows. Other
    kinds of answers stay apart.
    normalised: the loss is divided by the mean weight, so that a small group is fitted as hard as a large one; that of
    group-dpo, a mean of the groups' mean losses, always is.
    gradient_checkpointing: recompute activations in the backward pass; None: where a step does not fit into the
    device's memory without (`choose_checkpointing`). It changes gradients by rounding alone.
    together: the fits of all groups step by step, their rows in one forward pass, as far as micro_tokens and memory
    allow, and so their scores; null: where it pays (`Sharing.of`). It changes numbers by rounding alone.
    checkpoint_steps: optimiser steps between checkpoints inside a fit.
    """

    rate: float = 5e-5
    epochs: int = 8
    settled: float = 0.1
    batch: int = 32
    micro_tokens: int = 16_384
    optimizer: Literal["adamw", "rmsprop"] = "adamw"
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    bucket: bool = True
    skip_below: float = 1e-3
    merge: bool = False
    normalised: bool = True
    gradient_checkpointing: bool | None = None
    together: bool | None = None
    checkpoint_steps: int = 200

    def __post_init__(self) -> None:
        for name in ("rate", "epochs", "batch", "micro_tokens", "clip", "checkpoint_steps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"training.{name} must be positive (got {getattr(self, name)})")
        for name in ("warmup", "skip_below", "settled"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"training.{name} must lie in [0, 1) (got {getattr(self, name)})")
        if self.weight_decay < 0:
            raise ValueError(f"training.weight_decay must not be negative (got {self.weight_decay})")


def rate_factor(step: int, total: int, training: DPOTraining) -> float:
    """The learning rate of optimiser step `step` (from 0) over the peak: linear warm-up, then the schedule."""
    warm = math.ceil(training.warmup * total)
    if step < warm:
        return (step + 1) / warm
    if training.schedule == "constant":
        return 1.0
    done = (step - warm) / max(1, total - warm)
    return 1.0 - done if training.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))


def is_settled(losses: Sequence[float], per_epoch: int, share: float) -> bool:
    """Whether the last pass lowered the mean loss by less than `share` of what the passes since the first have.

    losses: one a step, whole passes.  Not in proportion to the loss itself: an adapter that starts as the reference
    gains little in its first passes and most in those that follow.
    """
    if share == 0 or len(losses) < 2 * per_epoch:
        return False
    passes = np.reshape(losses, (-1, per_epoch)).mean(axis=1)
    gained = passes[0] - passes[-1]
    return bool(gained <= 0 or passes[-2] - passes[-1] < share * gained)


def make_passes(
    base: SharedBase,
    name: str,
    groups: Sequence[Mapping[str, torch.nn.Parameter]],
    objective: Objective,
    training: DPOTraining,
    stream: Stream,
    *,
    times: Sequence[float] = (1.0,),
    journal: Journal | None = None,
    key: str = "",
    on_step: Callable[[int, int], None] = lambda step, total: None,
    on_record: Callable[[Sequence[Step]], None] = lambda record: None,
    on_pass: Callable[[int], None] | None = None,
    rate_field: str = "training.rate",
) -> list[Step]:
    """Minimise the objective over the parameters of `groups`, in place, with adapter `name` in use; a row a step.

    Where the objective is `Contested` its adversary moves at each step, and is kept with the optimiser.

    times: what the rate of each group is multiplied by.  journal, key: where an unfinished fit keeps its parameters,
    optimiser and step.
    on_record: is shown the rows so far, whenever there are more of them.
    on_pass: hears of every pass that ends here (from 0), with the parameters at its end; a restart begins after it.
    rate_field: what the rate is called where it is set.
    """
    dropout = AdapterDropout(base, name, stream.child("dropout"))
    contested = objective if isinstance(objective, Contested) else None
    parameters = [value for group in groups for value in group.values()]

    def gradient(asked: AskedStep) -> torch.Tensor | StepTotals:
        with dropout.of_step(asked.step):
            if contested is not None:
                return contested.accumulate(asked.rows, asked.batch, training.micro_tokens, parameters)
            return accumulate(objective, asked.rows, asked.batch, training.micro_tokens)

    with base.using(name), ready_to_train(base, parameters, training.gradient_checkpointing):
        steps = fit_steps(
            base, name, groups, objective, training, stream, times=times, journal=journal, key=key, on_step=on_step,
            on_record=on_record, on_pass=on_pass, rate_field=rate_field,
        )  # fmt: skip
        try:
            asked = next(steps)
            while True:
                asked = steps.send(gradient(asked))
        except StopIteration as ended:
            record: list[Step] = ended.value
    return record


@dataclass(frozen=True)
class AskedStep:
    """The gradient of the answers `rows` is wanted in the parameters, in step `step` of a fit.  batch: the mean number
    of answers in a step, as of an `Objective`."""

    step: int
    rows: IntArray
    batch: float


def fit_steps(
    base: SharedBase,
    name: str,
    groups: Sequence[Mapping[str, torch.nn.Parameter]],
    objective: Objective,
    training: DPOTraining,
    stream: Stream,
    *,
    times: Sequence[float] = (1.0,),
    journal: Journal | None = None,
    key: str = "",
    on_step: Callable[[int, int], None] = lambda step, total: None,
    on_record: Callable[[Sequence[Step]], None] = lambda record: None,
    on_pass: Callable[[int], None] | None = None,
    rate_field: str = "training.rate",
) -> Generator[AskedStep, torch.Tensor | StepTotals, list[Step]]:
    """The fit of `make_passes`, which says of each step what it wants the gradient of, and is sent what
    `steps.accumulate` returns once it is there; a row a step in the end."""
    # One function on purpose: a fit is the loop below, and a restart repeats its order of arithmetic.
    per_epoch = n_batches(len(objective.lengths), training.batch)
    total = per_epoch * training.epochs
    # Under a constant rate the number of passes is not known beforehand: the warm-up is the first pass's.
    scheduled = per_epoch if training.schedule == "constant" else total
    parameters = {own: value for group in groups for own, value in group.items()}
    journal = journal or Journal(None)
    part = f"part-{key}"
    contested = objective if isinstance(objective, Contested) else None
    record = StepRecord(name, total, base.device, rate_field, training.rate)

    def tell(fetched: bool) -> None:
        if fetched:
            on_record(record.rows)
            on_step(len(record.rows), total)

    optimizer = make_optimizer([list(own.values()) for own in groups], training)
    done = _resume(journal, part, parameters, optimizer, contested, record.rows)
    step = 0
    for epoch in range(training.epochs):
        tell(record.fetch())
        if _settled(record.rows[: epoch * per_epoch], per_epoch, training.settled, contested):
            break
        order = stream.child(f"epoch/{epoch}")
        for rows in step_batches(objective.lengths, training.batch, order, training.bucket):
            if step < done:
                step += 1
                continue
            for group, factor in zip(optimizer.param_groups, times, strict=True):
                group["lr"] = training.rate * rate_factor(step, scheduled, training) * factor
            optimizer.zero_grad(set_to_none=True)
            totals = yield AskedStep(step, rows, len(objective.lengths) / per_epoch)
            processes().sum_gradients(list(parameters.values()))
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), training.clip)
            # Before the parameters move: where nothing waits, a step that diverged is never made.
            fetched = record.add(step, totals, norm, len(rows), optimizer.param_groups[0]["lr"])
            optimizer.step()
            step += 1
            ends = on_pass is not None and step % per_epoch == 0
            kept = ends or (step % training.checkpoint_steps == 0 and step < total)
            tell(fetched or (kept and record.fetch()))
            if kept:
                require_finite(parameters, f"training of '{name}'", rate_field, training.rate)
                if ends and on_pass is not None:
                    on_pass(epoch)
                _checkpoint(journal, part, parameters, optimizer, contested, step, record.rows)
    tell(record.fetch())
    for parameter in parameters.values():
        parameter.grad = None
    require_finite(parameters, f"training of '{name}'", rate_field, training.rate)
    return record.rows


@contextmanager
def ready_to_train(
    base: SharedBase, parameters: Iterable[torch.nn.Parameter], recompute: bool | None
) -> Iterator[None]:  # fmt: skip
    """While this lasts the parameters, of adapters in use, take gradients; recompute: activations in the backward
    pass."""
    if recompute:
        start_gradient_checkpointing(base)
    for parameter in parameters:
        parameter.requires_grad_(True)
    yield
    if recompute:
        base.model.eval()


def _settled(record: Sequence[Step], per_epoch: int, share: float, contested: Contested | None) -> bool:
    """`is_settled` of the steps of whole passes; of a contested objective by what it says of each pass."""
    if contested is None:
        return is_settled([row["loss"] for row in record], per_epoch, share)
    passes = [record[begin : begin + per_epoch] for begin in range(0, len(record), per_epoch)]
    return is_settled([contested.pass_loss(own) for own in passes], 1, share)


def start_gradient_checkpointing(base: SharedBase) -> None:
    """Recompute activations in the backward pass; InputError where the model cannot, or would be random with it."""
    model = base.model
    try:
        if hasattr(model, "activation_checkpointing_enable"):
            model.activation_checkpointing_enable()
        else:  # before transformers 5.23
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    except ValueError as error:
        raise InputError(
            f"this model cannot recompute its activations ({error})", field="training.gradient_checkpointing",
            fix="leave it off",
        ) from error  # fmt: skip
    # transformers recomputes only in training mode: dropout of the base must be zero, and that of adapters is until a
    # step begins (`AdapterDropout`).
    model.train()
    silence_dropout(model)
    if base.probe:
        require_no_randomness(model)


def make_optimizer(groups: Sequence[list[torch.nn.Parameter]], training: DPOTraining) -> torch.optim.Optimizer:
    """One for all groups of parameters."""
    parameters = [{"params": own} for own in groups]
    if training.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=training.rate, weight_decay=training.weight_decay)
    return torch.optim.AdamW(parameters, lr=training.rate, weight_decay=training.weight_decay)


def _checkpoint(
    journal: Journal,
    part: str,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    contested: Contested | None,
    step: int,
    record: list[Step],
) -> None:
    beside = {} if contested is None else contested.state()
    journal.write(part, as_tensors(parameters, optimizer, beside), {"step": step, "record": record})


def _resume(
    journal: Journal,
    part: str,
    parameters: Mapping[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    contested: Contested | None,
    record: list[Step],
) -> int:
    """Put back an unfinished fit; the number of optimiser steps it had done."""
    found = journal.read(part)
    if found is None:
        return 0
    tensors, notes = found
    beside = put_back(tensors, parameters, optimizer)
    if contested is not None:
        contested.restore(beside)
    record.extend(notes["record"])
    return int(notes["step"])
