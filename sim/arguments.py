"""Arguments checked once, at the border: what a public function of `sim` takes is what it says it takes.

A message names the argument, says what was expected and what came, and what to do; the command line translates
arguments to its options. Kernels behind the border check nothing: an index beyond an array would be read there.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.arrays import AnyArray, FloatArray, IntArray
from sim.errors import InputError, short

# How far an opinion's sum may be from one: what six printed digits of each of a hundred candidates can add up to.
SUM_TOLERANCE = 1e-4


def float_array(name: str, values: Any, shape: Sequence[int | str | None], *, finite: bool = True) -> FloatArray:
    """`values` as finite float64 of that shape.

    shape: a number is required as it is; None or a letter ("n") may be anything, the letter names it in the message.
    finite: False where whoever uses them sees to that.
    """
    found = np.asarray(values)
    if found.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold numbers (got {found.dtype})")
    require_shape(name, found, shape)
    out = np.asarray(found, dtype=np.float64)
    if finite:
        require_finite(**{name: out})
    return out


def require_shape(name: str, values: AnyArray, shape: Sequence[int | str | None]) -> None:
    """The axes of `values` are those of `shape` (see `float_array`)."""
    fits = values.ndim == len(shape) and all(
        not isinstance(wanted, int) or got == wanted for got, wanted in zip(values.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if axis is None else str(axis) for axis in shape)
        raise ValueError(f"{name} must be ({wanted}{',' if len(shape) == 1 else ''}) (got {values.shape})")


def require_same_rows(**arrays: AnyArray | None) -> int:
    """All have as many rows as the first, which is returned; None is left out."""
    given = {name: len(values) for name, values in arrays.items() if values is not None}
    first, rows = next(iter(given.items()))
    for name, found in given.items():
        if found != rows:
            raise ValueError(f"{first} has {rows} rows and {name} {found}; they must be as many, one an answer each")
    return rows


def require_finite(**arrays: AnyArray | None) -> None:
    """No NaN and no infinity."""
    for name, values in arrays.items():
        if values is None:
            continue
        # The sum is not finite where an entry is not, and rarely where all are: one pass in place of a mask.
        with np.errstate(over="ignore", invalid="ignore"):
            whole = np.isfinite(np.asarray(values).sum())
        if not whole and not np.isfinite(values).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            at = place[0] if len(place) == 1 else place
            raise ValueError(f"{name} must be finite (got {np.asarray(values)[place]} at {at}); remove or repair it")


def require_same_shape(**arrays: AnyArray) -> None:
    """All have the shape of the first."""
    (first, wanted), *others = ((name, np.shape(values)) for name, values in arrays.items())
    for name, found in others:
        if found != wanted:
            raise ValueError(f"{name} must have the shape of {first}, {wanted} (got {found})")


def index_array(name: str, values: Any, high: int | None = None) -> IntArray:
    """`values` as int64 in 0..high-1; None: any number from 0 on."""
    found = np.asarray(values)
    if found.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold whole numbers (got {found.dtype}); number from 0")
    if found.size and (found.min() < 0 or (high is not None and found.max() >= high)):
        limit = "be at least 0" if high is None else f"lie in 0..{high - 1}"
        raise ValueError(f"{name} must {limit} (got {found.min()}..{found.max()}); number from 0")
    return np.asarray(found, dtype=np.int64)


def weight_array(name: str, values: Any, n: int) -> FloatArray:
    """(n,) finite weights, none negative; ones for None."""
    if values is None:
        return np.ones(n)
    found = float_array(name, values, (n,))
    if found.size and found.min() < 0:
        raise ValueError(f"{name} must not be negative (got {found.min()})")
    return found


def require_index(name: str, value: int, high: int) -> None:
    """A whole number in 0..high-1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < high:
        raise ValueError(f"{name} must be a whole number in 0..{high - 1} (got {value!r}); number from 0")


def require_choice(name: str, value: str, options: Sequence[str]) -> None:
    """One of the words in `options`."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)} (got {value!r})")


def require_between(low: float, high: float, **numbers: float) -> None:
    """Each is a number in low..high, both included; NaN is refused."""
    for name, value in numbers.items():
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in {low:g}..{high:g} (got {value})")


def require_number(**numbers: float) -> None:
    """Each is a finite number."""
    for name, value in numbers.items():
        if not -float("inf") < value < float("inf"):
            raise ValueError(f"{name} must be a finite number (got {value})")


def require_positive(**numbers: float) -> None:
    """Each is a finite number above zero."""
    for name, value in numbers.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be positive and finite (got {value})")


def require_not_negative(**numbers: float) -> None:
    """Each is a finite number of at least zero."""
    for name, value in numbers.items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be finite and not negative (got {value})")


def whole_number(name: str, value: Any) -> int:
    """A whole number of whatever kind (Python's, NumPy's) as Python's own, which JSON holds; a truth value is none."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise InputError(f"{name} must be a whole number (got {short(value)})", fix="for example 1")


# Beyond it a whole number is none of a kernel's; nobody can wait for a tenth of it.
LARGEST_COUNT = 10**15


def require_count(name: str, value: int, least: int = 1, most: int | None = None) -> None:
    """A whole number in least..most; never more than an array can be long or a kernel count."""
    largest = LARGEST_COUNT if most is None else most
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not least <= value <= largest:
        limit = f"{least}..{largest}" if most is not None or (whole and value > largest) else f"at least {least}"
        raise ValueError(f"{name} must be a whole number, {limit} (got {short(value)})")


def probability_array(name: str, values: Any, shape: Sequence[int | str | None], tolerance: float = 1e-6) -> FloatArray:
    """Rows of probabilities: none negative, the last axis sums to 1."""
    found = float_array(name, values, shape)
    if found.size and (found.min() < 0 or np.abs(found.sum(axis=-1) - 1.0).max() > tolerance):
        sums = found.sum(axis=-1)
        worst = float(np.ravel(sums)[int(np.abs(sums - 1.0).argmax())])
        raise ValueError(f"{name} must be probabilities that sum to 1 (least {found.min():.6g}, a sum of {worst:.6g})")
    return found
