"""What makes a base the same base, and a machine the same machine: hashes of files, versions of packages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from llm.base.kept_hashes import kept_hash
from llm.base.model_folder import base_folder, gguf_file_of
from sim.errors import InputError
from sim.reading import load_json

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
    "tekken.json",
)
_NAMED_TEMPLATES = "additional_chat_templates"

# Marks the hash of a base whose linear layers are packed.
_PACKED = "+nf4"
# Stands between the hash of a tokenizer's files and that of what decides tokens beside them.
_MORE = "+"


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


def tokenizer_files_hash(folder: str | Path) -> str:
    """Hash of the files that texts become tokens by, and conversations without tools."""
    place = _tokenizer_place(folder)
    return _hash([place / name for name in _TOKENIZER_FILES])


def tokenizer_hash(folder: str | Path) -> str:
    """Hash of all that stands between texts and tokens: HASH+MORE.

    HASH is `tokenizer_files_hash`.  MORE is of the named chat templates in `additional_chat_templates`, which render
    conversations with tools, and of the end tokens that generation_config.json lists, which decide where responses end
    (`end_tokens`); its other entries decide nothing here.  What was kept before there was MORE is HASH alone, and is
    compared with that (`tokenizer_change`).
    """
    model = Path(folder)
    alone = (model / "adapter_config.json").is_file() and not (model / "config.json").is_file()
    ends = json.dumps(_listed_ends((base_folder(model) if alone else model) / "generation_config.json"))
    more = _hash(sorted((_tokenizer_place(folder) / _NAMED_TEMPLATES).glob("*.jinja")))
    beside = hashlib.blake2b(f"{more}{ends}".encode(), digest_size=8).hexdigest()
    return f"{tokenizer_files_hash(folder)}{_MORE}{beside}"


def tokenizer_change(kept: str, found: str) -> str:
    """What is another than when its hash was kept; "" if nothing is.  Either may be by a version that knew its files
    alone."""
    if hash_of_tokenizer_files(kept) != hash_of_tokenizer_files(found):
        return "tokenizer"
    whole = _MORE in kept and _MORE in found
    return f"end tokens (generation_config.json) or {_NAMED_TEMPLATES}" if whole and kept != found else ""


def hash_of_tokenizer_files(tokenizer: str) -> str:
    """The part of a `tokenizer_hash` that `tokenizer_files_hash` gives."""
    return tokenizer.partition(_MORE)[0]


def _tokenizer_place(folder: str | Path) -> Path:
    place = Path(folder)
    if not any((place / name).is_file() for name in _TOKENIZER_FILES) and (place / "adapter_config.json").is_file():
        place = base_folder(place)
    return place


def _listed_ends(file: Path) -> list[int]:
    """The end tokens that a generation_config.json lists; none where it is not there."""
    try:
        listed = load_json(file.read_text(encoding="utf-8")).get("eos_token_id")
    except (OSError, ValueError, AttributeError):
        return []
    return sorted({number for number in (listed if isinstance(listed, list) else [listed]) if isinstance(number, int)})


def folder_hash(folder: str | Path) -> str:
    """Hash of all files in a folder and in those inside: their places in it and their content."""
    place = Path(folder)
    files = sorted(file for file in place.rglob("*") if file.is_file())
    return _hash(files, [file.relative_to(place).as_posix() for file in files])


def base_hash(model: str | Path, four_bit: bool = False) -> str:
    """Of a base as it computes: of one in 4 bits all numbers are others, and it is another base to all that is kept."""
    return weights_hash(model) + (_PACKED if four_bit else "")


def hash_of_files(base: str) -> str:
    """The part of a `base_hash` that its files decide."""
    return base.removesuffix(_PACKED)


def require_same_model(model: str | Path, weights: str, tokenizer: str, folder: Path) -> None:
    """InputError where the model that a finished folder was made with is not the one of these hashes any more.

    One that is gone is not needed any more; an empty hash is of a folder from before it was kept.
    """
    if not Path(model).exists():
        return
    files, changed = hash_of_files(weights), ""
    if files and weights_hash(model) != files:
        changed = "weights"
    elif tokenizer:
        changed = tokenizer_change(tokenizer, tokenizer_hash(model))
    if changed:
        raise InputError(
            f"was changed since {folder} was made with it: its {changed} differ", file=model, field="model",
            fix="put the old one back, or choose another --out",
        )  # fmt: skip


def _hash(files: Sequence[Path], names: Sequence[str] | None = None) -> str:
    """Of the files that are there, each under its own name or that of `names`; large ones are read once."""
    named = zip(files, names or [file.name for file in files], strict=True)
    there = {file: name for file, name in named if file.is_file()}

    def read() -> str:
        state = hashlib.blake2b(digest_size=16)
        for file, name in there.items():
            state.update(name.encode())
            with file.open("rb") as content:
                while block := content.read(1 << 20):
                    state.update(block)
        return state.hexdigest()

    return kept_hash(there, read)


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
