"""Parameters that are numbers: the last optimiser step has no loss after it that would tell."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sim.errors import InputError


def require_finite(parameters: Mapping[str, torch.Tensor], what: str, field: str, rate: float) -> None:
    """InputError where a parameter is NaN or infinite: nothing is to be written then."""
    for name, value in parameters.items():
        if not bool(torch.isfinite(value.detach()).all()):
            raise InputError(
                f"{what} diverged: {name} is not finite after an optimiser step", field=field,
                fix=f"lower the rate (now {rate:g})",
            )  # fmt: skip
