"""The rows of the tables of `eval`: every policy of every run, and the ensembles that weigh them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from llm.runs.minmax_runs import direct_adapter, read_tuples
from llm.runs.open_run import OpenRun
from llm.training.adapter_policy import AdapterPolicy
from sim.errors import InputError
from sim.preferences import FloatArray

DIRECT = "direct saddle point"
# Rows beside those of runs.
OWN_ROWS = ("reference", "longer response", DIRECT)


@dataclass(frozen=True)
class Ensemble:
    """A row of the tables that weighs members: name, members (keys of policies), weights, and what it stands for."""

    name: str
    members: tuple[str, ...]
    weights: FloatArray
    kind: str


def table_rows(
    run: OpenRun, others: Mapping[str, OpenRun]
) -> tuple[dict[str, AdapterPolicy], list[Ensemble], dict[str, list[str]]]:
    """(policies by key, ensembles, keys of each run's policies by its label).

    Errors: InputError where a label, which may be a folder's name, makes two rows of one name.
    """
    policies: dict[str, AdapterPolicy] = {}
    ensembles: list[Ensemble] = []
    grouping: dict[str, list[str]] = {}
    for label, opened in ((run.mixture.method, run), *others.items()):
        keys = [label if len(opened.policies) == 1 else f"{label}/{name}" for name in opened.mixture.adapters]
        policies |= dict(zip(keys, opened.policies, strict=True))
        grouping[label] = keys
        if len(keys) == 1:
            continue
        # Priorities that were given twice are one game.
        for row in {row.priorities: row for row in read_tuples(opened.folder)}.values():
            name = f"{label} {_tuple_name(row.priorities)}"
            ensembles.append(Ensemble(name, tuple(keys), np.array(row.weights), "minmax"))
        ensembles.append(Ensemble(f"{label} by shares", tuple(keys), np.array(opened.mixture.mixture), "shares"))
    rows = [*OWN_ROWS, *(key for keys in grouping.values() for key in keys), *(row.name for row in ensembles)]
    if twice := next((name for name in rows if rows.count(name) > 1), None):
        raise InputError(f"two rows of the tables would be called '{twice}'", fix="rename the folder of a run")
    direct = direct_adapter(run.folder)
    if direct is not None:
        run.base.load_adapter("direct", direct)
        own = run.policies[0]
        policies[DIRECT] = AdapterPolicy(run.base, "direct", beta=own.beta, sampling=own.sampling, journal=own.journal)
    return policies, ensembles, grouping


def distinct_priorities(asked: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
    """Each tuple of priorities once; InputError where two of them would be called alike in the tables."""
    found = list(dict.fromkeys(tuple(map(float, values)) for values in asked))
    names = [_tuple_name(values) for values in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(
            f"--priorities: two tuples differ too little to be told apart, both are {twice}", fix="give one of them"
        )
    return found


def _tuple_name(values: Sequence[float]) -> str:
    return "minmax(" + ",".join(f"{value:g}" for value in values) + ")"
