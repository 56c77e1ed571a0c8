"""cvxpy, imported when a cone program is first asked for."""

from __future__ import annotations

import contextlib
import importlib
import threading
import warnings
from dataclasses import dataclass, field
from typing import Any


def modelling() -> Any:
    """The cvxpy module; Any, because it fills in its public names at run time, which mypy cannot follow."""
    return importlib.import_module("cvxpy")


def solve(problem: Any) -> None:
    """By Clarabel. An inaccurate answer is a warning there, and a failure an error: here callers certify what they
    take, so that neither is raised; a failure leaves the variables without a value."""
    cp = modelling()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with contextlib.suppress(cp.SolverError):
            # Without what it knows of the last numbers: an answer must not depend on what was asked before.
            problem.solve(solver=cp.CLARABEL, warm_start=False)


@dataclass(frozen=True, eq=False)
class Program:
    """A program whose numbers are parameters, so that its rules are compiled once (four fifths of the time of a small
    one) and solved for many.

    parameters: by name.  answers: expressions by name, read after a solve.
    """

    problem: Any
    parameters: dict[str, Any]
    answers: dict[str, Any]
    _alone: Any = field(default_factory=threading.Lock)

    def solve(self, **numbers: Any) -> dict[str, Any]:
        """The answers for these numbers, one for each parameter; None where Clarabel failed."""
        with self._alone:
            # What the last numbers gave must not stand for these.
            for variable in self.problem.variables():
                variable.value = None
            for name, parameter in self.parameters.items():
                parameter.value = numbers[name]
            solve(self.problem)
            return {name: answer.value for name, answer in self.answers.items()}
