"""A frozen base that is spread over the processes, for one that does not fit into a device.

torch's `fully_shard` (FSDP2) on each layer of the decoder: a process holds 1/N of every weight of it (a DTensor), gets
the rest of a layer when that layer is called, and gives it up afterwards.  The weights a layer computes with are the
same bits as those of a base that is whole.

Embeddings, the last norm and the head stay whole in each process: scores are made from the head's own weight, a piece
of it at a time, and embeddings are often the same tensor.  Adapters stay whole, too: they are added later, are small,
and are saved as they are.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from typing import Any

import torch

from llm.base.processes import processes
from sim.errors import InputError

FIELD = "sharding"


def mesh_of_all(device: str) -> Any:
    """All processes, in a row, as torch's sharding wants them; collective."""
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh(torch.device(device).type, (processes().world,))


def sharded(model: Any, device: str, mesh: Any) -> Any:
    """The model, taken over and frozen, with its decoder's layers spread over `mesh`; the rest on `device`.

    Every process gives the same weights, at a time of its own: nothing is sent.
    """
    from torch.distributed.fsdp import fully_shard

    layers = decoder_layers(model)
    model.requires_grad_(False)
    # Of models whose layers return views, GPT-2 and OPT among them: nothing writes into those afterwards.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor", category=UserWarning)
    for layer in layers:
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    # One root for all layers, which then know each other's order; nothing else of it is spread.
    decoder = model.get_decoder()
    inside = {id(value) for layer in layers for value in layer.parameters()}
    fully_shard(decoder, mesh=mesh, ignored_params={v for v in decoder.parameters() if id(v) not in inside})
    return model.to(device)


def decoder_layers(model: Any) -> list[torch.nn.Module]:
    """The layers of a causal LM's decoder, whatever their list is called: the longest list of modules by parameters."""
    lists: list[Any] = [own for own in model.get_decoder().modules() if isinstance(own, torch.nn.ModuleList)]
    if not lists:
        raise InputError("the decoder of this model has no list of layers", field=FIELD, fix="leave it out")
    sizes = [sum(value.numel() for value in own.parameters()) for own in lists]
    return list(lists[sizes.index(max(sizes))])


def is_sharded(model: torch.nn.Module) -> bool:
    from torch.distributed.tensor import DTensor

    return any(isinstance(value, DTensor) for value in model.parameters())


def without_gradients(model: torch.nn.Module) -> AbstractContextManager[Any]:
    """inference_mode, and of a sharded model no_grad: what a layer gathers in one is kept for passes outside it."""
    found: AbstractContextManager[Any] = torch.no_grad() if is_sharded(model) else torch.inference_mode()
    return found


def share_held(model: torch.nn.Module) -> float:
    """Which share of its parameters a model has in this process."""
    from torch.distributed.tensor import DTensor

    whole = list(model.parameters())
    here = [value.to_local() if isinstance(value, DTensor) else value for value in whole]
    return float(sum(value.numel() for value in here) / sum(value.numel() for value in whole))
