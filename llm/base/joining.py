"""Joining the processes that torchrun or `accelerate launch` started, and ending together, with one line.

A launcher starts the same command several times and says in the environment which is which (RANK, WORLD_SIZE,
LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT).  Numbers on processors go over gloo, those on CUDA devices over
NCCL.
"""

from __future__ import annotations

import atexit
import gc
import os
import re
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
from torch import distributed
from torch.distributed import distributed_c10d

from llm.base.processes import ALONE, Processes, working_together
from sim.errors import InputError

# Seconds that a process waits for the others, PLURALIGN_WAIT or this: the first one may be hashing a large base.
_WAIT = 1800.0
# Seconds that whoever fails with all others has for saying so.
_MOMENT = 2.0
_START = "start it with torchrun or accelerate launch"
# What gloo, NCCL and torch's store say when a process at the other end has gone or is silent.
_LOST = re.compile(
    r"gloo|nccl|connection (was )?(closed|reset|refused)|broken pipe|timed? ?out|process ?group", re.IGNORECASE
)
_STORE_SECONDS = 10.0


class _Stopped(BaseException):
    """SIGTERM: a launcher stops the processes that are left where one has ended."""


def asked_to_shard(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `accelerate launch` was told to shard (--use_fsdp)."""
    return environment.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")


@contextmanager
def together() -> Iterator[Processes]:
    """Inside, `processes` are all that the launcher started; without a launcher nothing changes.

    Where one of them fails the others end, too: with SystemExit(2) if the cause was said, else with InputError.  What
    was finished until then lies in the run's folder.
    """
    if os.environ.get("WORLD_SIZE", "").strip() in ("", "1"):
        yield ALONE
        return
    own, wait = _place(os.environ), _waits(os.environ)
    store = _joined(own, wait or _WAIT)
    # Registered before anything that the run registers, and therefore called after it.
    ending = _Ending()
    _ENDINGS.append(ending)
    atexit.register(ending)
    try:
        # Only now: what is wrong in all of them is said by one.
        if wait is None:
            raise InputError(
                f"PLURALIGN_WAIT: expected seconds, got '{os.environ['PLURALIGN_WAIT']}'", fix=f"write e.g. {_WAIT:g}"
            )
        with _stoppable(), working_together(own):
            yield own
    except BaseException as error:
        ending.remember_groups()
        # One of those that fail together speaks: the first to say so.
        first = _first_to_fail(store)
        if not isinstance(error, KeyboardInterrupt | _Stopped):
            _outlast(store, own)
        if not first:
            ending.code = max(2, _code_of(error))
            raise SystemExit(ending.code) from None
        lost = _lost(error, own, wait or _WAIT)
        ending.code = _code_of(error) if lost is None else 2
        if lost is None:
            raise
        raise InputError(lost, fix="give the same command again: finished pieces are kept") from error
    ending.remember_groups()
    distributed.destroy_process_group()
    # A spread base is in cycles, and holds its group.
    gc.collect()


def _joined(own: Processes, wait: float) -> Any:
    """The store of all processes, which are ready for each other's numbers."""
    if not distributed.is_available():
        raise InputError(
            "this build of torch has no torch.distributed", fix="install one that has, or start one process"
        )
    patience = timedelta(seconds=wait)
    backend = "gloo"
    if torch.cuda.is_available() and distributed.is_nccl_available():
        backend = "cpu:gloo,cuda:nccl"
    try:
        store, _, _ = next(iter(distributed.rendezvous("env://", timeout=patience)))
        mine = distributed.PrefixStore("pluralign", store)
        distributed.init_process_group(backend, store=mine, rank=own.rank, world_size=own.world, timeout=patience)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"process {own.rank} of {own.world} did not meet the others in {wait:g} s ({reason})",
            fix=f"start as many as WORLD_SIZE says, or {_START}",
        ) from error
    # Asked only at the end, perhaps of a process that is no more.
    mine.set_timeout(timedelta(seconds=_STORE_SECONDS))
    return mine


