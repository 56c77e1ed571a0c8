"""The tensors of an adapter's folder around a model, every one of them: PEFT leaves out what does not fit."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import safe_open

from llm.base.whole_weights import some_of

ADAPTER_WEIGHTS = "adapter_model.safetensors"

_PREFIX = "base_model.model."
# Where a model of images and text has its decoder, now and in earlier versions of transformers.
_OF_A_WHOLE = ("model.language_model.", "language_model.model.")
_WHOLE = re.compile("|".join(map(re.escape, _OF_A_WHOLE)))
# A part of a layer's path by which it reads images or sounds, never a text.
_SEEING = re.compile(r"vision|visual|image|audio|projector|connector")


def around(model: Any, folder: Path) -> tuple[Any, str | None]:
    """(PEFT's wrapper around the model with the adapter of a folder, what of it does not fit or None).

    An adapter that was trained on a whole model of images and text has its layers under other names than in the
    language part that is kept; what it has on layers that see is left out, as they are.  Raises what PEFT raises.
    """
    from peft import PeftConfig, PeftModel

    with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as stored:
        names = [name.removeprefix(_PREFIX) for name in stored.keys()]  # noqa: SIM118  # not a dict
    config = PeftConfig.from_pretrained(str(folder))
    whole = _place_in_a_whole(model, names)
    part = f"{model.base_model_prefix}."
    mapping = getattr(model, "_checkpoint_conversion_mapping", None) or None
    if whole is not None:
        mapping = {f"^{re.escape(whole)}": part}
        _rename(config, model, part)
    with warnings.catch_warnings():
        # What is missing is said below.
        warnings.filterwarnings("ignore", message="Found missing adapter keys")
        wrapped = PeftModel.from_pretrained(
            model, str(folder), config=config, use_safetensors=True, key_mapping=mapping
        )  # fmt: skip
        # Once more, for what it says of the tensors.
        told = wrapped.load_adapter(str(folder), "default", key_mapping=mapping)
    more = [name for name in told.unexpected_keys if whole is None or not _SEEING.search(name)]
    return wrapped, _misfit(more, told.missing_keys)


def _place_in_a_whole(model: Any, names: Iterable[str]) -> str | None:
    """Where the names have the decoder, if that is the place in a whole model and this one has no such place."""
    there = {path for path, _ in model.named_modules()}
    known = list(names)
    for place in _OF_A_WHOLE:
        if any(name.startswith(place) for name in known) and place.removesuffix(".") not in there:
            return place
    return None


def _rename(config: Any, model: Any, part: str) -> None:
    """Make an adapter's configuration one of the language part: names of layers are those that they have there."""
    for field in ("target_modules", "exclude_modules"):
        named = getattr(config, field, None)
        if isinstance(named, str):
            # A pattern of whole paths.
            inside = [path.removeprefix(part) for path, _ in model.named_modules() if path.startswith(part)]
            own = {part + path for path in inside if any(re.fullmatch(named, place + path) for place in _OF_A_WHOLE)}
            setattr(config, field, own)
        elif named:
            setattr(config, field, {_WHOLE.sub(part, name) for name in named})
    for field in ("rank_pattern", "alpha_pattern"):
        if patterns := getattr(config, field, None):
            setattr(config, field, {_WHOLE.sub(part, name): value for name, value in patterns.items()})


def _misfit(more: Iterable[str], missing: Iterable[str]) -> str | None:
    for what, names in (("has tensors for which its base has no place", more), ("lacks tensors", missing)):
        plain = sorted(name.removeprefix(_PREFIX).replace(".default", "") for name in names)
        if plain:
            return f"its adapter {what} ({some_of(plain)})"
    return None
