"""Which linear layers of a model get an adapter, whatever they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers.pytorch_utils import Conv1D

from sim.errors import InputError

# A part of a layer's path by which it belongs to attention: self_attn, attn, attention, self_attention, linear_attn.
_ATTENTION = re.compile(r"attn|attention")
# The last part of the path of a linear layer that chooses experts: gate, router, shared_expert_gate. (gate_proj of a
# gated feed-forward is none.)
_ROUTER = re.compile(r"(^|_)(gate|router)$")
# Kernels of these types of models multiply with the weight of this layer themselves and would pass over an adapter on
# it: PEFT refuses one.
_OF_KERNELS = {"mamba", "mamba2", "falcon_mamba", "falcon_h1", "nemotron_h"}
_KERNELS_LAYER = "out_proj"


@dataclass(frozen=True)
class AdaptedLayers:
    """The linear layers that carry an adapter.

    paths: in the model.  targets: ends of the paths that mean these layers alone, for PEFT.  parameters: of one
    adapter on them all.  transposed: they keep their weights as (in, out), as GPT-2 does.  left_out: the last parts of
    the paths of those that were meant and cannot carry one.
    """

    paths: tuple[str, ...]
    targets: tuple[str, ...]
    parameters: int
    transposed: bool
    left_out: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The last parts of the paths, each once, in the model's order."""
        return _last_parts(self.paths)

    def __str__(self) -> str:
        return (
            f"adapters on {len(self.paths)} linear layers: {', '.join(self.names)} "
            f"({self.parameters:,} parameters a group)"
            + (
                f"; none on {', '.join(self.left_out)}, which kernels of this model read past one"
                if self.left_out
                else ""
            )
        )


def linear_layers(model: Any) -> dict[str, torch.nn.Module]:
    """The linear layers of a causal LM's decoder by path, without its head and its embeddings.

    What lies outside the decoder (a vision tower, a projector of images) never sees a text.  GPT-2's Conv1D is linear.
    The experts of a mixture are stacked in tensors of three axes in transformers: no linear layers, and left out.
    """
    inside = {id(module) for module in model.get_decoder().modules()}
    left_out = {id(model.get_output_embeddings()), id(model.get_input_embeddings())}
    return {
        path: plain for path, module, plain in _plain_modules(model)
        if isinstance(plain, (torch.nn.Linear, Conv1D)) and id(module) in inside and id(plain) not in left_out
    }  # fmt: skip


def _plain_modules(model: Any) -> Iterator[tuple[str, torch.nn.Module, torch.nn.Module]]:
    """(path, module, the module without PEFT's wrapping) of all modules, as if no adapter had been added yet."""
    wrapped: set[str] = set()
    for path, module in model.named_modules():
        if any(path.startswith(outer) for outer in wrapped):
            continue
        if isinstance(module, BaseTunerLayer):
            wrapped.add(f"{path}.")
            yield path, module, module.get_base_layer()
        else:
            yield path, module, module


def layers_to_adapt(layers: str, rank: int, model: Any, *, dora: bool = False) -> AdaptedLayers:
    """The layers that the settings of `LoraSettings` mean.

    Raises InputError with the names that are there where nothing, or one name of several, is found.
    """
    found = linear_layers(model)
    barred = [path for path in found if _is_of_kernels(path, model)]
    if layers == "all-linear":
        # A router's scores are discrete choices: an adapter there changes which experts see a token, and the
        # log-probability jumps. The adapters around it are enough to move what it reads.
        paths = [path for path in found if not _ROUTER.search(path.rsplit(".", 1)[-1])]
    elif layers == "attention":
        paths = [path for path in found if any(_ATTENTION.search(part) for part in path.split(".")[:-1])]
    else:
        asked = [name for name in layers.replace(" ", "").split(",") if name]
        missing = [name for name in asked if not any(_ends_with(path, name) for path in found)]
        if missing:
            raise _not_there(", ".join(missing), found)
        paths = [path for path in found if any(_ends_with(path, name) for name in asked)]
        if wrong := [path for path in paths if path in barred]:
            raise InputError(
                f"PEFT puts no adapter on '{_last_parts(wrong)[0]}' of a model of type {model.config.model_type}: its "
                "kernels read past one", field="lora.layers", fix="name other linear layers, or use all-linear",
            )  # fmt: skip
    meant, paths = paths, [path for path in paths if path not in barred]
    if not paths:
        raise _not_there(layers, (path for path in found if path not in barred))
    return AdaptedLayers(
        tuple(paths), tuple(_shortest_names(paths, model)),
        sum(_parameters(found[path], rank, dora) for path in paths), isinstance(found[paths[0]], Conv1D),
        _last_parts(path for path in meant if path in barred),
    )  # fmt: skip


def _is_of_kernels(path: str, model: Any) -> bool:
    return (
        _ends_with(path, _KERNELS_LAYER)
        and getattr(model, "config", None) is not None
        and (model.config.model_type in _OF_KERNELS)
    )


def _not_there(asked: str, found: Iterable[str]) -> InputError:
    there = ", ".join(_last_parts(found)) or "none"
    return InputError(
        f"no linear layer of this model is called '{asked}'; those there are {there} (head and embeddings stay as they "
        "are)", field="lora.layers", fix="use all-linear, attention, or names of these, with commas between",
    )  # fmt: skip


def _parameters(module: Any, rank: int, dora: bool) -> int:
    """Parameters of one adapter of rank r on a layer: r (in + out), and of DoRA a length for each output."""
    # Shapes by name where they have one: the weight of a quantised layer is packed; of a Conv1D it is (in, out).
    sides = (module.in_features, module.out_features) if hasattr(module, "in_features") else module.weight.shape
    return rank * int(sum(sides)) + (int(sides[1]) if dora else 0)


def _shortest_names(paths: Iterable[str], model: Any) -> list[str]:
    """Ends of these paths, as short as they can be without meaning any other module of the model, sorted.

    What PEFT writes into adapter_config.json: people read it, and other software matches ends of paths.
    """
    chosen = set(paths)
    others = [path for path, _, _ in _plain_modules(model) if path not in chosen]
    names: set[str] = set()
    for path in sorted(chosen):
        parts = path.split(".")
        for n in range(1, len(parts) + 1):
            name = ".".join(parts[-n:])
            if name in names or not any(_ends_with(other, name) for other in others):
                names.add(name)
                break
    return sorted(names)


def _ends_with(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")


def _last_parts(paths: Iterable[str]) -> tuple[str, ...]:
    seen: Mapping[str, None] = {path.rsplit(".", 1)[-1]: None for path in paths}
    return tuple(seen)
