"""Faults planted in the code of unobserved_types."""

from __future__ import annotations

from functools import partial

from theory.mutation.fault import Fault

_fault = partial(Fault, paper="unobserved_types")

FAULTS: tuple[Fault, ...] = ()
