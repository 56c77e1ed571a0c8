"""Faults planted by hand, a module a paper: each a mistake that an implementation could well make."""

from __future__ import annotations

import importlib

from sim.errors import InputError
from theory.mutation.fault import Fault

# Of the code of a paper; calibration: of what judges every paper.
NAMES = ("unobserved_types", "multi_party", "personalization", "low_rank", "calibration")


def catalogue(*names: str) -> tuple[Fault, ...]:
    """The faults of these papers, or of all.

    Errors: InputError for an unknown name, or where two faults have one id.
    """
    for name in names:
        if name not in NAMES:
            raise InputError(f"no planted faults of '{name}'", fix=f"choose from {', '.join(NAMES)}")
    found: dict[str, Fault] = {}
    for name in NAMES:
        for fault in importlib.import_module(f"theory.mutation.catalogue.{name}").FAULTS:
            if found.setdefault(fault.id, fault) is not fault:
                raise InputError(f"two planted faults are called '{fault.id}'", fix="give one another id")
    return tuple(fault for fault in found.values() if not names or fault.paper in names)
