"""Sampling on tensors that have shapes and no values: how much memory a batch of responses takes."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from llm.base.generation import InverseDistribution, Sampling
from llm.base.output_head import float32_head
from llm.base.shared_base import SharedBase
from llm.training.live_bytes import LiveBytes

# Where models return and take what they keep.
_KEPT = ("past_key_values", "cache_params", "state", "mems")


def sampling_peak(base: SharedBase, name: str, prompt: int, sampling: Sampling, bytes_: LiveBytes) -> int:
    """Bytes at the peak of `sample_responses` for a batch of prompts of so many tokens, everything alive counted.

    That of two passes: the one over the prompts, which brings the activations of all their tokens and every layer's
    keys and values, and the one of the last token, when these are longest: a layer's are copied as they grow, and those
    of grouped heads are repeated.  transformers' `generate` reads data between its steps, so that what it does in one
    is done here.  A model that keeps nothing reads everything again for each token.
    """
    last = prompt + sampling.max_new_tokens - 1
    peaks = []
    with base.using(name) as model, torch.inference_mode(), float32_head(model.get_output_embeddings()):
        bytes_.restart()
        cache = _step(model, sampling, prompt)
        peaks.append(bytes_.peak)
        if last > prompt:
            del cache
            bytes_.restart()
            cache = _step(model, sampling, last)
            if cache is not None:
                bytes_.restart()
                _step(model, sampling, last + 1, cache)
            peaks.append(bytes_.peak)
    return max(peaks)


def _step(
    model: Any, sampling: Sampling, tokens: int, cache: tuple[str, Any] | None = None
) -> tuple[str, Any] | None:  # fmt: skip
    """One pass over `tokens`, of which a cache has all but the last, and one draw; what it keeps for the next pass, and
    its name."""
    ids = torch.zeros((sampling.batch, tokens), dtype=torch.int64)
    takes = inspect.signature(model.forward).parameters
    # As `generate` does: of the logits of a prompt the last are used, where a model can make them alone.
    given: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    if cache is not None:
        given.update([cache], next_sequence_length=1)
    inputs = model.prepare_inputs_for_generation(
        ids, attention_mask=torch.ones_like(ids), use_cache=True, is_first_iteration=cache is None, **given
    )
    out = model(**inputs, return_dict=True)
    scores = out.logits[:, -1].to(copy=True, dtype=torch.float32)
    draw = InverseDistribution(torch.zeros((sampling.batch, 1), dtype=torch.float64), tokens, sampling.temperature)
    torch.argmax(draw(ids, scores), dim=-1)
    return next(((kept, out[kept]) for kept in _KEPT if out.get(kept) is not None), None)
