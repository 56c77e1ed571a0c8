"""Ways to fit a run into a device: as it is, with activations recomputed, on a 4-bit base, on several devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from llm.planning.plan_settings import PlanSettings
from llm.training.device_memory import GIB, NAMED, free_of_machine, usable
from llm.training.rehearsal import Rehearsal, StepShape, rehearse

# Devices a base is spread over, at most.
_DEVICES = (2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Way:
    """name: what is done.  peak: bytes of a device, of training or evaluation or sampling, the most of them.  devices:
    among which the base is spread.  recompute, four_bit, together: as the settings training.gradient_checkpointing,
    four_bit and training.together.
    """

    name: str
    peak: int
    fits: bool
    devices: int = 1
    recompute: bool = False
    four_bit: bool = False
    together: bool = False


def memory_of(settings: PlanSettings) -> float:
    """Bytes that tensors may take of the device: what was said, what such a device has, or what is free here."""
    if settings.memory is not None:
        return settings.memory * GIB
    return free_of_machine() if settings.device == "cpu" else usable(NAMED[settings.device] * GIB)


def ways_to_fit(
    config: Any,
    dtype: torch.dtype,
    settings: PlanSettings,
    shape: StepShape,
    joint: StepShape | None = None,
) -> tuple[list[Way], Rehearsal]:
    """The ways in the order of what they cost, up to the first that fits (all where none does), and its rehearsal.

    joint: of a step of all groups, where they share passes: tried first, with activations recomputed only where the
    settings say so.  Checkpointing, 4-bit and spreading are tried where the settings leave them open; where they fix
    them, as they are fixed.
    """
    memory, found = memory_of(settings), []
    for way, seen in _tried(config, dtype, settings, shape, joint):
        found.append(replace(way, fits=way.peak <= memory))
        if found[-1].fits:
            return found, seen
    return found, seen


def _tried(
    config: Any, dtype: torch.dtype, settings: PlanSettings, shape: StepShape, joint: StepShape | None
) -> Iterator[tuple[Way, Rehearsal]]:
    asked = settings.training.gradient_checkpointing
    may_pack = settings.device != "cpu" and settings.scoring != "float32"
    packs = (True,) if settings.four_bit else (False, True) if may_pack else (False,)

    def run(answers: int, recompute: bool, four_bit: bool, together: bool = False) -> Rehearsal:
        return rehearse(
            config, dtype, replace(shape, answers=answers), lora=settings.lora, training=settings.training,
            types=settings.types, scoring=settings.scoring, recompute=recompute, four_bit=four_bit, together=together,
            sampling=settings.sampling,
        )  # fmt: skip

    def peak(seen: Rehearsal) -> int:
        return max(seen.training_peak, seen.evaluation_peak, seen.sampling_peak)

    # A packed base is rehearsed by nobody before training, where the groups are then fitted one by one.
    if joint is not None and not settings.four_bit:
        seen = run(joint.answers, bool(asked), False, together=True)
        name = "with all groups in one pass" + (" and gradient checkpointing" if asked else "")
        yield Way(name, peak(seen), False, 1, bool(asked), together=True), seen
    last = (False, False)
    for four_bit in packs:
        for recompute in (asked,) if asked is not None else (True,) if four_bit else (False, True):
            seen, last = run(shape.answers, recompute, four_bit), (recompute, four_bit)
            yield Way(_name(recompute, four_bit), peak(seen), False, 1, recompute, four_bit), seen
    # A 4-bit base is not spread.
    if settings.device == "cpu" or settings.four_bit:
        return
    recompute = last[0]
    for devices in _DEVICES:
        # Each takes its share of the batch, in pieces of as many tokens as one device would.
        seen = run(min(shape.answers, -(-settings.training.batch // devices)), recompute, False)
        # Embeddings and head are whole on each device, layers are shared, two of them gathered at a time.
        layers, largest = seen.layers
        spread = layers - layers // devices - 2 * largest
        yield Way(
            f"{_name(recompute, False)} on {devices} devices (sharding=full)", peak(seen) - max(0, spread), False,
            devices, recompute,
        ), seen  # fmt: skip


def _name(recompute: bool, four_bit: bool) -> str:
    parts = ["gradient checkpointing"] * recompute + ["a 4-bit base"] * four_bit
    return "with " + " and ".join(parts) if parts else "as it is"
