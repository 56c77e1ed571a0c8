"""A folder that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm.base.tensor_files import disk_errors


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A fresh folder to write into; it becomes `target` in one rename where this ends well, and is removed where not.

    Errors: OSError, with the folder's name, also where safetensors finds the disk full.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            yield fresh
            # A temporary folder is its maker's alone, and so are files that are written safely.
            fresh.chmod(0o755)
            for file in fresh.iterdir():
                file.chmod(0o644)
            os.replace(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
