"""Finished pieces of work under the fingerprint of everything that went into them.

A killed run is started again from its beginning and finds each finished fit and evaluation here, so it takes the
same path, and works only from the piece that was in flight.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sim.files.atomic import replacing


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


class Journal:
    """A folder of safetensors files, one a piece of work; None as folder keeps nothing."""

    def __init__(self, folder: str | Path | None) -> None:
        self._folder = None if folder is None else Path(folder)

    def read(self, key: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """(tensors, notes) of a piece, or None. A broken file counts as absent: files are written whole."""
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as stored:
                notes = json.loads((stored.metadata() or {}).get("notes", "{}"))
                return {name: stored.get_tensor(name) for name in stored.keys()}, notes  # noqa: SIM118  # not a dict
        except (SafetensorError, ValueError, OSError):
            return None

    def write(self, key: str, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any] | None = None) -> None:
        path = self._path(key)
        if path is None:
            return
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with replacing(path) as temporary:
            save_file(whole, temporary, metadata={"notes": json.dumps(dict(notes or {}))})

    def remove(self, key: str) -> None:
        path = self._path(key)
        if path is not None:
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove every piece: the run is finished and its results lie elsewhere."""
        if self._folder is not None and self._folder.is_dir():
            for path in self._folder.glob("*.safetensors"):
                path.unlink(missing_ok=True)
            if not any(self._folder.iterdir()):
                self._folder.rmdir()

    def _path(self, key: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{key}.safetensors"
