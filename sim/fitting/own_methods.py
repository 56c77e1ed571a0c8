"""What a method of one's own says of itself, looked at: the sizes and ridges that it tries, what it says of its fit,
and that its model comes back from what is saved of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from sim.errors import InputError, short
from sim.fitting.chances import log_chances
from sim.fitting.described import Group
from sim.fitting.method import Diagnosis, Fits, Grid, Method, Problem, Say
from sim.fitting.methods import METHODS
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.settings import FitSettings
from sim.plugins import blaming
from sim.preferences import AnyArray, FloatArray
from sim.printable import printable
from sim.streams import Stream

# Parameters may be kept in single precision.
_RESTORED = 1e-3
# Characters of a mistake that is told as a warning.
_WORDS = 500


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


def diagnosed(
    asked: Method[Any], fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say
) -> Diagnosis:
    """`asked.diagnostics`.  What one of one's own raises there, or in its table, or says that no file can hold, is a
    warning: the fit is whole without."""
    if METHODS.is_ours(asked.name):
        return asked.diagnostics(fits, prepared, settings, stream, say)
    said = f"method {asked.name}: diagnostics"
    try:
        with blaming(said):
            found: Any = asked.diagnostics(fits, prepared, settings, stream, say)
        if not isinstance(found, Diagnosis):
            raise InputError(f"{said} must return a Diagnosis (got {short(found)})")
        _require_json(found, said)
        diagnosis = found
    except InputError as error:
        diagnosis = Diagnosis(warnings=(_left_out(error),))
    try:
        table_of(asked, fits.model, prepared.n_annotators)
    except InputError as error:
        diagnosis = replace(diagnosis, warnings=(*diagnosis.warnings, _left_out(error)))
    return diagnosis


def described(
    asked: Method[Any], fits: Fits, prepared: Prepared, stream: Stream
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """(`asked.describe`, warnings).  What one of one's own raises there or in its shares, and those beside it, too, in
    their numbers of types, is a warning: the fit is whole without."""
    warnings, groups = [], ()
    for name in fits.fitted:
        try:
            if name == asked.name:
                _shares(asked, fits.model)
            _n_types(fits, name, prepared)  # after shares, which it counts, so that their mistake is told once
        except InputError as error:
            warnings.append(_left_out(error))
    if METHODS.is_ours(asked.name):
        return asked.describe(fits.model, prepared, fits.centre, stream), tuple(warnings)
    said = f"method {asked.name}: describe"
    try:
        with blaming(said):
            found: Any = asked.describe(fits.model, prepared, fits.centre, stream)
        if not isinstance(found, tuple | list) or not all(isinstance(group, Group) for group in found):
            raise InputError(f"{said} must return a tuple of Group, () where it has none (got {short(found)})")
        groups = tuple(found)
    except InputError as error:
        warnings.append(_left_out(error))
    return groups, tuple(warnings)


def shares_of(method: Method[Any], model: Any) -> FloatArray:
    """`method.shares`; one share where one of one's own says nothing that shares could be (`described` warns)."""
    try:
        return _shares(method, model)
    except InputError:
        return np.ones(1)


def n_types_of(fits: Fits, name: str, prepared: Prepared) -> int:
    """`n_types` of the method of that name, 0 if it is not fitted; 1 where one of one's own says no number (`described`
    warns)."""
    if name not in fits.fitted:
        return 0
    try:
        return _n_types(fits, name, prepared)
    except InputError:
        return 1


def _shares(method: Method[Any], model: Any) -> FloatArray:
    if METHODS.is_ours(method.name):
        return method.shares(model)
    said = f"method {method.name}: shares"
    with blaming(said):
        found = np.asarray(method.shares(model))
    if found.ndim != 1 or found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise InputError(f"{said} must return a vector of numbers, np.ones(1) where all are one (got {short(found)})")
    return found


def _n_types(fits: Fits, name: str, prepared: Prepared) -> int:
    method, model = fits.fitted[name]
    size = fits.choice.chosen[name].size if name in fits.choice.chosen else 0
    if METHODS.is_ours(name):
        return method.n_types(model, size, prepared)
    said = f"method {name}: n_types"
    with blaming(said):
        found: Any = method.n_types(model, size, prepared)
    if isinstance(found, bool) or not isinstance(found, int | np.integer):
        raise InputError(f"{said} must return a whole number (got {short(found)})")
    return int(found)


def _left_out(error: InputError) -> str:
    # A warning goes to terminals and files as it is, whatever was raised.
    said = printable(error.problem)
    return f"{said if len(said) <= _WORDS else said[: _WORDS - 3] + '...'}; the fit is without it"


def _require_json(found: Diagnosis, said: str) -> None:
    if not all(isinstance(line, str) for line in found.warnings):
        raise InputError(f"{said}: warnings must be texts (got {short(found.warnings)})")
    try:
        json.dumps(dict(found.parts), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{said}: parts must hold what JSON can ({error})") from error


def table_of(method: Method[Any], model: Any, n_annotators: int) -> Mapping[str, AnyArray]:
    """`method.table`.  InputError where one of one's own raises, or gives no columns with a row an annotator."""
    if METHODS.is_ours(method.name):
        return method.table(model)
    with blaming(f"method {method.name}: table"):
        found = {str(name): np.asarray(values) for name, values in method.table(model).items()}
    for name, values in found.items():
        if values.dtype.kind not in "biufUS" or values.ndim < 1 or len(values) != n_annotators:
            raise InputError(
                f"method {method.name}: table: '{name}' must hold numbers or texts, a row for each of {n_annotators} "
                f"annotators (got {values.dtype} {values.shape})"
            )
    return found


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
