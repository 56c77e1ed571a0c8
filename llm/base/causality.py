"""Whether a model is a causal one with numbers in it, seen on eight tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from llm.base.dropout import probe_tokens
from llm.base.float32_arithmetic import float32_arithmetic
from sim.errors import InputError


def require_causal(model: Any, place: Path) -> None:
    """InputError where a later token moves the logits of earlier positions, or where logits are no numbers.

    An encoder (BERT) opened as a causal model reads the response that it is asked about: its scores are no
    log-probabilities, and nothing else would say so.  Two rows that differ in their last token, in one pass.
    """
    first = probe_tokens(model)
    other = first.clone()
    other[0, -1] = (other[0, -1] + 1) % int(model.config.get_text_config().vocab_size)
    with torch.no_grad(), float32_arithmetic(model):
        logits = model(input_ids=torch.cat([first, other]), use_cache=False).logits[:, :-1].float()
    finite = logits[torch.isfinite(logits)]
    if bool(torch.isnan(logits).any()) or not finite.numel():
        raise InputError("its logits are not numbers", file=place, fix="look at its weights, or get them again")
    # Products of a 4-bit base are rounded. Some models give tokens nobody may write a logit of minus infinity.
    close = 2e-2 if bool(getattr(model, "is_loaded_in_4bit", False)) else 1e-4
    if not torch.allclose(logits[0], logits[1], rtol=0.0, atol=close * float(finite.abs().max())):
        raise InputError(
            "is not causal: what it says of a token depends on later ones, as in an encoder", file=place,
            fix="give a causal language model (a decoder)",
        )  # fmt: skip
