"""Simulate, check and use methods that align models to many people's preferences.

    import pluralign as pl

    pairs = pl.simulate("opposed_tastes", n_annotators=120, answers=30, seed=1)
    fit = pl.fit(pairs, method="em-dpo")
    print(fit)

Everything the command line does is one call here, but for training and sampling policies of language models. Results
print as a short table; `.as_dict()` is what --json prints, `.plot()` gives matplotlib axes. Names are loaded when they
are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pluralign.version import __version__

if TYPE_CHECKING:
    from pluralign.api.calibration import false_alarms, power
    from pluralign.api.checks import check, claim, claims, load_check, replay
    from pluralign.api.choice_models import conditional_logit, mixed_logit
    from pluralign.api.choosing import choose
    from pluralign.api.conversions import convert
    from pluralign.api.estimators import bradley_terry, cluster_dpo, em_dpo, low_rank_rewards, shared_rewards
    from pluralign.api.fits import fit, load_fit
    from pluralign.api.games import hedge, minmax, minmax_dpo, regret_matrix
    from pluralign.api.machine import doctor
    from pluralign.api.merged import merge_group
    from pluralign.api.mutations import mutate
    from pluralign.api.pairs import read_pairs, write_pairs
    from pluralign.api.reports import report
    from pluralign.api.rewards import export_reward, reward
    from pluralign.api.simulated import simulate
    from pluralign.api.simulation_studies import (
        load_study,
        merge_studies,
        plan_study,
        resume_study,
        run_study,
        studies,
        study_status,
    )
    from pluralign.api.skeletons import new
    from pluralign.api.tables import aggregate, axioms, pool, von_neumann, welfare
    from pluralign.api.tastes import make_tastes
    from sim.converters.converter import Converter
    from sim.environments.protocol import Environment
    from sim.errors import InputError
    from sim.files.pair_table import PairTable as Pairs
    from sim.fitting.method import Grid, Method
    from sim.streams import Stream
    from sim.studies.experiment import Experiment, Figure, Measurement
    from theory.engine import judges
    from theory.engine.theorem import Control, Premise, Setting, Theorem, Variant
    from theory.engine.verdicts import Verdict

# Where each name is; a test compares it with the imports above.
_HOMES = {
    "pluralign.api.calibration": ("false_alarms", "power"),
    "pluralign.api.checks": ("check", "claim", "claims", "load_check", "replay"),
    "pluralign.api.choice_models": ("conditional_logit", "mixed_logit"),
    "pluralign.api.choosing": ("choose",),
    "pluralign.api.conversions": ("convert",),
    "pluralign.api.estimators": ("bradley_terry", "cluster_dpo", "em_dpo", "low_rank_rewards", "shared_rewards"),
    "pluralign.api.fits": ("fit", "load_fit"),
    "pluralign.api.games": ("hedge", "minmax", "minmax_dpo", "regret_matrix"),
    "pluralign.api.machine": ("doctor",),
    "pluralign.api.merged": ("merge_group",),
    "pluralign.api.mutations": ("mutate",),
    "pluralign.api.pairs": ("read_pairs", "write_pairs"),
    "pluralign.api.reports": ("report",),
    "pluralign.api.rewards": ("export_reward", "reward"),
    "pluralign.api.simulated": ("simulate",),
    "pluralign.api.simulation_studies": (
        "load_study",
        "merge_studies",
        "plan_study",
        "resume_study",
        "run_study",
        "studies",
        "study_status",
    ),
    "pluralign.api.skeletons": ("new",),
    "pluralign.api.tables": ("aggregate", "axioms", "pool", "von_neumann", "welfare"),
    "pluralign.api.tastes": ("make_tastes",),
    "sim.converters.converter": ("Converter",),
    "sim.environments.protocol": ("Environment",),
    "sim.errors": ("InputError",),
    "sim.files.pair_table": ("PairTable as Pairs",),
    "sim.fitting.method": ("Grid", "Method"),
    "sim.streams": ("Stream",),
    "sim.studies.experiment": ("Experiment", "Figure", "Measurement"),
    "theory.engine": ("judges",),
    "theory.engine.theorem": ("Control", "Premise", "Setting", "Theorem", "Variant"),
    "theory.engine.verdicts": ("Verdict",),
}
# name here -> (module, name there)
_HOME = {
    name.rpartition(" as ")[2]: (home, name.partition(" as ")[0]) for home, names in _HOMES.items() for name in names
}

__all__ = [
    "Control", "Converter", "Environment", "Experiment", "Figure", "Grid", "InputError", "Measurement", "Method",
    "Pairs", "Premise", "Setting", "Stream", "Theorem", "Variant", "Verdict", "__version__", "aggregate", "axioms",
    "bradley_terry", "check", "choose", "claim", "claims", "cluster_dpo", "conditional_logit", "convert", "doctor",
    "em_dpo", "export_reward", "false_alarms", "fit", "hedge", "judges", "load_check", "load_fit", "load_study",
    "low_rank_rewards", "make_tastes", "merge_group", "merge_studies", "minmax", "minmax_dpo", "mixed_logit", "mutate",
    "new", "plan_study", "pool", "power", "read_pairs", "regret_matrix", "replay", "report", "resume_study", "reward",
    "run_study", "shared_rewards", "simulate", "studies", "study_status", "von_neumann", "welfare", "write_pairs",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pluralign' has no attribute '{name}'")
    home, there = _HOME[name]
    module = importlib.import_module(home)
    # A name may be a module of its home, not yet loaded.
    value = getattr(module, there) if hasattr(module, there) else importlib.import_module(f"{home}.{there}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
