"""Figures of the scaling study: radius, coverage coefficient, and what two rules lose, by the number of parties."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.studies.experiment import Figure
from sim.studies.plots import curve, finish, panels
from sim.studies.results import Results

_RULES = {"nash": "Nash", "utilitarian": "Utilitarian", "leximin": "Leximin"}
_POLICIES = (("shared", "shared subspace, plug-in"), ("separate", "each party alone, plug-in"),
             ("pessimistic", "shared subspace, pessimistic"), ("pooled", "one reward for all"))  # fmt: skip


def draw_scaling(results: Results, folder: Path) -> list[Path]:
    """One figure a budget and coverage: radius, coverage coefficient, and what two rules lose."""
    paths: list[Path] = []
    cells: list[Mapping[str, Any]] = [{}]
    for factor in ("budget", "coverage_power"):
        cells = [{**cell, factor: value} for cell in cells for value in results.levels(factor)] or cells
    for cell in cells:
        paths += _one(results.where(**cell), cell, folder)
    return paths


FIGURES = {"scaling": Figure(draw_scaling, needs=("parties",))}


def _one(both: Results, cell: Mapping[str, Any], folder: Path) -> list[Path]:
    varied = bool(both.levels("shared_worst"))
    own = both.where(shared_worst=False) if varied else both
    figure, axes = panels(4)
    for number, (method, label) in enumerate(_POLICIES[:2]):
        curve(axes[0], own, "parties", "gamma", label, number, method=method)
    for number, (rule, label) in enumerate(_RULES.items()):
        curve(axes[1], own, "parties", "coverage", label, number + 4, method=rule)
    if varied:
        curve(
            axes[1], both, "parties", "coverage", "Leximin, one worst action", 3, dashed=True, method="leximin",
            shared_worst=True,
        )  # fmt: skip
    for axis, rule in ((axes[2], "utilitarian"), (axes[3], "leximin")):
        for number, (policy, label) in enumerate(_POLICIES):
            curve(axis, own, "parties", f"lost/{policy}", label, number, method=rule)
    words = (
        "radius: mean error of a party", "coverage C* at the optimum", "Utilitarian welfare lost, share",
        "least gain lost (Leximin), share",
    )  # fmt: skip
    for axis, name in zip(axes, words, strict=True):
        axis.set_xscale("log", base=2)
        axis.set_xlabel("parties")
        axis.set_ylabel(name)
    axes[0].set_yscale("log")
    axes[1].set_yscale("log")
    axes[1].legend(fontsize=7.5, framealpha=0.85, loc="center right")
    text = ", ".join(_words(name, value) for name, value in cell.items())
    parts = [f"{value:g}" if isinstance(value, float) else str(value) for value in cell.values()]
    title = f"More parties: {text or 'radius, coverage, aggregation'}"
    return finish(figure, own, title, folder, "-".join(["scaling", *parts]), axes[2])


def _words(factor: str, value: Any) -> str:
    if factor == "budget":
        return "answers a party fixed" if value == "per_party" else "answers in all fixed"
    return "all actions shown alike" if value == 0 else f"actions shown with weight u^{value:g}"
