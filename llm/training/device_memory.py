"""How much memory a device has, and whether a training step fits into it without recomputing activations."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llm.base.processes import processes
from llm.base.sharding import is_sharded
from llm.base.shared_base import SharedBase
from llm.training.answer_sizes import LargestAnswer
from llm.training.passes import DPOTraining
from llm.training.rehearsal import StepShape, rehearse
from sim.errors import InputError

GIB = 2**30
# What a program sees of these devices, GiB (80 GB of H100 and A100, 141 GB of H200).
NAMED = {"h200": 139.0, "h100": 79.2, "a100": 79.2}
# What libraries, kernels' workspaces and fragments take of a CUDA device: a share, and GiB.
_SHARE, _CONTEXT = 0.05, 1.0


def usable(total: float) -> float:
    """Bytes that tensors may take of `total` on a CUDA device."""
    return max(0.0, total * (1.0 - _SHARE) - _CONTEXT * GIB)


def free_memory(device: torch.device) -> float:
    """Bytes that tensors may still take: of a CUDA device, or of this machine within the limit of its control group."""
    if device.type == "cuda":
        # Blocks that torch keeps for later are free to it; what libraries took they have taken already.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + kept) * (1.0 - _SHARE)
    return free_of_machine() / processes().local_world


def free_of_machine(root: Path = Path("/")) -> float:
    """Available bytes by Linux's own account; elsewhere the physical memory, or infinite where no one says."""
    found = []
    try:
        for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(float(line.split()[1]) * 1024)
    except OSError:
        # Windows has no such call.
        sysconf = getattr(os, "sysconf", lambda name: float("inf"))
        found.append(float(sysconf("SC_PAGE_SIZE")) * float(sysconf("SC_PHYS_PAGES")))
    try:
        group = root / "sys/fs/cgroup"
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            found.append(float(limit) - float((group / "memory.current").read_text(encoding="ascii")))
    except OSError:
        pass
    return max(0.0, min(found)) if found else float("inf")


def choose_checkpointing(
    base: SharedBase, types: int, largest: LargestAnswer, training: DPOTraining, free: float | None = None
) -> bool:
    """Whether activations are recomputed in the backward pass: where a step would not fit without it.

    largest: of the answers that are trained on.  free: bytes, as of `free_memory`.
    The same in all processes.  InputError where a step does not fit with it either.  Where a step cannot be rehearsed
    (a packed base, a model whose code asks for values) and may not fit, they are recomputed.
    """
    if training.gradient_checkpointing is not None:
        return training.gradient_checkpointing
    free = free_memory(base.device) if free is None else free
    shape = _largest_step(largest, training, 1)
    recompute, needed = False, 0
    copies = 4.0 * base.adapted_layers.parameters * (4 + types + 1)
    if _surely_less(base.model.config, shape.answers * largest.tokens) + copies > free / 2:
        recompute, needed = _rehearsed(base, types, shape, training, free)
    short, again = processes().summed(np.array([float(needed > free), float(recompute)])).tolist()
    if short:
        raise _too_large(needed, free, shape.answers, largest, base.device)
    return bool(again)


def fits_together(
    base: SharedBase, types: int, largest: LargestAnswer, training: DPOTraining, free: float | None = None
) -> bool:
    """Whether a step of all `types` adapters fits, their answers in one forward pass of at most
    `training.micro_tokens` (one answer at least); the rest as of `choose_checkpointing`.  One that cannot be rehearsed
    fits where it surely does."""
    free = free_memory(base.device) if free is None else free
    shape = _largest_step(largest, training, types)
    copies = 4.0 * base.adapted_layers.parameters * 6 * types
    fits = _surely_less(base.model.config, shape.answers * largest.tokens) + copies <= free / 2
    if not fits:
        needed = _bytes_of_a_step(
            base, types, shape, training, recompute=bool(training.gradient_checkpointing), together=True
        )
        fits = needed is not None and needed <= free
    return not processes().summed(np.array([float(not fits)])).any()


