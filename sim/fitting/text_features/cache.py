"""What was made of texts, kept by their content: the same texts under the same settings are read, never made again.

A file holds a checksum of the rest, a line's end, and a zip file of arrays without pickled objects. A damaged one is
made again; where none can be written, nothing is kept. The folder may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sim.compiled.jit import cache_root
from sim.files.atomic import Json, replacing
from sim.preferences import AnyArray

# Raised whenever what is made of the same texts and settings changes.
VERSION = 1


def cache_folder() -> Path:
    return cache_root() / "texts"


def cache_key(settings: Mapping[str, Json], texts: Sequence[Sequence[str]]) -> str:
    """A digest of the settings and of lists of texts, each with its length before it."""
    state = hashlib.blake2b(digest_size=16)
    head = json.dumps([VERSION, dict(settings)], sort_keys=True, allow_nan=False).encode()
    state.update(len(head).to_bytes(8, "little") + head)
    for part in texts:
        state.update(len(part).to_bytes(8, "little"))
        for text in part:
            own = text.encode("utf-8", "surrogatepass")
            state.update(len(own).to_bytes(8, "little") + own)
    return state.hexdigest()


def cached(
    settings: Mapping[str, Json], texts: Sequence[Sequence[str]], make: Callable[[], Mapping[str, AnyArray]]
) -> dict[str, AnyArray]:
    """The arrays that `make` gives, from the cache where they are there and whole."""
    path = cache_folder() / f"{cache_key(settings, texts)}.arrays"
    found = kept_arrays(path)
    if found is not None:
        return found
    made = {name: np.asarray(values) for name, values in make().items()}
    _write(path, made)
    return made


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()


def kept_arrays(path: Path) -> dict[str, AnyArray] | None:
    """What a file of the cache holds; None where it is damaged or no such file."""
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
        if digest != _checksum(content):
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, arrays: dict[str, AnyArray]) -> None:
    buffer = io.BytesIO()
    # Type checkers take a name for one of the function's own arguments.
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    content = buffer.getvalue()
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(_checksum(content) + b"\n" + content)
    except OSError:
        return
