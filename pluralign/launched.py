"""Commands that torchrun or `accelerate launch` started several times.

Nothing but the standard library and click is imported unless a launcher says that there are several processes.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click


def several_processes() -> bool:
    """Whether a launcher says that this is one of several processes."""
    return os.environ.get("WORLD_SIZE", "").strip() not in ("", "1")


def is_first() -> bool:
    """Whether this process is the one that speaks."""
    return not several_processes() or os.environ.get("RANK", "0").strip() == "0"


def ends_with(code: int) -> None:
    """The exit code of this process, also where it must leave without taking down what torch left of the others."""
    joining = sys.modules.get("llm.base.joining")
    if joining is not None:
        joining.ends_with(code)


@contextmanager
def among_processes(shared: bool) -> Iterator[bool]:
    """Whether this process is to do its command; around it, where the processes share it, they are together.

    A command that is not shared is the first one's: the others have nothing to do.  Results are printed once.
    """
    if not several_processes():
        yield True
    elif shared:
        with contextlib.nullcontext() if is_first() else contextlib.redirect_stdout(io.StringIO()):
            yield from _together()
    else:
        yield is_first()


def _together() -> Iterator[bool]:
    # Torch writes the frames of its own code below every warning; read when it is loaded.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from llm.base.joining import together
    from pluralign.ownership import require_own_llm

    require_own_llm()
    shown: click.exceptions.Exit | None = None
    with together():
        try:
            yield True
        except click.exceptions.Exit as done:  # of help, which is no failure
            shown = done
    if shown is not None:
        raise shown
