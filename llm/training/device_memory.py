"""How much memory a device has, and whether a training step fits into it without recomputing activations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from llm.base.processes import processes
from llm.base.shared_base import SharedBase
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
        return usable(float(torch.cuda.mem_get_info(device)[0]))
    return free_of_machine()


def free_of_machine(root: Path = Path("/")) -> float:
    """Available bytes by Linux's own account; elsewhere the physical memory."""
    found = []
    try:
        for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(float(line.split()[1]) * 1024)
    except OSError:
        found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    try:
        group = root / "sys/fs/cgroup"
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            found.append(float(limit) - float((group / "memory.current").read_text(encoding="ascii")))
    except OSError:
        pass
    return max(0.0, min(found)) if found else float("inf")


def choose_checkpointing(
    base: SharedBase, types: int, longest: tuple[int, int], training: DPOTraining, free: float | None = None
) -> bool:
    """Whether activations are recomputed in the backward pass: where a step would not fit without it.

    longest: tokens of the prompt and of a response of the largest answer.  free: bytes, as of `free_memory`.
    The same in all processes.  InputError where a step does not fit with it either.
    """
    if training.gradient_checkpointing is not None:
        return training.gradient_checkpointing
    free = free_memory(base.device) if free is None else free
    prompt, response = longest
    each = prompt + 2 * response if base.scorer.shares_up_to(prompt + 2 * response) else 2 * (prompt + response)
    pairs = max(1, min(training.batch, training.micro_tokens // each))
    needed = 0
    # Shapes of a quantised base are not its configuration's: the bound below is all that is known of it.
    if _surely_less(base.model.config, pairs * each) > free / 2 and not base.quantised:
        shape = StepShape(prompt, response, pairs, 1)
        dtype = next(base.model.parameters()).dtype
        for recompute in (False, True):
            seen = rehearse(
                base.model.config.get_text_config(), dtype, shape, lora=base.lora, types=types, scoring=base.scoring,
                training=training, recompute=recompute,
            )  # fmt: skip
            # The base is there already, its adapters are not always.
            needed = seen.training_peak - seen.weights
            if needed <= free:
                break
    elif base.quantised and _surely_less(base.model.config, pairs * each) > free / 2:
        recompute = True
    else:
        recompute = False
    if bool(processes().summed(np.array([float(needed > free)]))[0]):
        raise InputError(
            f"a training step of {pairs} answers of {each} tokens takes {needed / GIB:.1f} GiB beside the base, with "
            f"activations recomputed, and {free / GIB:.1f} are free", field="training.micro_tokens",
            fix="lower it (`pluralign llm plan` says what a step takes), or set four_bit=true or sharding=full",
        )  # fmt: skip
    return bool(processes().summed(np.array([float(recompute)]))[0])


def _surely_less(config: Any, tokens: int) -> float:
    """Bytes that activations of a step of so many tokens stay below: each kept tensor of a layer, adapters' included,
    in float32, and the logits twice."""
    text = config.get_text_config()
    hidden = int(text.hidden_size)
    wide = max(
        (int(value) for name in ("intermediate_size", "ffn_dim", "n_inner") if (value := getattr(text, name, None))),
        default=4 * hidden,
    )
    experts = int(getattr(text, "num_experts_per_tok", None) or 1)
    heads = int(getattr(text, "num_attention_heads", 1))
    a_layer = 64 * hidden + 12 * wide * experts + 4 * heads * tokens
    return 4.0 * tokens * (int(text.num_hidden_layers) * a_layer + 2 * int(text.vocab_size))
