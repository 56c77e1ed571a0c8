"""Faults planted in the code of calibration."""

from __future__ import annotations

from functools import partial

from theory.mutation.fault import Fault

_fault = partial(Fault, paper="calibration")

FAULTS: tuple[Fault, ...] = ()
