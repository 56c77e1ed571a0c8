"""Where a model runs, and in which numbers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm.base.processes import processes
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


def own_device(device: str) -> str:
    """This process's device among those of its machine, where several work together."""
    import torch

    ours = processes()
    if ours.world == 1 or not device.startswith("cuda"):
        return device
    if device != "cuda":
        raise InputError(f"one device, {device}, for {ours.world} processes", field="device", fix="give cuda")
    if ours.local_rank >= torch.cuda.device_count():
        raise InputError(
            f"{ours.local_world} processes on a machine with {torch.cuda.device_count()} CUDA devices", field="device",
            fix="start one process a device",
        )  # fmt: skip
    torch.cuda.set_device(ours.local_rank)
    return f"cuda:{ours.local_rank}"


def pick_dtype(dtype: str, device: str) -> Any:
    import torch

    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]


def choose_arithmetic(device: str) -> None:
    """On a CUDA device, set how products are rounded and sums are ordered, whatever was set before; nothing on a CPU.

    Float32 products are IEEE's (torch.set_float32_matmul_precision("highest")), not TF32's with 10 bits of mantissa:
    log-ratios are differences of sums over many tokens.  bfloat16 products are summed in float32 throughout.
    Sums come in a fixed order where a kernel has one (deterministic algorithms, warn only; a fixed workspace for
    cuBLAS, where the variable is not set already): the same batch on the same device gives the same bits. Some
    kernels have none, for example the backward pass of memory-efficient attention: there last bits may differ, and a
    warning for each such kernel, about which nobody can do anything, is not shown.
    """
    import torch

    if not device.startswith("cuda"):
        return
    # cuBLAS reads it when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_float32_matmul_precision("highest")
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        matmul.fp32_precision = "ieee"
        cudnn.fp32_precision = "ieee"
        cudnn.conv.fp32_precision = "ieee"
        cudnn.rnn.fp32_precision = "ieee"
    else:  # before torch 2.9
        matmul.allow_tf32 = cudnn.allow_tf32 = False
    matmul.allow_bf16_reduced_precision_reduction = False
    matmul.allow_fp16_reduced_precision_reduction = False
    # Benchmarking chooses a kernel by its time, so by chance.
    cudnn.benchmark, cudnn.deterministic = False, True
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling memory that is about to be written costs time and changes no result.
    torch.utils.deterministic.fill_uninitialized_memory = False
    warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*", category=UserWarning)


@contextmanager
def exact_short_products(device: Any) -> Iterator[None]:
    """Float32 products by TF32 on a CUDA device while this lasts: for factors that are bfloat16 or float16 numbers.

    TF32 keeps 10 bits of mantissa, so it holds such numbers exactly, and sums in float32: the same result as IEEE's
    products up to the order of sums, at about seven times the speed (peak rates of an H200).
    """
    import torch

    matmul: Any = torch.backends.cuda.matmul
    if torch.device(device).type != "cuda" or not hasattr(matmul, "fp32_precision"):
        yield
        return
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before
