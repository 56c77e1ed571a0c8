"""Rules of aggregation by name: ours, those of installed packages, and one's own as `module:NAME`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sim.algorithms.axioms import known_rules
from sim.algorithms.orderings import Ordering, Welfare, aggregation_rule
from sim.errors import InputError
from sim.plugins import Door, blaming
from sim.preferences import FloatArray

# Ours are made, not loaded: `known_rules`, and "Agg[alpha]" for any alpha.
RULES = Door("rule", {})
_AGGREGATE = re.compile(r"Agg\[([^\]]+)\]")


def find_rule(name: str, folder: str | Path | None = None) -> Ordering:
    """The rule of that name: one of `known_rules`, Agg[alpha], an installed package's, or one's own as module:NAME.

    One's own is a function, rewards (n, annotators) -> welfare (n,), or an object with `name` and `sign` (`Ordering`).
    folder: where a module is looked for first; None: the working directory.
    Errors: InputError where there is none, or it is neither.
    """
    ours = {rule.name: rule for rule in known_rules()}
    if name in ours:
        RULES.require_one(name, "sim.algorithms.axioms")
        return ours[name]
    if found := _AGGREGATE.fullmatch(name):
        try:
            return aggregation_rule(float(found[1]))
        except ValueError as error:
            raise InputError(f"rule '{name}': {error}", fix="write a number, as in Agg[-1]") from error
    if ":" not in name and name not in RULES.names():
        known = ", ".join((*ours, *RULES.names()))
        fix = RULES.file_of(name) or f"choose one of {known}, or module:NAME"
        raise InputError(f"rule: there is none called '{name}'", fix=fix)
    return as_rule(RULES.find(name, folder), name)


def as_rule(found: Any, name: str = "") -> Ordering:
    """A function (n, annotators) -> (n,), or an ordering, as an ordering whose answers are looked at."""
    if isinstance(found, type):
        with blaming(f"rule '{name}'"):
            found = found()
    if callable(getattr(found, "sign", None)) and hasattr(found, "name"):
        return _Watched(found)
    if not callable(found):
        raise InputError(
            f"rule '{name}': expected a function, got {type(found).__name__}",
            fix="write a function: rewards (n, annotators) -> welfare (n,)",
        )
    return Welfare(name or getattr(found, "__name__", "rule"), _watched(found, name))


def _watched(function: Callable[[FloatArray], object], name: str) -> Callable[[FloatArray], FloatArray]:
    def value(rewards: FloatArray) -> FloatArray:
        with blaming(f"rule '{name}'"):
            return _numbers(function(rewards), len(rewards), name)

    return value


class _Watched:
    """An ordering that is not ours: what it raises, or returns wrongly, is said in one line."""

    def __init__(self, ordering: Ordering) -> None:
        self._ordering = ordering

    @property
    def name(self) -> str:
        return str(self._ordering.name)

    def sign(self, first: FloatArray, second: FloatArray) -> FloatArray:
        with blaming(f"rule '{self.name}'"):
            return np.sign(_numbers(self._ordering.sign(first.copy(), second.copy()), len(first), self.name))


def _numbers(found: object, n: int, name: str) -> FloatArray:
    values = np.asarray(found)
    if values.dtype.kind not in "fiub":
        raise InputError(f"rule '{name}': must return numbers, got {values.dtype}", fix="return one number a row")
    if values.shape != (n,):
        raise InputError(
            f"rule '{name}': must return one number a row of rewards (n, annotators), shape {(n,)}, got {values.shape}",
            fix="reduce over axis 1, the annotators",
        )
    if np.isnan(values).any():
        raise InputError(f"rule '{name}': returned nan for row {int(np.isnan(values).argmax()) + 1}",
                         fix="return a number for every profile")  # fmt: skip
    return np.asarray(values, dtype=np.float64)
