"""Which experiments a study file may name: ours, those of installed packages, and `module:NAME`."""

from __future__ import annotations

import difflib
import importlib
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from sim.errors import InputError
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
# Installed packages name theirs here: NAME = "module:ATTRIBUTE".
ENTRY_POINTS = "pluralign.experiments"


def find_experiment(name: str, folder: Path | None = None) -> Experiment:
    """The experiment of that name, or the attribute NAME of an importable module for "module:NAME".

    folder: where a module is looked for first, as Python looks beside a script; workers are told it too.
    """
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    place = name if ":" in name else _installed().get(name)
    if place is None:
        known = (*EXPERIMENTS, *_installed())
        near = difflib.get_close_matches(name, known, n=1)
        nearest = f"did you mean '{near[0]}'? " if near else ""
        fix = f"{nearest}choose one of {', '.join(known)}, or module:NAME of your own"
        raise InputError(f"no experiment '{name}'", fix=fix)
    module, _, attribute = place.partition(":")
    _look_in(folder)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise InputError(f"experiment '{name}': {error}", fix="check that Python can import the module") from error
    except AttributeError as error:
        raise InputError(f"experiment '{name}': module {module} has no {attribute}", fix="check the name") from error
    if not isinstance(found, Experiment):
        raise InputError(f"experiment '{name}' must be an Experiment (got {type(found).__name__})")
    return found


def sources_of(name: str, folder: Path | None = None) -> tuple[Path, ...]:
    """The sources of an experiment that is not ours: its whole package; of a module in no package, every .py beside it
    (what it may import from there)."""
    if name in EXPERIMENTS:
        return ()
    find_experiment(name, folder)
    module = (name if ":" in name else _installed()[name]).partition(":")[0]
    top = sys.modules[module.partition(".")[0]]
    if getattr(top, "__path__", None):
        return tuple(Path(part).resolve() for part in top.__path__)
    assert top.__file__ is not None
    return tuple(sorted(Path(top.__file__).resolve().parent.glob("*.py")))


def _look_in(folder: Path | None) -> None:
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


@cache
def _installed() -> dict[str, str]:
    """name -> "module:ATTRIBUTE" of the experiments installed packages offer."""
    return {entry.name: entry.value for entry in metadata.entry_points(group=ENTRY_POINTS)}
