"""Which experiments a study file may name."""

from __future__ import annotations

from sim.studies.experiment import Experiment
from sim.studies.experiments.attributes.experiment import ATTRIBUTES
from sim.studies.experiments.bandit.experiment import BANDIT
from sim.studies.experiments.low_rank.experiment import LOW_RANK
from sim.studies.experiments.pessimism.experiment import PESSIMISM
from sim.studies.experiments.profiles.experiment import PROFILE
from sim.studies.experiments.representation.experiment import REPRESENTATION
from sim.studies.experiments.reward_free.experiment import REWARD_FREE
from sim.studies.experiments.scaling.experiment import SCALING

EXPERIMENTS: dict[str, Experiment] = {
    "bandit": BANDIT,
    "representation": REPRESENTATION,
    "scaling": SCALING,
    "pessimism": PESSIMISM,
    "profiles": PROFILE,
    "reward_free": REWARD_FREE,
    "low_rank": LOW_RANK,
    "attributes": ATTRIBUTES,
}
