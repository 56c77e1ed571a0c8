"""Where a model runs, and in which numbers."""

from __future__ import annotations

from typing import Any

from sim.errors import InputError


def pick_device(device: str) -> str:
    """auto is cuda where there is one; a CUDA device that is not there is refused."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("this machine has no CUDA device", field="device", fix="use --device cpu")
    if device != "cpu" and not device.startswith("cuda"):
        raise InputError(f"expected auto, cpu or cuda, got '{device}'", field="device")
    return device


def pick_dtype(dtype: str, device: str) -> Any:
    import torch

    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
