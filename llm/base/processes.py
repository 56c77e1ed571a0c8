"""The processes that work on one run together: who does which share, and how numbers come together again.

Every process runs the same program and takes the same decisions.  What is long is shared: batches that are scored,
the answers of a training step.  Their numbers come together in a fixed order, so that all processes go on from the same
bits.  One process alone, which is what a program is unless `llm.base.joining` says otherwise, does everything, and
no number passes through another's hands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import distributed

from sim.errors import InputError
from sim.preferences import FloatArray

T = TypeVar("T")
Shares: TypeAlias = Sequence[T]


@dataclass(frozen=True)
class Processes:
    """This process's number among all (`rank` of `world`), and among those of its machine.

    Methods but `share` and `is_first` are collective: each process calls them, in the same order.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    local_world: int = 1

    @property
    def is_first(self) -> bool:
        """The one that writes files and speaks to people."""
        return self.rank == 0

    def share(self, batches: Shares[T]) -> list[T]:
        """Every world-th of the batches, as many in every process.

        Where they do not come out even, some process would have none while the others are in their last: it repeats
        the last batch, and must not count it (`counts`).  A sharded base needs all processes in every forward pass.
        """
        own = list(batches[self.rank :: self.world])
        return own if len(own) == -(-len(batches) // self.world) else [*own, batches[-1]]

    def counts(self, place: int, batches: Shares[Any]) -> bool:
        """Whether the batch at this place of `share` is this process's own."""
        return place * self.world + self.rank < len(batches)

    def filled(self, values: FloatArray) -> FloatArray:
        """An array of which each process has filled in its own part, the rest zeros: exact, whatever the order."""
        if self.world > 1:
            distributed.all_reduce(torch.from_numpy(values))
        return values

    def summed(self, values: FloatArray) -> FloatArray:
        """Sums over the processes, added in the order of their numbers, so that all have the same bits."""
        if self.world == 1:
            return values
        every: FloatArray = np.zeros((self.world, *values.shape))
        every[self.rank] = values
        return np.asarray(np.cumsum(self.filled(every), axis=0)[-1])

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Each parameter's gradient becomes the sum over the processes: torch's DDP, but for its mean over them.

        The loss of a step is divided by the answers of the whole batch, so the sum is the mean over answers, however
        unlike the processes' shares are.  Adapters are small: one message at the end of a step carries them all, and
        there is nothing to be won by sending parts of it during the backward pass.
        """
        if self.world == 1:
            return
        moved = [parameter for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([parameter.grad.reshape(-1) for parameter in moved])
        distributed.all_reduce(flat)
        for parameter, own in zip(moved, flat.split([parameter.numel() for parameter in moved]), strict=True):
            parameter.grad = own.view_as(parameter)

    def from_first(self, make: Callable[[], Any]) -> Any:
        """What `make` gives in the first process, a value that JSON holds, or None; in the others it is not called."""
        if self.world == 1:
            return make()
        found = self.bytes_from_first(lambda: json.dumps(make()).encode())
        return json.loads(found or b"null")

    def bytes_from_first(self, make: Callable[[], bytes | None]) -> bytes | None:
        """The same of bytes."""
        if self.world == 1:
            return make()
        own = make() if self.is_first else None
        length = torch.tensor([-1 if own is None else len(own)])
        distributed.broadcast(length, 0)
        if int(length) < 0:
            return None
        content = torch.zeros(int(length), dtype=torch.uint8)
        if own:
            content = torch.frombuffer(bytearray(own), dtype=torch.uint8)
        distributed.broadcast(content, 0)
        return bytes(content.numpy())

    def array_from_first(self, make: Callable[[], FloatArray | None]) -> FloatArray | None:
        """The same of an array of float64."""
        if self.world == 1:
            return make()
        found: list[FloatArray] = []

        def told() -> list[int] | None:
            own = make()
            found.extend([] if own is None else [np.ascontiguousarray(own, dtype=np.float64)])
            return None if own is None else list(own.shape)

        shape = self.from_first(told)
        if shape is None:
            return None
        content = self.bytes_from_first(lambda: found[0].tobytes())
        return np.frombuffer(content or b"", dtype=np.float64).reshape(shape).copy()

    def require_same(self, what: str, value: str, fix: str) -> None:
        """InputError where a process has another value than the first."""
        if self.world == 1:
            return
        wanted = self.from_first(lambda: value)
        differs = self.summed(np.eye(self.world)[self.rank] * (value != wanted))
        if differs.any():
            who = ", ".join(str(rank) for rank in np.flatnonzero(differs))
            raise InputError(f"process {who} of {self.world} (from 0) has another {what} than the first", fix=fix)

    @contextmanager
    def in_turn(self, one_by_one: bool) -> Iterator[None]:
        """First the first process of each machine, then the others of it: together, or one by one.

        What the first leaves in a cache the others find; one by one, where they would not fit into memory together.
        """
        own = self.local_rank if one_by_one else min(self.local_rank, 1)
        last = int(self.filled(np.eye(self.world)[self.rank] * own).max())
        for _ in range(own):
            self.wait()
        yield
        for _ in range(last - own):
            self.wait()

    def wait(self) -> None:
        """Until every process is here."""
        self.filled(np.zeros(1))


ALONE = Processes()
_now = ALONE


def processes() -> Processes:
    """Those that work on this run together; one where none have joined."""
    return _now


@contextmanager
def working_together(joined: Processes) -> Iterator[Processes]:
    """Inside, `processes` are these; torch.distributed must be ready."""
    global _now
    before, _now = _now, joined
    try:
        yield joined
    finally:
        _now = before
