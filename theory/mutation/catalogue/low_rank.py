"""Faults planted in the code of low_rank."""

from __future__ import annotations

from functools import partial

from theory.mutation.fault import Fault

_fault = partial(Fault, paper="low_rank")

FAULTS: tuple[Fault, ...] = ()
