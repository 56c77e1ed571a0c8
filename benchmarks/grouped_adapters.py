"""Whether rows of K adapters belong into one forward pass: grouped low-rank products against one after the other.

    python benchmarks/grouped_adapters.py [--size tiny] [--types 8] [--pairs 1,2,4,8,16] [--repeats 7]

A step of each adapter on as many pairs (20 + 40 + 40 tokens, its own rows), its gradient and AdamW's step: through PEFT
one by one, and all of them stacked, the base's products over all rows, the adapters' as batched products of (K, r, d)
tensors.  Processor seconds of one thread, medians; losses are compared first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np
import torch
from peft.tuners.lora import Linear

from llm.base.lora_settings import LoraSettings
from llm.base.sequences import SequenceBatch, collate_sequences
from llm.base.shared_base import SharedBase
from llm.base.small_mistral import SIZES, new_mistral
from llm.base.tokens import TokenStore
from llm.training.losses import margins, weighted_dpo_loss
from sim.streams import Stream

PROMPT, RESPONSE = 20, 40


class Grouped(torch.autograd.Function):
    """y_k = x_k W' + s x_k A_k' B_k' of x (K, n, d), with the frozen W (o, d), A (K, r, d) and B (K, o, r)."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, a: Any, b: Any, scale: float) -> torch.Tensor:
        low = torch.bmm(x, a.transpose(1, 2))
        out = torch.mm(x.flatten(0, 1), weight.T).view(*x.shape[:2], -1)
        out.baddbmm_(low, b.transpose(1, 2), alpha=scale)
        ctx.save_for_backward(x, weight, a, b, low)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        x, weight, a, b, low = ctx.saved_tensors
        g = gradients[0].contiguous()
        of_low = torch.bmm(g, b) * ctx.scale
        of_x = torch.mm(g.flatten(0, 1), weight).view_as(x).baddbmm_(of_low, a)
        return of_x, None, torch.bmm(of_low.transpose(1, 2), x), torch.bmm(g.transpose(1, 2), low) * ctx.scale, None


def group(base: SharedBase, names: list[str]) -> None:
    """From now on every adapted layer takes its rows as len(names) equal blocks, one an adapter."""
    for layer in [m for m in base.peft.modules() if isinstance(m, Linear)]:

        def forward(x: torch.Tensor, layer: Any = layer) -> torch.Tensor:
            a, b = (torch.stack([own[name].weight for name in names]) for own in (layer.lora_A, layer.lora_B))
            blocks = x.reshape(len(names), -1, x.shape[-1])
            out = Grouped.apply(blocks, layer.base_layer.weight, a, b, layer.scaling[names[0]])
            return out.reshape(*x.shape[:-1], -1)

        layer.forward = forward


def ungroup(base: SharedBase) -> None:
    for layer in base.peft.modules():
        if isinstance(layer, Linear):
            vars(layer).pop("forward", None)


def batch_of(base: SharedBase, pairs: int, K: int) -> SequenceBatch:
    """K blocks of `pairs` pairs, each its own rows, both responses behind their prompt."""
    rng, n = np.random.default_rng(0), pairs * K
    contexts = np.repeat(base.store.add_all(rng.integers(3, 500, (n, PROMPT))), 2)
    responses = base.store.add_all(rng.integers(3, 500, (2 * n, RESPONSE)))
    return collate_sequences(base.store, contexts, responses, list(np.arange(2 * n).reshape(n, 2)), base.pad)


def block(batch: SequenceBatch, k: int, K: int) -> SequenceBatch:
    from dataclasses import replace

    from llm.base.shared_prompts import Placement

    rows, sequences = batch.n_rows // K, len(batch.input_ids) // K
    own, at = batch.row // rows == k, slice(k * sequences, (k + 1) * sequences)
    assert batch.placement is not None
    return replace(
        batch, input_ids=batch.input_ids[at], row=batch.row[own] - k * rows, before=batch.before[own],
        wanted=batch.wanted[own], sequence=batch.sequence[own] - k * sequences, n_rows=rows,
        placement=Placement(batch.placement.positions[at], batch.placement.part[at]),
    )  # fmt: skip


def loss_of(base: SharedBase, batch: SequenceBatch, K: int) -> torch.Tensor:
    """Sum over adapters of the mean loss of each one's pairs."""
    scores = base.scorer(batch).view(-1, 2)
    zero = torch.zeros(len(scores))
    margin = margins(scores[:, 0], scores[:, 1], zero, zero, 0.1)
    return weighted_dpo_loss(margin, torch.ones(len(margin)), len(margin) / K)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--types", type=int, default=8)
    parser.add_argument("--pairs", default="1,2,4,8,16")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    K, names = options.types, [f"g{k}" for k in range(options.types)]
    base = SharedBase(new_mistral(SIZES[options.size], 512, Stream(0)), TokenStore(), pad=0, end=2, lora=LoraSettings())
    for k, name in enumerate(names):
        base.add_adapter(name, Stream(k))
    parameters = {name: list(base.parameters_of(name).values()) for name in names}
    every = [value for own in parameters.values() for value in own]
    alone = {name: torch.optim.AdamW(own, lr=1e-4) for name, own in parameters.items()}
    together = torch.optim.AdamW(every, lr=1e-4, fused=True)

    def one_by_one(batches: list[SequenceBatch]) -> float:
        total = 0.0
        for name, own in zip(names, batches, strict=True):
            with base.using(name):
                for value in parameters[name]:
                    value.requires_grad_(True)
                alone[name].zero_grad()
                loss = loss_of(base, own, 1)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters[name], 1.0)
                alone[name].step()
                total += float(loss.detach())
        return total

    def grouped(batch: SequenceBatch) -> float:
        group(base, names)
        with base.using(names[0]):
            for value in every:
                value.requires_grad_(True)
            together.zero_grad()
            loss = loss_of(base, batch, K)
            loss.backward()
            for own in parameters.values():
                torch.nn.utils.clip_grad_norm_(own, 1.0)
            together.step()
        ungroup(base)
        return float(loss.detach())

    for pairs in map(int, options.pairs.split(",")):
        batch = batch_of(base, pairs, K)
        blocks = [block(batch, k, K) for k in range(K)]
        before = [value.detach().clone() for value in every]
        losses = []
        for run, given in ((one_by_one, blocks), (grouped, batch)):
            with torch.no_grad():
                for value, old in zip(every, before, strict=True):
                    value.copy_(old)
            losses.append(run(given))
        assert abs(losses[0] - losses[1]) < 1e-4 * K, losses
        seconds: list[list[float]] = [[], []]
        for _ in range(options.repeats):
            for found, run, given in zip(seconds, (one_by_one, grouped), (blocks, batch), strict=True):
                began = time.process_time()
                run(given)
                found.append(time.process_time() - began)
        a, b = (statistics.median(found) for found in seconds)
        print(json.dumps({
            "size": options.size, "types": K, "pairs": pairs, "tokens_an_adapter": pairs * (PROMPT + 2 * RESPONSE),
            "one_by_one_s": round(a, 4), "grouped_s": round(b, 4), "ratio": round(a / b, 2),
        }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
