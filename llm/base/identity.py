"""What makes a base the same base, and a machine the same machine: hashes of files, versions of packages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "tokenizer_config.json")


def file_hash(file: str | Path) -> str:
    """Hash of one file: its name and content."""
    return _hash([Path(file)])


def weights_hash(folder: str | Path) -> str:
    """Hash of a model folder's configuration and weights: what makes a base the same base."""
    folder = Path(folder)
    return _hash([folder / "config.json", *sorted(folder.glob("*.safetensors"))])


def tokenizer_hash(folder: str | Path) -> str:
    """Hash of a model folder's tokenizer files."""
    return _hash([Path(folder) / name for name in _TOKENIZER_FILES])


def _hash(files: Sequence[Path]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for file in files:
        if file.is_file():
            state.update(file.name.encode())
            with file.open("rb") as content:
                while block := content.read(1 << 20):
                    state.update(block)
    return state.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("torch", "transformers", "peft", "tokenizers", "numpy", "scikit-learn")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
