"""Finished pieces of work under the fingerprint of everything that went into them.

A killed run is started again from its beginning and finds each finished fit and evaluation here, so it takes the
same path, and works only from the piece that was in flight.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from llm.base.progress import Progress
from llm.base.tensor_files import Damaged, fingerprint, read_tensors, write_tensors

__all__ = ["Journal", "fingerprint"]


class Journal:
    """A folder of safetensors files, one a piece of work; None as folder keeps nothing."""

    def __init__(self, folder: str | Path | None, progress: Progress = lambda text: None) -> None:
        """progress: hears of pieces that are damaged."""
        self.folder = None if folder is None else Path(folder)
        self._progress = progress

    def read(self, key: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """(tensors, notes) of a piece, or None. One that is not as it was written is not believed: it counts as absent,
        and is computed again."""
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            return read_tensors(path, key)
        except Damaged as error:
            self._progress(f"note: {path} was damaged ({error}) and is computed again")
            return None

    def write(self, key: str, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any] | None = None) -> None:
        path = self._path(key)
        if path is not None:
            write_tensors(path, tensors, notes or {}, key)

    def remove(self, key: str) -> None:
        path = self._path(key)
        if path is not None:
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove every piece: the run is finished and its results lie elsewhere."""
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.glob("*.safetensors"):
                path.unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.safetensors"
