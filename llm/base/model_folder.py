"""Folders of models as people have them, opened as causal language models: of text and images, with adapters."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from llm.base.adapter_files import ADAPTER_WEIGHTS, around
from llm.base.whole_weights import require_whole
from sim.errors import InputError
from sim.reading import load_json

_ADAPTER = "adapter_config.json"

# What configurations call the most tokens that a model reads. `seq_length` is BLOOM's: the length of its training.
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "n_ctx")

_SAFE = {"local_files_only": True, "trust_remote_code": False}


def longest_input(config: Any) -> int | None:
    """The most tokens (prompt and response) that a model reads, by its configuration; None where it states no limit.

    BLOOM and others with positions relative to each other have none in their configuration.
    """
    text = config.get_text_config()
    for name in _LENGTHS:
        value = getattr(text, name, None)
        if isinstance(value, int) and value > 0:
            return value
    return None


def end_tokens(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Tokens that end a sampled response: the tokenizer's end token first, then others of generation_config.json.

    Chat models have several: Llama 3 <|eot_id|>, <|eom_id|> and <|end_of_text|>, Gemma <end_of_turn> and <eos>. Of
    the others only special tokens count: configurations carry numbers that are words to another tokenizer.
    """
    listed = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    others = [] if listed is None else [listed] if isinstance(listed, int) else list(listed)
    special = set(tokenizer.all_special_ids) | {
        number for number, token in getattr(tokenizer, "added_tokens_decoder", {}).items() if token.special
    }
    kept = {number for number in others if number in special} - {tokenizer.eos_token_id}
    return (tokenizer.eos_token_id, *sorted(kept))


def gguf_file_of(place: str | Path) -> Path | None:
    """The GGUF file that a path means: itself, or the only one in a folder without config.json; None for others."""
    path = Path(place)
    if path.suffix == ".gguf" and path.is_file():
        return path
    if not path.is_dir() or (path / "config.json").is_file():
        return None
    found = sorted(path.glob("*.gguf"))
    if len(found) > 1:
        raise InputError(
            f"holds {len(found)} GGUF files ({', '.join(file.name for file in found[:4])})", file=path,
            fix="give one of the files",
        )  # fmt: skip
    return found[0] if found else None


def base_folder(folder: Path) -> Path:
    """The folder with the configuration and the weights: this one, or the one that an adapter's folder names."""
    if not folder.is_dir():
        problem = "is neither a folder nor a GGUF file" if folder.is_file() else "no such folder"
        raise InputError(problem, file=folder, fix="give the folder of a causal language model")
    if (folder / "config.json").is_file():
        return folder
    if not (folder / _ADAPTER).is_file():
        raise InputError("holds no config.json", file=folder, fix="give the folder of a causal language model")
    named = _adapter_config(folder).get("base_model_name_or_path")
    base = Path(named) if isinstance(named, str) and named else None
    if base is None or not (base / "config.json").is_file():
        raise InputError(
            f"is an adapter whose base, '{named}', is not a folder here", file=folder,
            fix=f"set base_model_name_or_path in its {_ADAPTER} to the folder of its base",
        )  # fmt: skip
    return base


def tokenizer_folder(folder: Path) -> Path:
    """Where a model's tokenizer lies: in its own folder, or, where an adapter has none, in that of its base."""
    return folder if (folder / "tokenizer_config.json").is_file() else base_folder(folder)


def open_model(
    folder: Path, dtype: torch.dtype, options: Mapping[str, Any] | None = None, *, head: bool = True
) -> Any:  # fmt: skip
    """The causal language model in a folder; safetensors only, and no code of the folder is run.

    Of a model of images and text the language part; with an adapter beside the weights (or alone, its base in another
    folder) the model with that adapter in its weights.  head: whether a folder without the head's weights is refused.
    Raises InputError, or what transformers raises.
    """
    base = base_folder(folder)
    with _without_adapter(base) as place:
        model, loaded = _opened(place, dtype, options or {})
    require_whole(model, loaded, base, head=head)
    model = _language_part(model)
    # The folder stood in for is gone by now.
    model.name_or_path = model.config._name_or_path = str(folder)
    for own in dict.fromkeys((base, folder)):
        if (own / _ADAPTER).is_file():
            model = into_weights(with_adapter(model, own), own)
    return model


