"""Faults planted in the code of personalization."""

from __future__ import annotations

from functools import partial

from theory.mutation.fault import Fault

_fault = partial(Fault, paper="personalization")
_MECHANISM = "sim.algorithms.mechanism"

FAULTS: tuple[Fault, ...] = (
    _fault(
        id="payment-halved", place=f"{_MECHANISM}:Mechanism.outcome",
        old="(now - then).sum(axis=-1)", new="0.5 * (now - then).sum(axis=-1)",
        what="the mechanism charges half of what a lie costs the others",
    ),
    _fault(
        id="payment-doubled", place=f"{_MECHANISM}:Mechanism.outcome",
        old="(now - then).sum(axis=-1)", new="2.0 * (now - then).sum(axis=-1)",
        what="the mechanism charges twice what a lie costs the others",
    ),
)  # fmt: skip
