"""What makes a base the same base, and a machine the same machine: hashes of files, versions of packages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from llm.base.model_folder import base_folder, gguf_file_of

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def file_hash(file: str | Path) -> str:
    """Hash of one file: its name and content."""
    return _hash([Path(file)])


def weights_hash(folder: str | Path) -> str:
    """Hash of a model folder's configuration, weights and adapter: what makes a base the same base.

    Of a folder that holds an adapter alone, also those of the folder that it names as its base; of a GGUF file, the
    file's own, which holds its tokenizer too.
    """
    folder = Path(folder)
    if (alone := gguf_file_of(folder)) is not None:
        return file_hash(alone)
    weights = (*sorted(folder.glob("*.safetensors")), *sorted(folder.glob("*.gguf")))
    found = _hash([folder / "config.json", folder / "adapter_config.json", *weights])
    if not (folder / "adapter_config.json").is_file() or (folder / "config.json").is_file():
        return found
    return hashlib.blake2b(f"{found}{weights_hash(base_folder(folder))}".encode(), digest_size=16).hexdigest()


def tokenizer_hash(folder: str | Path) -> str:
    """Hash of a model's tokenizer files."""
    place = Path(folder)
    if not any((place / name).is_file() for name in _TOKENIZER_FILES) and (place / "adapter_config.json").is_file():
        place = base_folder(place)
    return _hash([place / name for name in _TOKENIZER_FILES])


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
