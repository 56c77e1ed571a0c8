"""Settings that nothing in a fit would read: refused, so that nobody takes them for having done something."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sim.errors import InputError
from sim.fitting.beside import asked_beside
from sim.fitting.choose import methods_beside
from sim.fitting.method import Method, Problem
from sim.fitting.methods import METHODS, find_method
from sim.fitting.own_methods import grid_of
from sim.fitting.settings import FitSettings

_DEFAULTS = {field.name: field.default for field in fields(FitSettings)}
# As many people and features as limit no grid.
_MANY = 1 << 20


def require_heeded(settings: FitSettings) -> None:
    """Refuse max_types, restarts and beta other than their defaults where neither the method nor one beside it reads
    them; a method of one's own may read any.

    Errors: InputError names the argument.
    """
    if not METHODS.is_ours(settings.method):
        return
    asked = find_method(settings.method)
    beside = asked_beside(asked, settings.beside)
    if any(not METHODS.is_ours(method.name) for method in beside):
        return
    # Low rank brings the methods beside it along, which read the rank alone.
    fitted = [asked] if hasattr(asked, "fit_all") else methods_beside(asked, beside)
    if _given(settings, "max_types") and not any(_reads_largest(method, asked, settings) for method in fitted):
        why = "n_types says it" if settings.n_types is not None else f"{asked.name} has no number to choose"
        raise InputError(f"max_types: no number of types or clusters is chosen here: {why}", fix="leave it out")
    if _given(settings, "restarts") and not any(_reads_restarts(method, asked, settings) for method in fitted):
        raise InputError(f"restarts: nothing in a fit of {asked.name} starts at random", fix="leave it out")
    if _given(settings, "beta") and not asked.reads_beta:
        raise InputError(f"beta: {asked.name} reports no policies, whose temperature it is", fix="leave it out")


def _given(settings: FitSettings, name: str) -> bool:
    return bool(getattr(settings, name) != _DEFAULTS[name])


def _size(method: Method[Any], asked: Method[Any], settings: FitSettings) -> int | None:
    """The size that is told, as `sim.fitting.choose` tells it; None: to be chosen."""
    if method is not asked and not (asked.sizes_shared and method.sizes_shared):
        return None
    return 1 if asked.sizes_shared and asked.least_size == 0 else settings.n_types


def _reads_largest(method: Method[Any], asked: Method[Any], settings: FitSettings) -> bool:
    size = _size(method, asked, settings)
    if size is not None or method.size_from is not None or method.like is not None:
        return False
    return not grid_of(method, Problem(_MANY, _MANY, None, settings.ridge, settings.max_types)).fixed


def _reads_restarts(method: Method[Any], asked: Method[Any], settings: FitSettings) -> bool:
    size = _size(method, asked, settings)
    return method.reads_restarts and (size is None or size >= method.least_size)
