"""Whether weights are all that a configuration asks for, and numbers: what is missing would be drawn at random."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from sim.errors import InputError

_NAMED = 3
_FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def require_whole(model: Any, loaded: Mapping[str, Any], place: Path, *, head: bool = True) -> None:
    """InputError where tensors that turn tokens into logits were not in the files, or had another shape.

    loaded: what transformers says of loading (`output_loading_info`), tied tensors already apart.  head: whether the
    head's are needed.  A vision tower never sees a text: what it lacks is nobody's loss.
    """
    needed = _needed(model, head)
    missing = sorted(needed.intersection(loaded["missing_keys"]))
    if missing:
        raise InputError(
            f"lacks {len(missing)} of the tensors that its configuration asks for ({some_of(missing)})", file=place,
            fix="get its files again, or a config.json that is theirs",
        )  # fmt: skip
    differing = [f"{key} {tuple(got)}, not {tuple(wanted)}" for key, got, wanted in sorted(loaded["mismatched_keys"])
                 if key in needed]  # fmt: skip
    if differing:
        raise InputError(
            f"has {len(differing)} tensors of another shape than its configuration says ({some_of(differing)})",
            file=place, fix="get its files again, or a config.json that is theirs",
        )  # fmt: skip


def require_numbers(model: Any, place: Path) -> None:
    """InputError where a weight is NaN: kernels of attention pass over it, and a model without it is another one."""
    for name, value in model.named_parameters():
        # The smallest is NaN where one is, and takes no memory to find. Packed weights are whole numbers.
        if value.dtype in _FLOATS and value.numel() and bool(value.detach().min().isnan()):
            raise InputError(
                f"its weights are not all numbers ({name} has a NaN)", file=place, fix="get its files again"
            )


def _needed(model: Any, head: bool) -> set[str]:
    """Names of the tensors of the decoder, the embeddings and, where it is needed, the head; of a model that has
    nothing else, of all of them."""
    names = set(model.state_dict())
    decoder, own_head = model.get_decoder(), model.get_output_embeddings()
    if model.config.get_text_config() is not model.config:
        parts = [decoder, model.get_input_embeddings(), own_head]
        inside = {id(module) for part in parts if part is not None for module in part.modules()}
        paths = tuple(f"{path}." for path, module in model.named_modules() if id(module) in inside and path)
        names = {name for name in names if name.startswith(paths)} if paths else names
    if not head and own_head is not None and own_head is not model.get_input_embeddings():
        of_head = tuple(f"{path}." for path, module in model.named_modules() if module is own_head)
        names = {name for name in names if not name.startswith(of_head)}
    return names


def some_of(names: Iterable[str]) -> str:
    """The first of the names, and how many more there are."""
    whole = list(names)
    more = len(whole) - _NAMED
    return ", ".join(whole[:_NAMED]) + (f" and {more} more" if more > 0 else "")
