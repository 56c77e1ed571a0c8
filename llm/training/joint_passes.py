"""Fits of several adapters step by step together: their rows in one forward and backward pass, the rest their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from llm.base.asked_rows import laid_out
from llm.base.journal import Journal
from llm.base.lanes import Lane, Lanes
from llm.base.lora_settings import LoraSettings
from llm.base.processes import processes
from llm.base.shared_base import SharedBase
from llm.training.adapter_dropout import AdapterDropout
from llm.training.answer_objectives import AnswerObjective
from llm.training.passes import AskedStep, DPOTraining, fit_steps, ready_to_train
from llm.training.step_shares import own_pieces
from llm.training.steps import Step
from sim.preferences import FloatArray, IntArray
from sim.streams import Stream


@dataclass(frozen=True)
class Sharing:
    """tokens: an adapter and step, up to which adapters share passes.  padding: tokens that a piece may bring into a
    pass of wider ones."""

    tokens: float = math.inf
    padding: float = math.inf

    @staticmethod
    def of(training: DPOTraining, lora: LoraSettings) -> Sharing | None:
        """What `training.together` means; None: one adapter after the other.  ValueError where it cannot be had.

        Left open, where it pays on a processor (`benchmarks/grouped_adapters.py`): a pass costs there what about a
        hundred tokens cost, whatever is in it, and larger ones leave the cache.  Not measured on a GPU.
        """
        hindered = {
            "lora.dora": lora.dora,
            # Activations are computed again layer by layer from behind, when the numbers drawn are others.
            "lora.dropout and training.gradient_checkpointing": lora.dropout > 0 and training.gradient_checkpointing,
        }
        for what, there in hindered.items():
            if there and training.together:
                raise ValueError(f"training.together does not go with {what}; leave one of them out")
        if training.together is False or any(hindered.values()):
            return None
        return Sharing() if training.together else Sharing(250.0, 100.0)


@dataclass(frozen=True, eq=False)
class JointFit:
    """What `make_passes` is told of one adapter; key: under which its unfinished work is kept, its own among them all
    where there is a journal."""

    name: str
    stream: Stream
    key: str = ""
    on_step: Callable[[int, int], None] = lambda step, total: None
    on_record: Callable[[Sequence[Step]], None] = lambda record: None


def make_passes_together(
    base: SharedBase,
    fits: Sequence[tuple[JointFit, AnswerObjective]],
    training: DPOTraining,
    sharing: Sharing,
    *,
    journal: Journal | None = None,
    key: str = "",
) -> list[list[Step]]:
    """`make_passes` of each fit, up to rounding: the same batches, pieces and dropped inputs; their rows of a step.

    A fit that has ended leaves the others alone.  What is unfinished is kept as one piece, so that after a restart the
    same rows share a pass again.
    """
    shelf = _Shelf(journal or Journal(None), f"part-{key}")
    parameters = [base.parameters_of(fit.name) for fit, _ in fits]
    record: dict[int, list[Step]] = {}
    asked: dict[int, AskedStep] = {}

    def go_on(number: int, step: Callable[[], AskedStep]) -> None:
        try:
            asked[number] = step()
        except StopIteration as ended:
            asked.pop(number, None)
            record[number] = ended.value
            shelf.end(fits[number][0].key, parameters[number], record[number])

    every, recompute = [value for own in parameters for value in own.values()], training.gradient_checkpointing
    with base.using(fits[0][0].name), ready_to_train(base, every, recompute):
        gradients = _Gradients(base, fits, training, sharing)
        steps = [
            fit_steps(
                base, fit.name, [own], objective, training, fit.stream, journal=shelf, key=fit.key,
                on_step=fit.on_step, on_record=fit.on_record,
            )
            for (fit, objective), own in zip(fits, parameters, strict=True)
        ]  # fmt: skip
        for number, fit in enumerate(steps):
            go_on(number, partial(next, fit))
        while asked:
            for number, totals in gradients(asked).items():
                go_on(number, partial(steps[number].send, totals))
            shelf.keep()
    return [record[number] for number in range(len(fits))]


class _Gradients:
    """The gradients of several fits' steps, each in its own adapter's parameters."""

    def __init__(
        self, base: SharedBase, fits: Sequence[tuple[JointFit, AnswerObjective]], training: DPOTraining,
        sharing: Sharing,
    ) -> None:  # fmt: skip
        self._base, self._objectives = base, [objective for _, objective in fits]
        self._most, self._padding = training.micro_tokens, sharing.padding
        self._names, self._lanes = [fit.name for fit, _ in fits], Lanes(base.peft)
        self._dropout = [AdapterDropout(base, fit.name, fit.stream.child("dropout")) for fit, _ in fits]

    def __call__(self, asked: Mapping[int, AskedStep]) -> dict[int, torch.Tensor]:
        """Of each fit what `steps.accumulate` returns."""
        drops = {k: self._dropout[k].as_function(step.step) for k, step in asked.items()}
        pieces = {
            k: own_pieces(step.rows, own.lengths, self._most, own.sequences)
            for k, step in asked.items() for own in (self._objectives[k],)
        }  # fmt: skip
        totals = {k: torch.zeros(3, dtype=torch.float64, device=self._base.device) for k in asked}
        for number in range(max(map(len, pieces.values()))):
            own = {k: found[number] for k, found in pieces.items() if number < len(found)}
            for together in self._passes({k: piece for k, (piece, _) in own.items()}):
                objectives = [self._objectives[k] for k in together]
                out = laid_out(
                    self._base.store, [each.asked(own[k][0]) for k, each in zip(together, objectives, strict=True)],
                    self._base.pad, self._base.device,
                )  # fmt: skip
                lanes = [
                    Lane(self._names[k], len(lengths), int(lengths.max()), drops[k])
                    for k, lengths in zip(together, out.lengths, strict=True)
                ]
                losses = []
                with self._lanes.of(lanes):
                    for k, objective, scores in zip(together, objectives, out.scores(self._base.scorer), strict=True):
                        piece, counts = own[k]
                        loss, margin = objective.loss(piece, scores, asked[k].batch)
                        losses.append(loss * counts)
                        of_piece = torch.stack([loss.detach(), margin.sum(), (margin > 0).sum()])
                        totals[k] += of_piece.double() * counts
                    torch.stack(losses).sum().backward()
        return totals

    def _passes(self, pieces: Mapping[int, IntArray]) -> list[list[int]]:
        """Which fits' pieces share a pass."""
        own = {k: self._objectives[k] for k in pieces}
        sizes = np.array([
            [own[k].sequences[rows].sum(), own[k].lengths[rows].max(), own[k].asked(rows[:1]).most is None]
            for k, rows in pieces.items()
        ], dtype=np.float64)  # fmt: skip
        # Of all processes, for whom passes must be the same: their mean.
        sizes = processes().summed(sizes) / processes().world
        numbers = list(pieces)
        return [[numbers[j] for j in found] for found in shared_passes(sizes, self._most, self._padding)]