def _opened(folder: Path, dtype: torch.dtype, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(model, what transformers says of loading it)."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    config = AutoConfig.from_pretrained(str(folder), **_SAFE)
    whole = config.get_text_config() is not config and type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    auto = AutoModelForImageTextToText if whole else AutoModelForCausalLM
    # Tensors of another shape are refused by name in `require_whole`.
    told = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    model, loaded = auto.from_pretrained(str(folder), dtype=dtype, use_safetensors=True, **told, **_SAFE, **options)
    return model, loaded


def _language_part(model: Any) -> Any:
    """The decoder and head of a model of images and text, as the causal LM of its text configuration.

    Where transformers has no causal LM of that configuration, or it computes something else, the whole model is
    kept: then its vision tower takes memory and is never run.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    from llm.base.dropout import probe_tokens

    text = model.config.get_text_config()
    if text is model.config or type(text) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return model
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    with torch.device("meta"):
        part = MODEL_FOR_CAUSAL_LM_MAPPING[type(text)](decoder.config)
    setattr(part, part.base_model_prefix, decoder)
    part.set_output_embeddings(head)
    part.generation_config = model.generation_config
    whole = any(value.is_meta for value in (*part.parameters(), *part.buffers()))
    if whole or part.get_decoder() is not decoder:
        return model
    part.eval()
    model.eval()
    with torch.no_grad():
        wanted, got = (m(input_ids=probe_tokens(m), use_cache=False).logits for m in (model, part))
    return part if torch.allclose(wanted.float(), got.float(), rtol=1e-4, atol=1e-4) else model


@contextmanager
def _without_adapter(folder: Path) -> Iterator[Path]:
    """The folder, or where it holds an adapter beside its weights, one of links to all of it but the adapter.

    transformers loads such an adapter without a word and leaves it switched on beside later ones.
    """
    if not (folder / _ADAPTER).is_file():
        yield folder
        return
    with tempfile.TemporaryDirectory() as place:
        for file in folder.iterdir():
            if not file.name.startswith("adapter_"):
                (Path(place) / file.name).symlink_to(file.absolute())
        yield Path(place)


@contextmanager
def wrapping() -> Iterator[None]:
    """PEFT asks transformers for an attribute that transformers renamed; its warning is not our user's business."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def with_adapter(model: Any, folder: Path) -> Any:
    """The model with the adapter of a folder beside its weights: PEFT's wrapper around it.

    InputError where a tensor of the adapter has no place in the model, or the adapter lacks one.
    """
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise InputError(f"has {_ADAPTER}, no {ADAPTER_WEIGHTS}", file=folder, fix="save the adapter as safetensors")
    with _fitting(folder), wrapping():
        wrapped, misfit = around(model, folder)
    if misfit is not None:
        raise InputError(misfit, file=folder, fix="give an adapter of this base, or merge it yourself")
    return wrapped


def into_weights(wrapped: Any, folder: Path) -> Any:
    """The model inside PEFT's wrapper with the adapter, which came from `folder`, added to its weights."""
    merge = getattr(wrapped, "merge_and_unload", None)
    with _fitting(folder):
        merged = None if merge is None else merge(safe_merge=True)
    if merged is None:
        kind = _adapter_config(folder).get("peft_type")
        raise InputError(
            f"its adapter ({kind}) cannot become part of the weights", file=folder, fix="give a model without it"
        )
    # What PEFT leaves on the model would be taken for an adapter of ours.
    if hasattr(merged, "peft_config"):
        del merged.peft_config
    return merged


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """What PEFT raises over an adapter as an InputError."""
    try:
        yield
    except (RuntimeError, ValueError, KeyError, TypeError, NotImplementedError, OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"its adapter does not fit its base ({reason})", file=folder, fix="merge it yourself and save the model"
        ) from error


def _adapter_config(folder: Path) -> dict[str, Any]:
    path = folder / _ADAPTER
    try:
        content = load_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"is not JSON ({error})", file=path) from error
    if not isinstance(content, dict):
        raise InputError("expected a JSON object", file=path)
    return content
