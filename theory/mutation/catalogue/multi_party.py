"""Faults planted in the code of multi_party."""

from __future__ import annotations

from functools import partial

from theory.mutation.fault import Fault

_fault = partial(Fault, paper="multi_party")

FAULTS: tuple[Fault, ...] = ()