def shared_passes(sizes: FloatArray, most: float, padding: float) -> list[list[int]]:
    """Which pieces go through the model together, by number: those of like lengths, at most `most` padded tokens of
    them, none with more than `padding` tokens of padding to the pass's width; those without a shared prompt apart.

    sizes: (n, 3), of each piece how many sequences it has, tokens of the longest, and whether each response has its own
    sequence: the others are given masks, which would replace a window's.
    """
    passes: list[list[int]] = []
    for j in sorted(range(len(sizes)), key=lambda j: (sizes[j, 2], -sizes[j, 1])):
        n, width, alone = sizes[j]
        if passes:
            _, widest, kind = sizes[passes[-1][0]]
            held = sizes[passes[-1], 0].sum()
            if kind == alone and (held + n) * widest <= most and n * (widest - width) <= padding:
                passes[-1].append(j)
                continue
        passes.append([j])
    return passes


class _Shelf(Journal):
    """Unfinished fits as one piece of a journal, written when each that goes on has reached the same step."""

    def __init__(self, journal: Journal, key: str) -> None:
        super().__init__(None)
        self._journal, self._key, self._new = journal, key, False
        self._going: dict[str, tuple[Mapping[str, torch.Tensor], Mapping[str, Any]]] = {}
        self._ended: dict[str, tuple[Mapping[str, torch.Tensor], Mapping[str, Any]]] = {}
        self._found = journal.read(key)

    def read(self, key: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        if self._found is None:
            return None
        tensors, notes = self._found
        own = {name.removeprefix(f"{key}/"): value for name, value in tensors.items() if name.startswith(f"{key}/")}
        return own, notes[key]

    def write(self, key: str, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any] | None = None) -> None:
        self._going[key] = tensors, notes or {}
        self._new = True

    def end(self, key: str, parameters: Mapping[str, torch.Tensor], record: list[Step]) -> None:
        """A fit has ended with these parameters: it is kept as one whose steps are all done."""
        tensors = {f"parameter/{name}": value.detach().clone() for name, value in parameters.items()}
        self._ended[f"part-{key}"] = tensors, {"step": len(record), "record": record}
        self._going.pop(f"part-{key}", None)

    def keep(self) -> None:
        """Write what is new since the last time."""
        if not self._new:
            return
        pieces = {**self._ended, **self._going}
        tensors = {f"{key}/{name}": value for key, (own, _) in pieces.items() for name, value in own.items()}
        self._journal.write(self._key, tensors, {key: notes for key, (_, notes) in pieces.items()})
        self._new, self._going, self._found = False, {}, None
