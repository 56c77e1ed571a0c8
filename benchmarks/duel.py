"""One duel: our kernel, its opponents on the same problem, and a check that they agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from limits import Work


class Skipped(Exception):
    """A duel that this installation cannot run, and why."""


@dataclass(frozen=True)
class Candidate:
    """`run` does 1 / `scale` of the work, for opponents too slow to be given all of it."""

    run: Callable[[], Any]
    scale: float = 1.0


@dataclass(frozen=True)
class Duel:
    """ours against each opponent, with the ratio to reach (0: none stated).

    threads: for our kernel and for BLAS alike.  agree: raises if two answers differ, given ours and an
    opponent's name and answer.  repeats: turns each gets.  limit: what of our run has to be done on any machine.
    """

    work: str
    ours: Candidate
    opponents: dict[str, tuple[Candidate, float]]
    agree: Callable[[Any, str, Any], None]
    threads: int = 2
    repeats: int = 7
    limit: Work | None = None