def _place(environment: Mapping[str, str]) -> Processes:
    """Which of the processes this one is, by its environment."""
    world, rank = _number(environment, "WORLD_SIZE"), _number(environment, "RANK")
    local_rank = _number(environment, "LOCAL_RANK", rank)
    local_world = _number(environment, "LOCAL_WORLD_SIZE", world)
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if not environment.get(name):
            raise InputError(f"WORLD_SIZE is {world}, and there is no {name}", fix=f"{_START}, or unset WORLD_SIZE")
    if not (0 <= rank < world and 0 <= local_rank < local_world <= world):
        raise InputError(
            f"RANK {rank} of WORLD_SIZE {world}, LOCAL_RANK {local_rank} of LOCAL_WORLD_SIZE {local_world}: no such "
            "process", fix=f"{_START}, or unset WORLD_SIZE",
        )  # fmt: skip
    return Processes(rank, world, local_rank, local_world)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        given = "there is none" if text is None else f"got '{text}'"
        raise InputError(
            f"several processes need a whole number as {name} ({given})", fix=f"{_START}, or unset WORLD_SIZE"
        ) from None


def _waits(environment: Mapping[str, str]) -> float | None:
    """Seconds; None where what is given is no number of them."""
    try:
        seconds = float(environment.get("PLURALIGN_WAIT", _WAIT))
    except ValueError:
        return None
    return seconds if 0 < seconds < 1e7 else None


def _first_to_fail(store: Any) -> bool:
    """Whether no other process has said yet why it ends; so, too, where nobody is left to ask."""
    try:
        return bool(store.add("failed", 1) == 1)
    except (RuntimeError, ValueError):
        return True


def _outlast(store: Any, own: Processes) -> None:
    """The process that holds what all ask leaves when they have asked, or soon: those that find it gone speak, too.

    Those that wait for its numbers learn of it when its connections close; NCCL's would wait for what is under way.
    """
    until = time.monotonic() + _MOMENT
    with suppress(RuntimeError, ValueError):
        if own.is_first and distributed.get_backend() == "gloo":
            distributed.destroy_process_group()
        while own.is_first and store.add("failed", 0) < own.world and time.monotonic() < until:
            time.sleep(0.02)


class _Ending:
    """The end of a process that was one of several, when everything else that waits for the end is done.

    While something holds a process group - modules of a spread base that somebody still names do, after
    destroy_process_group, too - gloo's threads live on, and taking them down with the interpreter aborts the program
    ("terminate called without an active exception", exit -6; torch 2.13: 6 of 12 ends on two busy cores, 0 of 8 without
    modules).  So where others are lost: gloo still waits for them.  Such a process leaves at once.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        self.groups: list[weakref.ref[Any]] = []

    def remember_groups(self) -> None:
        """All there are now, to see at the end which of them are still held."""
        self.groups = [weakref.ref(group) for group in distributed_c10d._world.pg_map]

    def __call__(self) -> None:
        if self.code is None and all(group() is None for group in self.groups):
            return
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        # An error that nobody caught was shown by now, which is what the interpreter would say, too.
        uncaught = getattr(sys, "last_value", None) is not None
        os._exit(self.code if self.code is not None else int(uncaught))


def _code_of(error: BaseException) -> int:
    """The exit code of a program that ends by it."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, InputError) else 1


_ENDINGS: list[_Ending] = []


def ends_with(code: int) -> None:
    """Said last by a program that knows its exit code: where processes were together, it is the code of this one.

    One that ends well and does not say so ends with 0, or 1 after an error that nobody caught.
    """
    for ending in _ENDINGS:
        ending.code = code or ending.code or 0


def _lost(error: BaseException, own: Processes, wait: float) -> str | None:
    """What is said where a process ends because of others; None of an error of its own."""
    who = f"process {own.rank} of {own.world}"
    if isinstance(error, _Stopped):
        return f"{who} was stopped (SIGTERM), as launchers do where another process has ended"
    if isinstance(error, RuntimeError) and _LOST.search(str(error)):
        silent = re.search(r"timed? ?out", str(error), re.IGNORECASE) is not None
        return f"{who} lost the others: " + (f"one was silent for {wait:g} s" if silent else "one has ended")
    return None


@contextmanager
def _stoppable() -> Iterator[None]:
    """Inside, SIGTERM unwinds this process, so that it can say why it ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except BaseException:
        # It is ending; the signal that comes then must not keep it from saying why.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise
    signal.signal(signal.SIGTERM, before)
