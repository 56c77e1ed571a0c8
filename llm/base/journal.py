"""Finished pieces of work under the fingerprint of everything that went into them.

A killed run is started again from its beginning and finds each finished fit and evaluation here, so it takes the
same path, and works only from the piece that was in flight.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from llm.base.processes import processes
from llm.base.progress import Progress
from llm.base.tensor_files import Damaged, fingerprint, packed, read_tensors, unpacked, write_tensors

__all__ = ["Journal", "SharedJournal", "fingerprint"]


class Journal:
    """A folder of safetensors files, one a piece of work; None as folder keeps nothing."""

    def __init__(self, folder: str | Path | None, progress: Progress = lambda text: None) -> None:
        """progress: hears of pieces that are damaged."""
        self.folder = None if folder is None else Path(folder)
        self._progress = progress
        self._used: set[str] = set()

    def read(self, key: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """(tensors, notes) of a piece, or None. One that is not as it was written is not believed: it counts as absent,
        and is computed again."""
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            found = read_tensors(path, key)
        except Damaged as error:
            self._progress(f"note: {path} was damaged ({error}) and is computed again")
            return None
        self._used.add(key)
        return found

    def write(self, key: str, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any] | None = None) -> None:
        path = self._path(key)
        if path is not None:
            write_tensors(path, tensors, notes or {}, key)
            self._used.add(key)

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

    def keep_used(self) -> None:
        """Remove the pieces that were neither read nor written through this object: those of other questions."""
        if self.folder is not None and self.folder.is_dir():
            for path in self.folder.glob("*.safetensors"):
                if path.stem not in self._used:
                    path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.safetensors"


class SharedJournal(Journal):
    """The journal of several processes: the first one reads and writes, and tells the others what it read.

    What there is must not be looked up by each: one would find a piece that another, who looked a moment before, did
    not.  Keys do not say how many processes there are, so what several began any number may finish.
    """

    def read(self, key: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        if processes().world == 1:
            return super().read(key)
        # A key is made of all that its piece depends on. Unlike keys are the first sign of processors that round
        # differently, and a line is better than processes that wait for each other.
        processes().require_same("result so far", key, "run on processors of one kind")
        found: list[tuple[dict[str, torch.Tensor], dict[str, Any]]] = []

        def told() -> bytes | None:
            own = super(SharedJournal, self).read(key)
            found.extend([] if own is None else [own])
            return None if own is None else packed(*own)

        content = processes().bytes_from_first(told)
        return found[0] if found else None if content is None else unpacked(content)

    def write(self, key: str, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any] | None = None) -> None:
        if processes().is_first:
            super().write(key, tensors, notes)

    def remove(self, key: str) -> None:
        if processes().is_first:
            super().remove(key)

    def clear(self) -> None:
        if processes().is_first:
            super().clear()
