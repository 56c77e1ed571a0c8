"""Single cells of answer files: weights, ties, strengths, prompts; what is wrong is said with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.errors import InputError, short
from sim.files.conversations import Forms
from sim.files.file_rows import decoded

# Lightest and heaviest weight of an answer.
WEIGHTS = (1e-6, 1e6)
# How much chosen may be above rejected.
STRENGTHS = (1, 100)


def cell_weight(value: Any, where: Mapping[str, Any]) -> float:
    """A weight, 0 for a row that is to be left out."""
    least, most = WEIGHTS
    number = not isinstance(value, bool) and isinstance(value, int | float)
    if not number or (value != 0 and not least <= value <= most):
        raise InputError(
            f"expected a positive number, got {short(value)}", fix="give a weight between 1e-6 and 1e6, or 0 for a row "
            "to be left out", **where,
        )  # fmt: skip
    return float(value)


def cell_tie(value: Any, where: Mapping[str, Any]) -> bool:
    """Whether neither is better; nothing said is no."""
    if value is not None and not (isinstance(value, int) and value in (0, 1)):
        raise InputError(f"expected true or false, got {short(value)}", fix="say whether neither is better", **where)
    return bool(value)


def cell_strength(value: Any, where: Mapping[str, Any]) -> int:
    """How much chosen is above rejected."""
    whole = not isinstance(value, bool) and isinstance(value, int | float) and value == value // 1
    least, most = STRENGTHS
    if not whole or not least <= value <= most:
        raise InputError(
            f"expected a whole number from {least} to {most}, got {short(value)}",
            fix="say how much chosen is above rejected", **where,
        )  # fmt: skip
    return int(value)


def cell_prompt(value: Any, where: dict[str, Any], forms: Forms) -> str:
    """A prompt as one text; none is the empty one."""
    value = forms.text(value, "prompt", where)
    if isinstance(value, bytes):
        return decoded(value, where)
    if isinstance(value, list | dict):
        fix = "give the text of the prompt, or its messages"
        raise InputError(f"expected text or a list of messages, got {short(value)}", fix=fix, **where)
    return "" if value is None else str(value)
