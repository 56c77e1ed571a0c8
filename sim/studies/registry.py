"""Which experiments a study file may name."""

from __future__ import annotations

from sim.studies.attributes import ATTRIBUTES
from sim.studies.bandit import BANDIT
from sim.studies.experiment import Experiment
from sim.studies.low_rank import LOW_RANK
from sim.studies.pessimism import PESSIMISM
from sim.studies.profiles import PROFILE
from sim.studies.representation import REPRESENTATION
from sim.studies.reward_free import REWARD_FREE
from sim.studies.scaling import SCALING

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
