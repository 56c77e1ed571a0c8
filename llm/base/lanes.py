"""Rows of several adapters in one forward pass: the base's products once, over all rows, and each adapter's own.

    out_b = x_b W' + s_b x_b A_b' B_b'         x_b the rows of lane b; W the base's; A_b, B_b, s_b of the lane's adapter

A lane without an adapter is the reference.  Of plain LoRA and rsLoRA: in PEFT's layers each forward is replaced while
a pass lasts, and computes the sums that PEFT computes with one adapter after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from peft.tuners.lora import LoraLayer

from llm.base.dropout import probe_tokens
from llm.base.float32_arithmetic import float32_arithmetic
from llm.base.sequences import ResponseScorer, collate
from llm.base.tokens import TokenStore


@dataclass(frozen=True)
class Lane:
    """The next `sequences` sequences of a batch, through adapter `name` or none.

    drop: what a training step does to the adapter's inputs; it is shown the first `width` columns of the sequences,
    all that they hold but the padding that wider ones of other lanes bring.
    """

    name: str | None
    sequences: int
    width: int = 0
    drop: Callable[[torch.Tensor], torch.Tensor] | None = None


class Lanes:
    """The adapted layers of a model."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._layers: list[Any] = [module for module in model.modules() if isinstance(module, LoraLayer)]

    def take(self, name: str) -> bool:
        """Whether the adapter adds a plain low-rank product: DoRA's does not, nor one with a bias."""
        return not any(name in layer.lora_variant or layer.lora_bias.get(name) for layer in self._layers)

    @contextmanager
    def of(self, lanes: Sequence[Lane]) -> Iterator[None]:
        """While this lasts, a batch's sequences are these lanes', in their order; a backward pass is a part of it."""
        for layer in self._layers:
            # Of this one module: what is called is its forward, and hooks stay.
            layer.forward = partial(self._forward, layer, lanes)
        try:
            yield
        finally:
            for layer in self._layers:
                vars(layer).pop("forward", None)

    def _forward(self, layer: Any, lanes: Sequence[Lane], x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        result: torch.Tensor = layer.base_layer(x, *args, **kwargs)
        # Some layers see (sequences, tokens, width), others the same rows without the first two apart.
        flat = x.reshape(-1, x.shape[-1])
        each, rest = divmod(len(flat), sum(lane.sequences for lane in lanes))
        if rest:
            raise ValueError(f"{len(flat)} rows are no whole number of tokens a sequence")
        if any(lane.drop for lane in lanes):
            flat = _dropped(flat, lanes, each)
        rows: list[tuple[int, bool]] = []
        scales: list[float] = []
        weights: list[torch.Tensor] = []
        for lane in lanes:
            own = self._weights(layer, lane.name)
            rows.append((lane.sequences * each, own is not None))
            if own is not None:
                scales.append(own[2])
                weights += own[:2]
        out: torch.Tensor = _LowRank.apply(result.reshape(-1, result.shape[-1]), flat, rows, scales, *weights)
        return out.view_as(result)

    def _weights(self, layer: Any, name: str | None) -> tuple[torch.Tensor, torch.Tensor, float] | None:
        """A (r, in), B (out, r) and the scale of their product; None where the adapter has no part in this layer."""
        if name is None or name not in layer.lora_A:
            return None
        return layer.lora_A[name].weight, layer.lora_B[name].weight, float(layer.scaling[name])


def _dropped(x: torch.Tensor, lanes: Sequence[Lane], each: int) -> torch.Tensor:
    parts = []
    for lane, own in zip(lanes, x.split([lane.sequences * each for lane in lanes]), strict=True):
        if lane.drop is None:
            parts.append(own)
            continue
        columns = own.view(lane.sequences, each, -1)
        seen = lane.drop(columns[:, : lane.width].contiguous())
        parts.append(torch.cat([seen, columns[:, lane.width :]], dim=1).view_as(own))
    return torch.cat(parts)


class _LowRank(torch.autograd.Function):
    """result + s_b x_b A_b' B_b' in the rows of each lane b that has an adapter; A, B and x in the widest of their
    formats, as PEFT has them."""

    @staticmethod
    def forward(
        ctx: Any, result: torch.Tensor, x: torch.Tensor, rows: Sequence[tuple[int, bool]], scales: Sequence[float],
        *weights: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        out, low = torch.empty_like(result), []
        for own, lane in _adapted(rows, scales, weights):
            if lane is None:
                out[own] = result[own]
                continue
            a, b, scale = lane
            low.append(x[own].to(a.dtype) @ a.T)
            if result.dtype == a.dtype:
                torch.addmm(result[own], low[-1], b.T, alpha=scale, out=out[own])
            else:
                out[own] = torch.addmm(result[own].to(a.dtype), low[-1], b.T, alpha=scale)
        ctx.save_for_backward(x, *low, *weights)
        ctx.rows, ctx.scales = rows, scales
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        (g,), n = gradients, len(ctx.scales)
        # Asked for once: where activations are computed again they are there once.
        x, *saved = ctx.saved_tensors
        low, weights = saved[:n], saved[n:]
        of_x = torch.empty_like(x) if ctx.needs_input_grad[1] else None
        of_weights: list[torch.Tensor] = []
        for own, lane in _adapted(ctx.rows, ctx.scales, weights):
            if lane is None:
                if of_x is not None:
                    of_x[own] = 0.0
                continue
            a, b, scale = lane
            wide = g[own].to(a.dtype)
            of_low = (wide @ b).mul_(scale)
            of_b = (wide.T @ low[len(of_weights) // 2]).mul_(scale)
            if of_x is not None and x.dtype == a.dtype:
                torch.mm(of_low, a, out=of_x[own])
            elif of_x is not None:
                of_x[own] = of_low @ a
            of_weights += [of_low.T @ x[own].to(a.dtype), of_b]
        return g, of_x, None, None, *of_weights


def _adapted(
    rows: Sequence[tuple[int, bool]], scales: Sequence[float], weights: Sequence[torch.Tensor]
) -> Iterator[tuple[slice, tuple[torch.Tensor, torch.Tensor, float] | None]]:
    """Of each lane its rows, and its adapter's A, B and scale."""
    begin, number = 0, 0
    for n, adapted in rows:
        yield (
            slice(begin, begin + n),
            (weights[2 * number], weights[2 * number + 1], scales[number]) if adapted else None,
        )
        begin, number = begin + n, number + adapted


class _MadeUp(Lanes):
    """Lanes of adapters that are no model's: each adds something of its own to every output."""

    def _weights(self, layer: Any, name: str | None) -> tuple[torch.Tensor, torch.Tensor, float] | None:
        if name is None:
            return None
        a, b = (next(iter(own.values())).weight for own in (layer.lora_A, layer.lora_B))
        return torch.ones_like(a) / a.numel(), torch.ones_like(b), float(name)


def lanes_hold(model: Any, scorer: ResponseScorer) -> bool:
    """Whether responses of two lanes score as each alone, in float32, on a probe: not where a layer sees its rows in
    another order than that of the sequences, or only some of them."""
    tokens, store = probe_tokens(model)[0].cpu().numpy(), TokenStore()
    contexts, responses = store.add_all([tokens[:3], tokens[:2]]), store.add_all([tokens[3:6], tokens[4:]])
    device = next(model.parameters()).device
    lanes = [Lane("1", 1), Lane("-2", 1)]

    def scored(own: slice) -> torch.Tensor:
        with made_up.of(lanes[own]):
            return scorer(collate(store, contexts[own], responses[own], 0, device))

    made_up = _MadeUp(model)
    try:
        with torch.no_grad(), float32_arithmetic(model):
            found = scored(slice(0, 2))
            alone = torch.cat([scored(slice(j, j + 1)) for j in range(2)])
    except (TypeError, ValueError, RuntimeError, IndexError):
        return False
    return bool(np.allclose(found.cpu().numpy(), alone.cpu().numpy(), rtol=1e-4, atol=1e-4))
