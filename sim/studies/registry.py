"""Which experiments a study file may name."""

from __future__ import annotations

from sim.studies.bandit import BANDIT
from sim.studies.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {"bandit": BANDIT}
