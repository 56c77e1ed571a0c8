"""Figures of a fit: held-out scores, who the groups are, what a single policy costs each, how K was chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.counted import counted
from sim.files.atomic import Json
from sim.files.figure_files import save_figure, subplots
from sim.files.palette import BLUE, GREY, GROUPS, ORANGE
from sim.fitting.gain_figures import gain_figure, selection_figure
from sim.fitting.low_rank_figures import serving_figure, spectrum_figure


def score_figure(fit: Mapping[str, Json]) -> Any:
    """Gain over pooled DPO in held-out log-likelihood is the difference between rows; intervals over people."""
    rows = {fit["method"]: fit["test"], **{k: v for k, v in fit["baselines"].items() if k not in ("coin", "length")}}
    figure, axes = subplots(1, 2, figsize=(10.4, 0.5 * len(rows) + 1.9), layout="constrained", sharey=True)
    for axis, users in zip(axes, ("known_users", "unseen_users"), strict=True):
        for place, (name, row) in enumerate(rows.items()):
            score = row[users]
            if not score["n_pairs"] or score["log_likelihood_interval"] is None:
                continue
            low, high = score["log_likelihood_interval"]
            colour = BLUE if name == fit["method"] else GREY
            axis.plot([low, high], [place, place], color=colour, linewidth=2)
            axis.plot(score["log_likelihood"], place, "o", color=colour)
        gain = fit["differences"].get(fit["common"], {}).get(users)
        title = users.replace("_", " ")
        if gain and gain["log_likelihood_interval"]:
            low, high = gain["log_likelihood_interval"]
            title += f"\n{fit['method']} minus {fit['titles'][fit['common']]}: "
            title += f"{gain['log_likelihood']:+.4f} [{low:+.4f}, {high:+.4f}]"
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("held-out log-likelihood (nats a pair)")
        axis.set_yticks(range(len(rows)), list(rows))
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.locator_params(axis="x", nbins=4)
        axis.grid(axis="x", color="0.92")
    return figure


def group_figure(fit: Mapping[str, Json]) -> Any | None:
    """Each group's strongest departures from the pooled fit, with two standard errors where they are known."""
    groups = fit["groups"]
    if not groups:
        return None
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    figure, axes = subplots(
        rows, columns, figsize=(3.6 * columns, 2.5 * rows), layout="constrained", squeeze=False, sharex=True
    )
    for axis in axes.ravel()[len(groups) :]:
        axis.set_visible(False)
    for number, (group, axis) in enumerate(zip(groups, axes.ravel(), strict=False)):
        traits = group["against_pooled"]
        place = np.arange(len(traits))
        values = [row["coefficient"] for row in traits]
        axis.barh(
            place,
            values,
            xerr=[2 * row["standard_error"] for row in traits] if _with_errors(traits) else None,
            color=GROUPS[number % len(GROUPS)],
            error_kw={"linewidth": 1, "capsize": 2},
            height=0.65,
        )
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_yticks(place, [row["feature"] for row in traits], fontsize=7)
        axis.invert_yaxis()
        axis.set_title(_group_title(group), fontsize=9)
        axis.tick_params(axis="x", labelsize=7)
    errors = " (2 standard errors)" if any(_with_errors(group["against_pooled"]) for group in groups) else ""
    figure.supxlabel(f"coefficient minus the pooled one, a standard deviation of the feature{errors}", fontsize=8)
    return figure


def _with_errors(traits: Sequence[Mapping[str, Json]]) -> bool:
    return bool(traits) and all("standard_error" in row for row in traits)


def _group_title(group: Mapping[str, Json]) -> str:
    name = f"group {group['group']}" if isinstance(group["group"], int) else str(group["group"])
    share = "" if group["share"] is None else f": {group['share']:.0%}"
    return name + share + (f", {counted(group['n_annotators'], 'people')}" if "n_annotators" in group else "")


def regret_figure(fit: Mapping[str, Json]) -> Any | None:
    """Each group's regret under pooled DPO and under MinMax-DPO."""
    if "regret" not in fit:
        return None
    regret = fit["regret"]
    place = np.arange(len(regret["pooled_dpo"]))
    figure, axis = subplots(figsize=(1.2 * len(place) + 2.6, 3.2), layout="constrained")
    axis.bar(place - 0.2, regret["pooled_dpo"], 0.38, color=GREY, label="pooled DPO")
    axis.bar(place + 0.2, regret["minmax_dpo"], 0.38, color=BLUE, label="MinMax-DPO")
    axis.axhline(regret["value"], color=ORANGE, linestyle="--", linewidth=1, label="min-max value")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(
        place, [f"group {k + 1}\n(weight {w:.2f})" for k, w in enumerate(regret["minmax_weights"])], fontsize=8
    )
    axis.set_ylabel("regret (reward units)")
    axis.set_title(f"regret of one policy for all (beta = {regret['beta']:g})", fontsize=9)
    axis.legend(fontsize=7)
    return figure


def _gains(fit: Mapping[str, Json]) -> Any | None:
    return gain_figure(fit) if fit["against_pooled"] else None


def _selection(fit: Mapping[str, Json]) -> Any | None:
    return None if fit.get("spectrum") else selection_figure(fit)


# A figure, or None where a fit has nothing to show in it.
FIGURES: Mapping[str, Callable[[Mapping[str, Json]], Any | None]] = {
    "scores": score_figure,
    "gains": _gains,
    "groups": group_figure,
    "regret": regret_figure,
    "spectrum": spectrum_figure,
    "serving": serving_figure,
    "selection": _selection,
}


def draw_fit(fit: Mapping[str, Json], folder: str | Path) -> list[Path]:
    """Every figure that a fit has something to show in, whatever its method."""
    figures = {name: draw(fit) for name, draw in FIGURES.items()}
    return [
        path for name, figure in figures.items() if figure is not None for path in save_figure(figure, folder, name)
    ]
