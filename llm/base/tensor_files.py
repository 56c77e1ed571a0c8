"""Tensors and notes in a safetensors file that says when it is damaged, and a full disk that says so."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save, save_file

from sim.files.atomic import replacing

_OS_ERROR = re.compile(r"\(os error (\d+)\)")


class Damaged(Exception):
    """The file is not, byte for byte in what it says, what was written."""


def fingerprint(*parts: Any) -> str:
    """BLAKE2b over tensors, arrays, mappings and plain values; equal parts give equal fingerprints."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        _feed(state, part)
    return state.hexdigest()


def _feed(state: Any, part: Any) -> None:
    if isinstance(part, torch.Tensor):
        part = part.detach().cpu().contiguous()
        state.update(f"t{part.dtype}{tuple(part.shape)}".encode())
        # bfloat16 has no NumPy dtype: read the bytes.
        state.update(part.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(part, np.ndarray):
        state.update(f"a{part.dtype}{part.shape}".encode())
        state.update(np.ascontiguousarray(part).tobytes())
    elif isinstance(part, Mapping):
        for key in sorted(part):
            state.update(f"k{key}".encode())
            _feed(state, part[key])
    else:
        state.update(json.dumps(part, sort_keys=True, default=str).encode() + b";")


def computed_in(model: Any) -> dict[str, str]:
    """What a model's numbers depend on beside its weights: their dtype, and the device (of a GPU, its name too)."""
    weights = next(model.parameters())
    device = weights.device
    kind = f"cuda {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type
    return {"dtype": str(weights.dtype).removeprefix("torch."), "device": kind}


def write_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any], role: str) -> None:
    """Written whole, with the checksum of everything in it and of its role: no file passes for another."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    plain = json.loads(json.dumps(dict(notes)))
    content = {"notes": plain, "checksum": fingerprint(role, plain, whole)}
    with replacing(path) as temporary, disk_errors(path):
        # One entry: safetensors writes several in no fixed order, and equal contents should be equal files.
        save_file(whole, temporary, metadata={"content": json.dumps(content)})


def read_tensors(path: Path, role: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(tensors, notes) of a file that `write_tensors` wrote in this role; Damaged where it differs from that."""
    try:
        with safe_open(path, framework="pt") as stored:
            content = json.loads((stored.metadata() or {})["content"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  # not a dict
        notes = content["notes"]
        whole = content["checksum"] == fingerprint(role, notes, tensors)
    except (SafetensorError, ValueError, KeyError, TypeError, OSError, RuntimeError, RecursionError) as error:
        raise Damaged(f"cannot be read ({' '.join(str(error).split())[:120]})") from error
    if not whole:
        raise Damaged("its checksum differs")
    return tensors, notes


def packed(tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any]) -> bytes:
    """What `unpacked` makes tensors and notes of: a message, for which nothing has to be executed."""
    head = json.dumps(dict(notes)).encode()
    body = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    return b"".join([len(head).to_bytes(8, "little"), head, body])


def unpacked(content: bytes) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    begin = 8 + int.from_bytes(content[:8], "little")
    return load(content[begin:]), json.loads(content[8:begin])


@contextmanager
def disk_errors(path: str | Path) -> Iterator[None]:
    """What safetensors and tokenizers, written in Rust, say of a full disk is the system's error, with the name."""
    try:
        yield
    except Exception as error:
        found = _OS_ERROR.search(str(error))
        # tokenizers has no class of its own for it.
        if found is None or type(error) not in (SafetensorError, Exception):
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error
