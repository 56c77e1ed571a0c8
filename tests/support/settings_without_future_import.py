"""A setting whose annotations are objects, not strings: no `from __future__ import annotations` here."""

from dataclasses import dataclass
from typing import Literal

from sim.studies.setting_checks import Count, check_kinds


@dataclass(frozen=True)
class Plain:
    n: int = 1
    zero: Count = 0
    share: float = 0.5
    fast: bool = False
    name: str = "x"
    rule: Literal["nash", "leximin"] = "nash"
    several: tuple[float, ...] = (1.0,)
    two: tuple[int, str] = (1, "a")
    maybe: float | None = None
    either: int | str = "all"

    def __post_init__(self):
        check_kinds(self)


@dataclass(frozen=True)
class Unclear:
    anything: list = ()

    def __post_init__(self):
        check_kinds(self)
