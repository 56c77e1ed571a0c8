"""The option --alpha: a number, -inf or inf."""

from __future__ import annotations

import math
from typing import Any

import click


class Alpha(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """A number, -inf or inf."""

    name = "number|-inf|inf"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            self.fail(f"expected a number, -inf or inf, got '{value}'", param, ctx)
        return number
