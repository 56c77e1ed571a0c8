"""What a method of one's own says of itself, looked at: the sizes and ridges that it tries, and that its model comes
back from what is saved of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np

from sim.errors import InputError, short
from sim.fitting.chances import log_chances
from sim.fitting.method import Grid, Method, Problem
from sim.fitting.methods import METHODS
from sim.fitting.prepare import Answers
from sim.plugins import blaming
from sim.preferences import AnyArray

# Parameters may be kept in single precision.
_RESTORED = 1e-3


def grid_of(method: Method[Any], problem: Problem) -> Grid:
    """`method.grid`.  Errors: InputError where it is no `Grid` of whole sizes and ridges that penalize."""
    found: Any = method.grid(problem)
    if METHODS.is_ours(method.name):
        return cast("Grid", found)
    said, fix = f"method {method.name}: grid", "return Grid((0,), (0.1, 1.0), untried=1.0), of sim.fitting.method"
    if not isinstance(found, Grid):
        raise InputError(f"{said} must return a Grid (got {short(found)})", fix=fix)
    told: dict[str, Any] = {}
    for name in ("sizes", "ridges", "lower"):
        values = getattr(found, name)
        try:
            told[name] = tuple(values)
        except TypeError:
            raise InputError(f"{said}: {name} must be several numbers (got {short(values)})", fix=fix) from None
    if not told["ridges"]:
        raise InputError(f"{said}: ridges must hold one at least (got none)", fix=fix)
    for size in told["sizes"]:
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0:
            raise InputError(f"{said}: sizes must be whole numbers, 0 or more (got {short(size)})", fix=fix)
    for ridge in (*told["ridges"], *told["lower"], found.untried):
        number = isinstance(ridge, int | float | np.integer | np.floating) and not isinstance(ridge, bool)
        if not number or not 0.0 <= ridge < np.inf:
            raise InputError(f"{said}: ridges must be finite numbers, 0 or more (got {short(ridge)})", fix=fix)
    return replace(found, **told)


def require_restored(method: Method[Any], model: Any, parameters: dict[str, AnyArray | None], answers: Answers) -> None:
    """InputError where what is restored from `parameters` gives these answers other chances than the model does."""
    if METHODS.is_ours(method.name) or not len(answers):
        return
    with blaming(f"method {method.name}: restore"):
        restored = method.restore(parameters)
    with blaming(f"method {method.name}: log_likelihood of what restore gives"):
        one, other = (log_chances(method, each, answers) for each in (model, restored))
    apart = np.flatnonzero(~np.isclose(one, other, rtol=_RESTORED, atol=_RESTORED))
    if len(apart):
        i = int(apart[0])
        raise InputError(
            f"method {method.name}: restore must give back the model; log P of an answer is {one[i]:.6g} by the fit "
            f"and {other[i]:.6g} by what is restored ({len(apart)} of {len(answers)} such)",
            fix="let parameters hold all that log_likelihood reads, and restore read it",
        )  # fmt: skip
