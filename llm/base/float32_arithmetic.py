"""A model in a shorter format that computes in float32 for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

SHORT = (torch.bfloat16, torch.float16)


@contextmanager
def float32_arithmetic(model: torch.nn.Module) -> Iterator[None]:
    """While this lasts, the model is the function of its weights that float32 computes: weights as they are stored,
    activations and sums in float32.

    Each module's own weights are brought to float32 when it is called and given up when it returns, so beside the
    activations the memory is that of one module more, not of a second model.  Of a float32 model nothing changes.
    """
    held: list[tuple[torch.nn.Module, str, torch.nn.Parameter]] = []
    hooks = []

    def widen(module: torch.nn.Module, inputs: Any) -> None:
        for name, value in list(module._parameters.items()):
            if value is not None and value.dtype in SHORT:
                held.append((module, name, value))
                # Not a Parameter: nothing is trained here, and the module's own object comes back as it was.
                module._parameters[name] = value.detach().float()

    def restore(module: torch.nn.Module | None) -> None:
        while held and (module is None or held[-1][0] is module):
            owner, name, value = held.pop()
            owner._parameters[name] = value

    for module in model.modules():
        if any(value is not None and value.dtype in SHORT for value in module._parameters.values()):
            hooks.append(module.register_forward_pre_hook(widen))
            hooks.append(module.register_forward_hook(lambda module, inputs, output: restore(module)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        restore(None)
