"""A base whose linear layers lie in 4 bits: QLoRA's, by bitsandbytes, on CUDA devices alone."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from sim.errors import InputError


def require_four_bit(device: str) -> None:
    """InputError where there is no CUDA device to hold such a base, or no bitsandbytes; before anything is loaded."""
    if not device.startswith("cuda"):
        raise InputError(
            f"4-bit bases run on CUDA devices alone (got {device})", field="four_bit",
            fix="leave it out; on a CPU training.gradient_checkpointing=true is what saves memory",
        )  # fmt: skip
    if find_spec("bitsandbytes") is None:
        raise InputError("needs bitsandbytes", field="four_bit", fix="pip install bitsandbytes")


def four_bit_options(device: str, dtype: torch.dtype) -> dict[str, Any]:
    """For `from_pretrained`: NF4 with double quantisation, products in `dtype`.    [QLoRA, arXiv 2305.14314, sec. 3]"""
    from transformers import BitsAndBytesConfig

    packed = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    return {"quantization_config": packed, "device_map": {"": device}}
