"""Figure of the attributes study: whom one reward serves, and how soon low rank serves all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.studies.experiment import Figure
from sim.studies.plots import curve, finish, log_x, log_y, panels
from sim.studies.results import Results

# method -> (words, number of its colour and marker)
WORDS = {
    "low": ("groups, rank 2", 0), "full": ("each group alone", 1), "pooled": ("one reward for all", 6),
}  # fmt: skip


def draw_attributes(results: Results, folder: Path) -> list[Path]:
    """Regret, the worst-off group's and the safety the smallest group is shown, against answers or another factor."""
    factor = next((name for name in ("n", "conflict", "groups", "skew") if len(results.levels(name)) > 1), None)
    if factor is None:
        return []
    conflicts = results.levels("conflict") if factor == "n" else []
    own = results.where(conflict=conflicts[-1]) if conflicts else results
    figure, axes = panels(4 if len(conflicts) > 1 else 3)
    shown = (("regret", "All groups, by their shares", "regret"), ("regret/worst", "The worst-off group", "regret"),
             ("safe/smallest", "The smallest group", "safety of what it is shown"))  # fmt: skip
    for axis, (metric, title, words) in zip(axes, shown, strict=False):
        for name, (label, number) in WORDS.items():
            for kind, said in (("greedy", "greedy"), ("distributional", "pessimistic")):
                curve(
                    axis, own, factor, metric, f"{label}, {said}", number, dashed=kind == "greedy",
                    method=f"{name}/{kind}",
                )  # fmt: skip
        if metric == "safe/smallest":
            curve(axis, own, factor, metric, "best for the group", 2, method="truth")
            axis.set_ylabel(words)
        else:
            log_y(axis, words)
        at = f", conflict {conflicts[-1]:g}" if conflicts else ""
        axis.set_title(f"{title}{at}", fontsize=10)
        _x(axis, factor, own.levels(factor))
    if len(conflicts) > 1:
        _by_conflict(axes[3], results, conflicts)
    title = "Whom one reward serves, and how soon rank 2 serves every group"
    return finish(figure, results, title, folder, "attributes", axes[2])


FIGURES = {"attributes": Figure(draw_attributes)}


def _by_conflict(axes: Any, results: Results, conflicts: list[float]) -> None:
    most = results.levels("n")[-1]
    for name, (label, number) in WORDS.items():
        curve(axes, results, "conflict", "regret/worst", f"{label}, pessimistic", number,
              method=f"{name}/distributional", n=most)  # fmt: skip
    log_y(axes, "regret")
    axes.set_xlabel("conflict (right angles)")
    axes.set_xticks(conflicts)
    axes.set_title(f"The worst-off group, {most:,} answers, pessimistic", fontsize=10)


def _x(axis: Any, factor: str, values: list[Any]) -> None:
    if factor == "n":
        log_x(axis, values, "answers")
    else:
        axis.set_xlabel(factor)
        axis.set_xticks(values)
