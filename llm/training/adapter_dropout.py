"""Dropout on the inputs of one adapter, in its training steps alone, by numbers that belong to the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from peft.tuners.lora import LoraLayer

from llm.base.processes import processes
from llm.base.shared_base import SharedBase
from sim.streams import Stream


class AdapterDropout:
    """lora.dropout of the adapter `name`, on while a step's gradient is taken.

    The base stays as it is, without dropout of its own, and so do the other adapters. Which inputs are dropped is a
    function of the stream and the step's number: a fit that was killed and resumed drops the same ones, and so do
    activations that are computed again in the backward pass (torch puts the generator back for them).  Of several
    processes each has answers of its own, and drops by numbers of its own: the same places in all would be one mask
    over the whole batch's pieces, and twice the noise.  So what is dropped depends on how many there are.
    """

    def __init__(self, base: SharedBase, name: str, stream: Stream) -> None:
        # The first drops what one alone would.
        rank = processes().rank
        own = stream.child(f"process/{rank}") if rank else stream
        self._rate, self._stream, self._device = base.lora.dropout, own, base.device
        found = [m for m in base.model.modules() if isinstance(m, LoraLayer) and name in m.lora_dropout]
        # The layer's own mode counts beside its dropout's: DoRA looks there.
        self._modules = [module for layer in found for module in (layer, layer.lora_dropout[name])]

    def as_function(self, step: int) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """What `of_step` does to inputs of the adapter, layer after layer, by the same numbers and whatever else is
        drawn in between: for steps of several adapters.  None where nothing is dropped."""
        if not self._rate:
            return None
        device, states = self._device, list[torch.Tensor]()
        on_cuda = device.type == "cuda"

        def drop(x: torch.Tensor) -> torch.Tensor:
            with torch.random.fork_rng(devices=[device] if on_cuda else []):
                if not states:
                    torch.manual_seed(self._stream.at(replicate=step).integer_seed())
                elif on_cuda:
                    torch.cuda.set_rng_state(states.pop(), device)
                else:
                    torch.set_rng_state(states.pop())
                out = torch.nn.functional.dropout(x, self._rate, training=True)
                states.append(torch.cuda.get_rng_state(device) if on_cuda else torch.get_rng_state())
            return out

        return drop

    @contextmanager
    def of_step(self, step: int) -> Iterator[None]:
        if not self._rate:
            yield
            return
        before = [(module, module.training, getattr(module, "p", None)) for module in self._modules]
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(self._stream.at(replicate=step).integer_seed())
            for module in self._modules:
                # Not train(), which would reach the layer of the base inside.
                module.training = True
                if isinstance(module, torch.nn.Dropout):
                    # Gradient checkpointing silences every dropout that there is, this one with them.
                    module.p = self._rate
            try:
                yield
            finally:
                for module, training, rate in before:
                    module.training = training
                    if isinstance(module, torch.nn.Dropout) and rate is not None:
                        module.p = rate
