"""cvxpy, imported when a cone program is first asked for."""

from __future__ import annotations

import contextlib
import importlib
import warnings
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
            problem.solve(solver=cp.CLARABEL)
