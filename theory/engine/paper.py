"""A paper whose claims are checked: what its package says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """`PAPER` in the `__init__` of a package of claims; its claims are the `THEOREMS` of the package's modules.

    name: the package's, by which claims say whose they are.  source: where it can be read; every claim's own source
    begins with it.  place: in lists, lower ones first.
    """

    name: str
    source: str
    title: str
    authors: str
    place: int
