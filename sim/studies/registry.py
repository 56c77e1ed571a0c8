"""Which experiments a study file may name: ours, those of installed packages, and `module:NAME`."""

from __future__ import annotations

from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.plugins import Door, Sources, together
from sim.studies.experiment import Experiment

_OURS = {
    "bandit": "BANDIT",
    "representation": "REPRESENTATION",
    "scaling": "SCALING",
    "pessimism": "PESSIMISM",
    "profiles": "PROFILE",
    "reward_free": "REWARD_FREE",
    "low_rank": "LOW_RANK",
    "attributes": "ATTRIBUTES",
    "types": "TYPES",
    "best_of_n": "BEST_OF_N",
    "prompts": "PROMPTS",
    "tastes": "TASTES",
}
EXPERIMENTS = Door(
    "experiment", {name: f"sim.studies.experiments.{name}.experiment:{found}" for name, found in _OURS.items()}
)


def find_experiment(name: str, folder: Path | None = None) -> Experiment:
    """The experiment of that name, or the attribute NAME of an importable module for "module:NAME".

    folder: where a module is looked for first, as Python looks beside a script; workers are told it too.
    """
    found = EXPERIMENTS.find(name, folder)
    if not isinstance(found, Experiment):
        raise InputError(f"experiment '{name}' must be an Experiment (got {type(found).__name__})")
    if not (isinstance(found.setting, type) and is_dataclass(found.setting)):
        raise InputError(f"experiment '{name}': its setting must be a dataclass", fix="write @dataclass(frozen=True)")
    if not found.setting.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise InputError(
            f"experiment '{name}': its setting, {found.setting.__name__}, can be written to, so that a replicate may "
            "change the next", fix="write @dataclass(frozen=True)",
        )  # fmt: skip
    return found


def sources_of(name: str, setting: Any, folder: Path | None = None) -> Sources:
    """What is not ours and decides a cell's numbers: the experiment, and what its setting names through a door."""
    doors = find_experiment(name, folder).doors
    named = [(door, getattr(setting, field)) for field, door in doors.items()]
    return together(
        EXPERIMENTS.sources(name, folder),
        *(door.sources(value, folder) for door, value in named if isinstance(value, str)),
    )
