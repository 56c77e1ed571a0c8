"""From hidden states to logits: the head of a model, and what some architectures do to logits after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeAlias

import torch

from llm.base.device import exact_short_products

# Elements of the head's weight that are held in float32 at once (256 MiB), where the model is in a shorter format.
WEIGHT_ELEMENTS = 1 << 26

Transformation: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


def logit_transformations(config: Any) -> list[Transformation]:
    """What the configuration says is done to logits after the head, as candidates: a probe decides among them.

        x -> c tanh(x / c)         final_logit_softcapping = c (Gemma 2, 3n, 4, NanoChat)
        x -> s x                   logit_scale (Cohere), lm_head_multiplier (Falcon-H1)
        x -> x / s or s x          logits_scaling (Granite divides, HyperCLOVA X multiplies)

    The last candidate leaves logits as they are: some configurations carry a number that their model does not use.
    """
    text = config.get_text_config()
    candidates: list[Transformation] = []
    if cap := getattr(text, "final_logit_softcapping", None):
        candidates.append(lambda logits: cap * torch.tanh(logits / cap))
    for name in ("logit_scale", "lm_head_multiplier"):
        if scale := getattr(text, name, None):
            candidates.append(_times(float(scale)))
    if scale := getattr(text, "logits_scaling", None):
        candidates += [lambda logits: logits / scale, _times(float(scale))]
    return [*candidates, lambda logits: logits]


def _times(scale: float) -> Transformation:
    return lambda logits: logits * scale


def float32_logits(head: Any, hidden: torch.Tensor) -> torch.Tensor:
    """The head's output in float32; (n, vocabulary).

    A float32 head is applied as it is.  The weight of a shorter one is brought to float32 in pieces: a logit of 20
    in bfloat16 is rounded to 1/16, the errors of a response's tokens add up, and the log-ratios of EM and DPO are
    differences of such sums.  The products are then exact and their sums are float32's.
    """
    weight = getattr(head, "weight", None)
    plain = isinstance(head, torch.nn.Linear) and weight is not None and weight.dtype in (torch.bfloat16, torch.float16)
    if not plain:
        return head(hidden).float()
    logits: torch.Tensor = _FrozenProjection.apply(hidden, weight)
    return logits if head.bias is None else logits + head.bias.float()


class _FrozenProjection(torch.autograd.Function):
    """hidden W' in float32, without a float32 copy of W: autograd would keep one for the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(weight)
        ctx.dtype = hidden.dtype
        wide = hidden.float()
        out = torch.empty(*hidden.shape[:-1], weight.shape[0], dtype=torch.float32, device=hidden.device)
        with _products(hidden.dtype, hidden.device):
            for part in _pieces(weight):
                out[..., part] = wide @ weight[part].float().T
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,), (weight,) = gradients, ctx.saved_tensors
        out = torch.zeros(*gradient.shape[:-1], weight.shape[1], dtype=torch.float32, device=gradient.device)
        # TF32 rounds the gradient of a shorter format, to more bits than those it is returned in.
        with _products(ctx.dtype, gradient.device):
            for part in _pieces(weight):
                out += gradient[..., part] @ weight[part].float()
        return out.to(ctx.dtype), None


def _products(dtype: torch.dtype, device: Any) -> AbstractContextManager[None]:
    """TF32 products where it holds hidden states of this dtype exactly, IEEE's where they are float32 numbers."""
    return nullcontext() if dtype == torch.float32 else exact_short_products(device)


def _pieces(weight: torch.Tensor) -> Iterator[slice]:
    step = max(1, WEIGHT_ELEMENTS // weight.shape[1])
    for lo in range(0, weight.shape[0], step):
        yield slice(lo, min(lo + step, weight.shape[0]))


@contextmanager
def float32_head(head: Any) -> Iterator[None]:
    """While this lasts, the model's own forward pass has its head's output in float32, as `float32_logits` has it."""
    if head is None or not isinstance(head, torch.nn.Linear) or head.weight.dtype == torch.float32:
        yield
        return
    # A call of the head is replaced, not repeated: what it computed in the shorter format is thrown away.
    hook = head.register_forward_hook(lambda module, inputs, output: float32_logits(module, inputs[0]))
    try:
        yield
    finally:
        hook.remove()
