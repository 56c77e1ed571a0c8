"""What a claim must give to the check, part by part, and the line that says which part it did not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sim.errors import InputError
from theory.engine.columns import EachSlope
from theory.engine.judges import Bound, Equivalent, Frequency, MeanAtLeast, MeanAtMost, Slope
from theory.engine.theorem import Control, Measurement, Premise, Setting, Theorem, Variant

# Judges of one number a replicate: of an array they would judge all its numbers as so many replicates.
_OF_NUMBERS = (MeanAtMost, MeanAtLeast, Equivalent, Frequency)


def _refuse(theorem: Theorem[Any], said: str, fix: str | None = None) -> InputError:
    return InputError(f"claim '{theorem.claim_id}': {said}", fix=fix)


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"the {value.__name__} class" if isinstance(value, type) else f"a {type(value).__name__}"


def require_variants(theorem: Theorem[Any]) -> None:
    for name, variant in theorem.SETTINGS.items():
        if not isinstance(name, str) or not isinstance(variant, Variant):
            raise _refuse(theorem, f"SETTINGS must map names to Variant (got {_kind(variant)} at {str(name)[:40]!r})",
                          "write Variant(setting)")  # fmt: skip
        require_setting(theorem, variant.setting, f"variant {name}")


def require_setting(theorem: Theorem[Any], setting: object, where: str) -> None:
    if not isinstance(setting, Setting):
        raise _refuse(
            theorem, f"{where} must hold a Setting (got {_kind(setting)})", "give an instance of your Setting"
        )
    n = setting.replicates
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise _refuse(theorem, f"{where}: replicates must be a whole number from 1 (got {str(n)[:40]})")
    try:
        setting.key()
    except InputError as error:
        raise _refuse(theorem, f"{where}: {error.problem}", error.fix) from None


def require_bound(theorem: Theorem[Any], bound: object) -> None:
    if isinstance(bound, type) or not all(hasattr(bound, part) for part in ("limit", "relation", "judge")):
        raise _refuse(theorem, f"bound must return a limit and how it is judged (got {_kind(bound)})",
                      "for example MeanAtMost(1.0)")  # fmt: skip
    limit = getattr(bound, "limit", None)
    if isinstance(limit, bool) or not isinstance(limit, int | float | np.number) or math.isnan(float(limit)):
        raise _refuse(theorem, f"the limit of its bound must be a number (got {_kind(limit)}, {str(limit)[:40]})")
    if isinstance(bound, Frequency) and not 0.0 <= bound.limit <= 1.0:
        raise _refuse(theorem, f"the limit of a frequency must lie in 0..1 (got {bound.limit:g})",
                      "what values are compared with is the threshold")  # fmt: skip


def require_controls(theorem: Theorem[Any], controls: Any) -> None:
    given = "" if isinstance(controls, tuple | list) else _kind(controls)
    odd = given or next((_kind(one) for one in controls if not isinstance(one, Control)), "")
    if odd:
        inside = "" if given else " in them"
        raise _refuse(theorem, f"control must return a tuple of Control (got {odd}{inside})",
                      "write (Control(name, setting),), with its comma")  # fmt: skip
    for one in controls:
        require_setting(theorem, one.setting, f"control '{one.name}'")


def require_premises(theorem: Theorem[Any], premises: Any) -> None:
    given = "" if isinstance(premises, tuple | list) else _kind(premises)
    odd = given or next((_kind(one) for one in premises if not isinstance(one, Premise)), "")
    if odd:
        inside = "" if given else " in them"
        raise _refuse(theorem, f"premises must return a tuple of Premise (got {odd}{inside})",
                      "write (Premise(...),), with its comma")  # fmt: skip


def require_measurement(theorem: Theorem[Any], setting: Setting, bound: Bound, measured: object) -> None:
    """Values of the shape that the bound judges, one row a replicate."""
    if not isinstance(measured, Measurement):
        raise _refuse(theorem, f"measure must return a Measurement (got {_kind(measured)})")
    values, grid = measured.values, measured.grid
    if not isinstance(values, np.ndarray) or values.ndim == 0 or values.dtype.kind not in "fiub":
        raise _refuse(theorem, f"its values must be an array of numbers (got {_kind(values)})")
    if measured.drawn != setting.replicates:
        raise _refuse(theorem, f"expected {setting.replicates} replicates, got {measured.drawn}",
                      "measure has a row a replicate")  # fmt: skip
    if not len(values):
        return  # None of them tested anything.
    each = values.shape[1:]
    if isinstance(bound, _OF_NUMBERS) and each:
        raise _refuse(theorem, f"'{bound.relation}' judges one number a replicate (got arrays of shape {each})",
                      "draw returns a number; EveryDraw, Exactly and Slope take arrays")  # fmt: skip
    if values.size == 0:
        raise _refuse(theorem, f"expected at least one number a replicate, got arrays of shape {each}")
    if isinstance(bound, Slope) or grid is not None:
        _require_grid(theorem, bound, each, grid)


def _require_grid(theorem: Theorem[Any], bound: Bound, each: tuple[int, ...], grid: object) -> None:
    if not isinstance(grid, np.ndarray) or grid.ndim != 1:
        raise _refuse(theorem, f"'{bound.relation}' needs a grid, an array of one axis (got {_kind(grid)})",
                      "return it from `grid`")  # fmt: skip
    # Of several rates at once the columns stand behind the grid's points.
    points = each[:-1] if isinstance(bound, EachSlope) else each
    if points != grid.shape:
        raise _refuse(theorem, f"expected {len(grid)} numbers a replicate, one a grid point (got shape {each})")
    if isinstance(bound, Slope) and (len(grid) < 3 or not ((grid > 0) & np.isfinite(grid)).all()):
        raise _refuse(theorem, "a slope needs a grid of at least 3 points, all positive and finite "
                      f"(got {' '.join(map(str, grid[:5]))})")  # fmt: skip
