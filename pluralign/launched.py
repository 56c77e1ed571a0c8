"""Commands that torchrun or `accelerate launch` started several times.

Nothing but the standard library and click is imported unless a launcher says that there are several processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click


def several_processes() -> bool:
    """Whether a launcher says that this is one of several processes."""
    return os.environ.get("WORLD_SIZE", "").strip() not in ("", "1")


@contextmanager
def among_processes(shared: bool) -> Iterator[bool]:
    """Whether this process is to do its command; around it, where the processes share it, they are together.

    A command that is not shared is the first one's: the others have nothing to do.
    """
    if not several_processes():
        yield True
    elif not shared:
        yield os.environ.get("RANK", "0").strip() == "0"
    else:
        yield from _together()


def _together() -> Iterator[bool]:
    from llm.base.joining import together
    from pluralign.ownership import require_own_llm

    require_own_llm()
    done: click.exceptions.Exit | None = None
    with together():
        try:
            yield True
        except click.exceptions.Exit as asked:  # help was shown, by each of them
            done = asked
    if done is not None:
        raise done


def is_first() -> bool:
    """Whether this process is the one that speaks and writes."""
    return not several_processes() or os.environ.get("RANK", "0").strip() == "0"
