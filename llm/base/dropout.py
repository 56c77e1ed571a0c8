"""Training mode without randomness: dropout off wherever a model hides it."""

from __future__ import annotations

import re
from typing import Any

import torch

from sim.errors import InputError

# Names of numbers that make a forward pass random in training mode: attention_dropout, resid_pdrop, layerdrop,
# drop_path_rate, router_jitter_noise (a mixture of experts multiplies its input with noise).
_RANDOM = re.compile(r"drop|jitter")


def silence_dropout(model: Any) -> None:
    """Set to zero every dropout of a model: modules, and numbers of modules and configurations that functions read.

    OPT calls nn.functional.dropout with a number it keeps, Falcon with one of its configuration.
    """
    holders: dict[int, Any] = {}
    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
        holders[id(module)] = module
        config = getattr(module, "config", None)
        if config is not None and hasattr(config, "to_dict"):
            holders[id(config)] = config
            text = config.get_text_config()
            holders[id(text)] = text
    for holder in holders.values():
        for name, value in vars(holder).items():
            if isinstance(value, float) and _RANDOM.search(name):
                setattr(holder, name, 0.0)


def require_no_randomness(model: Any) -> None:
    """InputError unless training mode computes what evaluation computes, whatever the generator says.

    Two passes in training mode with different random numbers, and one in evaluation mode, of eight tokens. The model
    is left in the mode it came in.
    """
    training = model.training
    device = next(model.parameters()).device
    probe = probe_tokens(model)
    outputs = []
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for seed, mode in ((0, True), (1, True), (2, False)):
            torch.manual_seed(seed)
            model.train(mode)
            outputs.append(model(input_ids=probe, use_cache=False).logits.float())
    model.train(training)
    # Rounding may differ between kernels; dropout of one per cent changes far more than this.
    close = 1e-4 if next(model.parameters()).dtype == torch.float32 else 2e-2
    scale = float(outputs[2].abs().max()) or 1.0
    if any(float((output - outputs[2]).abs().max()) > close * scale for output in outputs[:2]):
        raise InputError(
            "in training mode this model computes something else than in evaluation (dropout that cannot be switched "
            "off?)", field="training.gradient_checkpointing", fix="train without gradient checkpointing",
        )  # fmt: skip


def probe_tokens(model: Any) -> torch.Tensor:
    """A row of eight token numbers that every vocabulary of at least eight has; (1, 8) on the model's device."""
    device = next(model.parameters()).device
    return torch.arange(3, 11, device=device)[None] % int(model.config.get_text_config().vocab_size)
