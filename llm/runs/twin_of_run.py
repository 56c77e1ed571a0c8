"""What two twins of an evaluated run predict, the tabular one and the ratios of what the reference wrote; and whether
the run agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llm.base.progress import Progress
from llm.data.answer_sets import AnswerSet, asked_responses
from llm.runs.evaluated_answers import evaluated_answers
from llm.runs.evaluation_report import Evaluation
from llm.runs.minmax_runs import read_tuples
from llm.runs.open_run import OpenRun
from llm.runs.predicted_regrets import PredictedRegrets, order_agreement, predicted_regrets
from llm.runs.twin import TwinComparison, TwinPrediction, compare_with_run, fit_twin, simulate_twin
from llm.training.adapter_policy import AdapterPolicy
from sim.preferences import FloatArray
from sim.streams import Stream

_CELLS = 12


@dataclass(frozen=True)
class TwinReport:
    """ratios: from responses of the file to the prompts of the evaluation.  ratios_tau: their order of regrets against
    that of the samples."""

    prediction: TwinPrediction
    comparison: TwinComparison
    ratios: PredictedRegrets
    ratios_tau: float | None

    def as_json(self) -> dict[str, Any]:
        own = self.ratios
        return {
            **asdict(self.prediction),
            "comparison": asdict(self.comparison),
            "ratios": {
                "weights": own.weights.tolist(),
                "regrets": {name: values.tolist() for name, values in own.regrets.items()},
                "welfare": {name: values.tolist() for name, values in own.welfare.items()},
                "effective_responses": dict(own.effective),
                "responses": own.responses,
                "kendall_tau": self.ratios_tau,
            },
        }


def twin_of(
    run: OpenRun, others: Mapping[str, OpenRun], found: Evaluation, replicates: int, seed: int, progress: Progress,
    answers: AnswerSet | None = None,
) -> TwinReport | None:  # fmt: skip
    """The twin's study `replicates` times beside the run's, and what ratios predict on the answers evaluated on
    (default: those of `evaluate`); None where the run has one policy, or no MinMax weights
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
    one: dict[str, AdapterPolicy] = {}
    if pooled is not None:
        measured["pooled_regret"] = _implied(found, pooled)
        one = {"pooled": others[pooled].policies[0]}
    asked = asked_responses(evaluated_answers(run, answers, others).answers.observations)
    ratios = predicted_regrets(run.policies, one, *asked, beta=run.mixture.beta)
    tau = order_agreement({f"{name}_regret": values for name, values in ratios.regrets.items()}, measured)
    return TwinReport(predicted, compare_with_run(predicted, weights, measured), ratios, tau)


def _implied(found: Evaluation, name: str) -> FloatArray:
    return np.array([row.mean for row in found.samples.sampled[name].implicit])
