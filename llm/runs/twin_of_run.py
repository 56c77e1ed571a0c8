"""The tabular twin of an evaluated run: what it predicts, and whether the run agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llm.base.progress import Progress
from llm.runs.evaluation_report import Evaluation
from llm.runs.minmax_runs import read_tuples
from llm.runs.open_run import OpenRun
from llm.runs.twin import TwinComparison, TwinPrediction, compare_with_run, fit_twin, simulate_twin
from sim.preferences import FloatArray
from sim.streams import Stream

_CELLS = 12


@dataclass(frozen=True)
class TwinReport:
    prediction: TwinPrediction
    comparison: TwinComparison

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.prediction), "comparison": asdict(self.comparison)}


def twin_of(
    run: OpenRun, others: Mapping[str, OpenRun], found: Evaluation, replicates: int, seed: int, progress: Progress
) -> TwinReport | None:
    """The twin's study `replicates` times beside the run's; None where the run has one policy, or no MinMax weights
    at equal priorities, or no replicate is asked for."""
    even = next((row for row in read_tuples(run.folder) if len(set(row.priorities)) == 1), None)
    if not replicates or even is None or len(run.policies) < 2:
        return None
    progress(f"tabular twin, {replicates} replicates")
    stream = Stream(seed, "twin")
    predicted = simulate_twin(fit_twin(run, _CELLS, stream), replicates, stream)
    weights = np.array(even.weights)
    name = next(e.name for e in found.ensembles if np.array_equal(e.weights, weights))
    measured = {"minmax_regret": _implied(found, name)}
    pooled = next((label for label, other in others.items() if len(other.policies) == 1), None)
    if pooled is not None:
        measured["pooled_regret"] = _implied(found, pooled)
    return TwinReport(predicted, compare_with_run(predicted, weights, measured))


def _implied(found: Evaluation, name: str) -> FloatArray:
    return np.array([row.mean for row in found.samples.sampled[name].implicit])
