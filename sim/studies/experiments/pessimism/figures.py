"""Figures of the pessimism study: when pessimism pays, and how much of it."""

from __future__ import annotations

from pathlib import Path

from sim.studies.experiment import Figure
from sim.studies.experiments.pessimism.setting import MULTIPLIERS, method_of
from sim.studies.plots import curve, finish, heat, panels
from sim.studies.results import Results


def draw_pessimism(results: Results, folder: Path) -> list[Path]:
    """For each kind of coverage: regret against answers, and the phase map of plain minus pessimistic regret."""
    paths: list[Path] = []
    for expert in results.levels("expert") or [None]:
        own = results.where(expert=expert)
        name = "" if expert is None else "-good-known" if expert else "-any-known"
        words = "" if expert is None else f": the known actions are {'good' if expert else 'no better than others'}"
        paths += _phase_map(own, folder, name, words) + _multipliers(own, folder, name, words)
    return paths


FIGURES = {"phase_map": Figure(draw_pessimism, needs=("parties", "few"))}


def _phase_map(results: Results, folder: Path, name: str, words: str) -> list[Path]:
    few, parties = results.levels("few"), results.levels("parties")
    figure, axes = panels(3, width=5.0)
    middle = parties[len(parties) // 2]
    shown = (("z=1", "pessimistic, product sets"), ("joint", "pessimistic, joint set"), ("z=0", "plain estimate"),
             ("z=-1", "optimistic"))  # fmt: skip
    for number, (method, label) in enumerate(shown):
        curve(axes[0], results, "few", "regret", label, number, method=method, parties=middle)
    axes[0].set_xscale("log")
    axes[0].set_xlabel("answers about each hardly compared action")
    axes[0].set_ylabel("regret of Nash welfare (equivalent utility)")
    axes[0].set_title(f"{middle} parties", fontsize=10)
    axes[0].legend(fontsize=8, frameon=False)
    regret = results.where(metric="regret")
    plain = regret.where(method="z=0").means("parties", "few")
    for axis, method, sets in ((axes[1], "z=1", "product sets"), (axes[2], "joint", "joint set")):
        gap = plain - regret.where(method=method).means("parties", "few")
        heat(axis, gap, few, parties, words="plain minus pessimistic regret", centre=0.0, form=".2f")
        axis.set_xlabel("answers about each hardly compared action")
        axis.set_ylabel("parties")
        axis.set_title(f"{sets} (above 0: pessimism is better)", fontsize=10)
    return finish(figure, results, f"Pessimism, plain estimate, optimism{words}", folder, f"pessimism{name}")


def _multipliers(results: Results, folder: Path, name: str, words: str) -> list[Path]:
    """Regret against the multiple of the radius, a line a coverage."""
    figure, axes = panels(1, width=6.2)
    parties = results.levels("parties")
    middle = parties[len(parties) // 2]
    multiple = {method_of(z): z for z in MULTIPLIERS}
    own = results.where(parties=middle)
    own = own.with_columns(z=[multiple.get(method) for method in own["method"]])
    own = Results.from_rows(row for row in own.rows() if row["z"] is not None)
    for number, few in enumerate(own.levels("few")):
        curve(axes[0], own, "z", "regret", f"{few} answers", number, few=few)
    axes[0].set_xlabel("multiple of the radius (below 0: optimism)")
    axes[0].set_ylabel("regret of Nash welfare (equivalent utility)")
    axes[0].legend(fontsize=8, frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return finish(figure, own, f"How pessimistic to be, {middle} parties{words}", folder, f"multipliers{name}")
