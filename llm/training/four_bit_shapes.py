"""Linear layers of 4-bit weights as shapes: what a QLoRA base takes, rehearsed where no such kernel is.

NF4 in blocks of 64 weights, the blocks' scales in 8 bits and theirs in float32 a block of 256 (double quantisation):
4 + 8 / 64 + 32 / (64 * 256) bits a weight.                                            [QLoRA, arXiv 2305.14314, sec. 3]
"""

from __future__ import annotations

from typing import Any

import torch

from llm.base.linear_layers import linear_layers

_BITS = 4 + 8 / 64 + 32 / (64 * 256)


class FourBitShape(torch.nn.Linear):
    """A frozen linear layer whose weights lie packed and are brought to `dtype` for each product; tensors without
    values only."""

    def __init__(self, plain: torch.nn.Linear, dtype: torch.dtype) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features, self.wide = plain.in_features, plain.out_features, dtype
        packed = torch.empty(int(plain.weight.numel() * _BITS / 8) + 1, dtype=torch.uint8)
        self.weight = torch.nn.Parameter(packed, requires_grad=False)
        self.bias = plain.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = _Product.apply(x, self)
        return out


class _Product(torch.autograd.Function):
    """x W', with a W that lives for the product alone, forward and back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, layer: FourBitShape) -> torch.Tensor:
        ctx.layer = layer
        return x @ _widened(layer).T

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] @ _widened(ctx.layer), None


def _widened(layer: FourBitShape) -> torch.Tensor:
    return torch.empty(layer.out_features, layer.in_features, dtype=layer.wide)


def pack_linear_layers(model: Any, dtype: torch.dtype) -> None:
    """Every linear layer of the decoder as 4-bit shapes, in place; head and embeddings stay as they are."""
    for path, plain in linear_layers(model).items():
        if isinstance(plain, torch.nn.Linear):
            model.set_submodule(path, FourBitShape(plain, dtype))
