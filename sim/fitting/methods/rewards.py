"""What the methods that give every annotator a reward share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sim.fitting.identified import untested
from sim.fitting.method import Diagnosis, Fits, Group, Method, Say, strongest
from sim.fitting.prepare import Answers, Prepared
from sim.fitting.reward_model import RewardModel
from sim.fitting.settings import FitSettings
from sim.preferences import AnyArray, FloatArray
from sim.streams import Stream

# On one annotator's departure.
RIDGES = (3.0, 10.0, 30.0, 100.0, 300.0)
LOWER = (1.0, 0.3, 0.1, 0.03)


class RewardMethod(Method[RewardModel]):
    """Scores, adaptation and report of a reward an annotator."""

    per_annotator = ("theta", "label")
    takes_choices = True
    reads_restarts = False
    reads_beta = False

    def log_likelihood(self, model: RewardModel, answers: Answers) -> FloatArray:
        return model.log_likelihood_of(answers)

    def adapt(self, model: RewardModel, answers: Answers) -> RewardModel:
        """Rewards of annotators nobody trained on, from these answers; pooled for those without."""
        return model.with_heads(answers)

    def describe(self, model: RewardModel, prepared: Prepared, centre: FloatArray, stream: Stream) -> tuple[Group, ...]:
        return ()

    def parameters(self, model: RewardModel) -> Mapping[str, FloatArray | None]:
        return {
            "centre": model.centre,
            "theta": model.theta,
            "size": np.array(float(model.size)),
            "ridge": np.array(model.ridge),
            "subspace": model.subspace,
            "departures": model.departures,
            "shares": model.shares,
            "label": None if model.label is None else model.label.astype(np.float64),
        }

    def restore(self, parameters: Mapping[str, FloatArray | None]) -> RewardModel:
        kept = {name: values for name, values in parameters.items() if values is not None}
        return RewardModel(
            kept["centre"],
            kept["theta"],
            int(kept["size"]),
            float(kept["ridge"]),
            subspace=kept.get("subspace"),
            departures=kept.get("departures"),
            shares=kept.get("shares"),
            label=kept["label"].astype(np.int64) if "label" in kept else None,
        )

    def n_types(self, model: RewardModel, size: int, prepared: Prepared) -> int:
        """As many rewards as annotators with training answers."""
        return len(prepared.trained)

    def table(self, model: RewardModel) -> Mapping[str, AnyArray]:
        return {"theta": model.theta}

    def diagnostics(self, fits: Fits, prepared: Prepared, settings: FitSettings, stream: Stream, say: Say) -> Diagnosis:
        why = untested(prepared)
        return Diagnosis({"kind": "personal", "rank": None}, () if why is None else (why,))


def named_groups(
    names: Sequence[str], shares: Sequence[float | None], rows: FloatArray, features: tuple[str, ...]
) -> tuple[Group, ...]:
    """A group a row of departures from the common reward."""
    return tuple(
        Group(name, None if share is None else float(share), strongest(row, features))
        for name, share, row in zip(names, shares, rows, strict=True)
    )
