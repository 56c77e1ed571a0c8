"""A study of one's own: what the minority pays when the choice is one for all, by how rewards are aggregated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.algorithms.aggregation import aggregate
from sim.streams import Stream
from sim.studies.experiment import Backends, Experiment, Figure, Measurement
from sim.studies.plots import curve, finish, panels
from sim.studies.results import Results
from sim.studies.setting_checks import check_kinds, require_share

ALPHAS = {"mean": 0.0, "alpha = -2": -2.0, "worst off": -np.inf}


@dataclass(frozen=True)
class Majority:
    """Two types of annotators with independent rewards; `share` of them are of the first."""

    share: float = 0.8
    annotators: int = 20
    responses: int = 6

    def __post_init__(self) -> None:
        check_kinds(self)
        require_share(share=self.share)


def run(setting: Majority, stream: Stream, backends: Backends) -> list[Measurement]:
    """The worse-served type's regret, for each way of aggregating the annotators' rewards."""
    of_types = stream.child("rewards").normals((2, setting.responses))
    first = round(setting.share * setting.annotators)
    rewards = np.repeat(of_types, [first, setting.annotators - first], axis=0)
    regret = of_types.max(axis=1, keepdims=True) - of_types
    chosen = {method: int(aggregate(rewards, alpha).argmax()) for method, alpha in ALPHAS.items()}
    return [Measurement(method, "worst regret", float(regret[:, best].max())) for method, best in chosen.items()]


def draw(results: Results, folder: Path) -> list[Path]:
    figure, axes = panels(1)
    for number, method in enumerate(ALPHAS):
        curve(axes[0], results, "share", "worst regret", method, number, method=method)
    axes[0].set_xlabel("share of the majority")
    axes[0].set_ylabel("regret of the worse-served type")
    axes[0].legend(frameon=False)
    return finish(figure, results, "One choice for two types", folder, "majority")


MAJORITY = Experiment(Majority, run, {"majority": Figure(draw, needs=("share",))})
