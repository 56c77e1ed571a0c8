"""Adapters that begin where others ended: a folder for all groups, or one a group (`lora.start`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from llm.base.folder_format import file_checksum
from llm.base.identity import tokenizer_change
from llm.base.lora_settings import LoraSettings
from llm.base.shared_base import SharedBase
from llm.data.data_settings import DataSettings
from llm.runs.open_run import read_config
from llm.runs.run_folder import read_mixture
from llm.runs.run_origin import Origin
from llm.runs.run_settings import RunSettings
from sim.errors import InputError
from sim.reading import load_json

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_FIELD = "lora.start"
# What PEFT puts before the path of a layer in a causal language model.
_PREFIX = "base_model.model."
# Options of PEFT under which the same tensors would be another function, or only a part of one.
_PLAIN = ("rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias", "layer_replication", "megatron_config")


def start_folders(lora: LoraSettings) -> tuple[Path, ...]:
    """Where adapters begin: none, one for all groups, or one a group."""
    if lora.start is None:
        return ()
    return tuple(Path(place) for place in ((lora.start,) if isinstance(lora.start, str) else lora.start))


def start_hashes(lora: LoraSettings) -> dict[str, str]:
    """Place in the list -> checksum of the weights that begin there."""
    return {str(k): file_checksum(_weights(folder)) for k, folder in enumerate(start_folders(lora))}


def require_same_start(before: Mapping[str, str], lora: LoraSettings, folder: Path) -> None:
    """InputError where an adapter that the finished run in `folder` began at is another one now; one that is gone is
    not needed any more."""
    for k, place in enumerate(start_folders(lora)):
        if (place / _WEIGHTS).is_file() and before.get(str(k)) != file_checksum(place / _WEIGHTS):
            raise InputError(
                f"was changed since {folder} began at it", file=place, field=_FIELD,
                fix="put the old one back, or train with another --out",
            )  # fmt: skip


def may_have_seen(settings: RunSettings, origin: Origin) -> bool:
    """Whether a start of the adapters may have been trained on answers that this run holds out.

    Of a run with the same seed, the same answers (by their checksums, wherever they lie) and the same settings and
    tokenizer to read them by it has not, since the split is drawn from these; nor have the starts of that run where the
    same is true of them.
    """
    for folder in start_folders(settings.lora):
        run = folder.parent
        if not (run / "mixture.json").is_file():
            return True
        before, its, _ = read_config(run)
        if (before.seed, _read_by(before)) != (settings.seed, _read_by(settings)):
            return True
        if _answers(its) != _answers(origin) or tokenizer_change(its.tokenizer, origin.tokenizer):
            return True
        # An adapter that was put there afterwards is from elsewhere.
        wanted = read_mixture(run).files.get(f"{folder.name}/{_WEIGHTS}")
        if wanted is not None and wanted != file_checksum(folder / _WEIGHTS):
            return True
        if not _begins_at(before.lora, its.start) or may_have_seen(before, its):
            return True
    return False


def _begins_at(lora: LoraSettings, start: Mapping[str, str]) -> bool:
    """Whether the adapters that a run began at are still where they were."""
    try:
        return start_hashes(lora) == start
    except InputError:
        return False


def _read_by(settings: RunSettings) -> DataSettings:
    """The settings that answers are read by, without the places where they lie."""
    return replace(settings.data, train="", test=None)


def _answers(origin: Origin) -> tuple[str | None, ...]:
    return tuple(origin.data.get(name) for name in ("train", "test"))


def begin_at_start(base: SharedBase, name: str, k: int, n_types: int) -> None:
    """Give adapter `name`, of group k of n_types, the weights it begins at; without lora.start it stays as it is.

    The reference is the base without any adapter, as ever.
    """
    folders = start_folders(base.lora)
    if not folders:
        return
    require_a_folder_a_group(base.lora, n_types)
    tensors = read_start(base, folders[k % len(folders)])
    with torch.no_grad():
        for own, value in base.parameters_of(name).items():
            value.copy_(tensors[own])


def require_a_folder_a_group(lora: LoraSettings, n_types: int) -> None:
    folders = start_folders(lora)
    if not isinstance(lora.start, str) and folders and len(folders) != n_types:
        raise InputError(
            f"names {len(folders)} adapters, and there are {n_types} groups", field=_FIELD,
            fix="give one for all (lora.start=FOLDER), or one a group (lora.start=[FOLDER, ...])",
        )  # fmt: skip


def read_start(base: SharedBase, folder: Path) -> dict[str, torch.Tensor]:
    """The adapter in a folder under the names of `SharedBase.parameters_of`.

    InputError, in one line, where it is none of the form that `lora` says, has other layers, or is of another base.
    """
    weights = _weights(folder)
    _require_form(folder, base.lora)
    _require_base(folder, base.identity)
    try:
        # PEFT leaves the end of a length's name out where it writes.
        found = {
            f"{key}.weight" if key.endswith("lora_magnitude_vector") else key: value
            for key, value in load_file(weights).items()
        }
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"cannot be read ({' '.join(str(error).split())[:120]})", file=weights, field=_FIELD
        ) from error
    wanted = _shapes(base)
    missing, more = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or more:
        what = f"lacks {_layer(missing[0])}" if missing else f"has an adapter on {_layer(more[0])}, which gets none"
        raise InputError(f"{what} (lora.layers is {base.lora.layers})", file=folder, field=_FIELD,
                         fix="set lora.layers as it was trained, on its own base")  # fmt: skip
    for key, shape in wanted.items():
        if tuple(found[key].shape) != shape:
            raise InputError(
                f"{_layer(key)} has the shape {tuple(found[key].shape)}, the base's is {shape}", file=folder,
                field=_FIELD, fix="give an adapter of this base",
            )  # fmt: skip
        if not bool(torch.isfinite(found[key]).all()):
            raise InputError(f"{_layer(key)} is not finite", file=folder, field=_FIELD, fix="give another adapter")
    return found


def _weights(folder: Path) -> Path:
    if (folder / _WEIGHTS).is_file() and (folder / _CONFIG).is_file():
        return folder / _WEIGHTS
    if (folder / "mixture.json").is_file():
        inside = ", ".join(str(folder / name) for name in read_mixture(folder).adapters)
        raise InputError("is a run, not an adapter", file=folder, field=_FIELD, fix=f"give {inside}")
    raise InputError(
        f"holds no {_WEIGHTS} with its {_CONFIG}", file=folder, field=_FIELD, fix="give the folder of a LoRA adapter"
    )


def _require_form(folder: Path, lora: LoraSettings) -> None:
    try:
        config = load_json((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"is not JSON ({error})", file=folder / _CONFIG, field=_FIELD) from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA" or any(config.get(name) for name in _PLAIN):
        raise InputError("is no plain LoRA adapter", file=folder, field=_FIELD, fix="leave lora.start out")
    for option, key, default in (
        ("rank", "r", None), ("alpha", "lora_alpha", None), ("rslora", "use_rslora", False), ("dora", "use_dora", False)
    ):  # fmt: skip
        came, ours = config.get(key, default), getattr(lora, option)
        if came != ours:
            raise InputError(
                f"has {key} {_said(came)}, and lora.{option} is {_said(ours)}", file=folder, field=_FIELD,
                fix=f"set lora.{option}={_said(came)}",
            )  # fmt: skip


def _require_base(folder: Path, identity: str) -> None:
    """Of an adapter in the folder of a run, which says what base it is of; of others nothing is known."""
    if (folder.parent / "mixture.json").is_file() and read_mixture(folder.parent).base_hash != identity:
        raise InputError("is an adapter of another base", file=folder, field=_FIELD, fix="give one of this base")


def _shapes(base: SharedBase) -> dict[str, tuple[int, ...]]:
    """Name -> shape of an adapter's tensors."""
    found: dict[str, tuple[int, ...]] = {}
    for path in base.adapted_layers.paths:
        layer: Any = base.model.get_submodule(path)
        layer = layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer
        # By name where they have one: the weight of a quantised layer is packed.
        if hasattr(layer, "in_features"):
            out, into = layer.out_features, layer.in_features
        else:
            out, into = reversed(layer.weight.shape) if base.adapted_layers.transposed else layer.weight.shape
        found[f"{_PREFIX}{path}.lora_A.weight"] = (base.lora.rank, int(into))
        found[f"{_PREFIX}{path}.lora_B.weight"] = (int(out), base.lora.rank)
        if base.lora.dora:
            found[f"{_PREFIX}{path}.lora_magnitude_vector.weight"] = (int(out),)
    return found


def _layer(key: str) -> str:
    return key.removeprefix(_PREFIX).partition(".lora_")[0]


def _said(value: Any) -> str:
    """As it is written in YAML."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