def _largest_step(largest: LargestAnswer, training: DPOTraining, adapters: int) -> StepShape:
    """As many of the largest answer as the largest piece of a step has tokens, one at least."""
    answers = -(-min(training.micro_tokens, adapters * training.batch * largest.tokens) // largest.tokens)
    return StepShape(largest.prompt, largest.response, answers, 1, largest.responses, largest.alone)


def _rehearsed(
    base: SharedBase, types: int, shape: StepShape, training: DPOTraining, free: float
) -> tuple[bool, int]:  # fmt: skip
    """(whether activations must be computed again, bytes of a step beside the base then)."""
    needed = 0
    for recompute in (False, True):
        found = _bytes_of_a_step(base, types, shape, training, recompute=recompute)
        if found is None:
            return True, 0
        needed = found
        if needed <= free:
            return recompute, needed
    return True, needed


def _bytes_of_a_step(
    base: SharedBase, types: int, shape: StepShape, training: DPOTraining, *, recompute: bool, together: bool = False
) -> int | None:
    """Beside the base, which is there already, its adapters not always; None where it cannot be rehearsed."""
    if base.quantised:
        return None
    config, dtype = base.model.config.get_text_config(), next(base.model.parameters()).dtype
    try:
        seen = rehearse(
            config, dtype, shape, lora=base.lora, types=types, scoring=base.scoring, training=training,
            recompute=recompute, together=together,
        )  # fmt: skip
    except Exception:  # code of any model, run without values: what it raises is not known beforehand
        return None
    gathered = 2 * seen.layers[1] if is_sharded(base.model) else 0
    return seen.training_peak - seen.weights + gathered


def _too_large(needed: int, free: float, answers: int, largest: LargestAnswer, device: torch.device) -> InputError:
    """Said by every process: by those whose device has the room, of another's."""
    field, fix = "training.micro_tokens", "lower it (`pluralign llm plan` says what a step takes)"
    step = f"{answers} answers of {largest.tokens} tokens"
    if answers == 1:
        # A pass holds a whole answer, however few tokens it is allowed.
        field, fix = "data.train", "leave out its largest answers, or cut them (data.window, data.too_long=truncate)"
        step = f"one answer of {largest.tokens} tokens ({largest.responses} responses)"
    if device.type == "cuda":
        fix += ", or set four_bit=true" + (", or sharding=full" if processes().world > 1 else "")
    if needed <= free:
        return InputError("a training step does not fit a device", field=field, fix=fix)
    return InputError(
        f"a training step of {step} takes {needed / GIB:.3g} GiB beside the base, with activations recomputed, and "
        f"{free / GIB:.3g} are free", field=field, fix=fix,
    )  # fmt: skip


def _surely_less(config: Any, tokens: int) -> float:
    """Bytes that activations of a step of so many tokens stay below: each kept tensor of a layer, adapters' included,
    in float32, and the logits twice; infinite where the configuration does not say."""
    text = config.get_text_config()

    def most(*names: str, otherwise: float) -> float:
        found = [getattr(text, name, None) for name in names]
        numbers = [own for value in found for own in (value if isinstance(value, list | tuple) else [value])]
        return max((float(own) for own in numbers if isinstance(own, int | float) and own), default=otherwise)

    hidden = most("hidden_size", otherwise=math.inf)
    wide = most("intermediate_size", "ffn_dim", "n_inner", otherwise=4 * hidden)
    experts = most("num_experts_per_tok", otherwise=1.0)
    heads = most("num_attention_heads", otherwise=hidden)
    a_layer = 64 * hidden + 12 * wide * experts + 4 * heads * tokens
    layers, vocabulary = (most(name, otherwise=math.inf) for name in ("num_hidden_layers", "vocab_size"))
    return 4.0 * tokens * (layers * a_layer + 2 * vocabulary)
