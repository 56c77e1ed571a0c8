"""Figures of a personal fit: who gains over one reward for all, and how soon a new annotator does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

from sim.files.figure_files import save_figure
from sim.files.palette import BLUE, GREEN, ORANGE, PINK

mpl.use("Agg")
COLOURS = {"shared": BLUE, "personal": ORANGE, "cluster": GREEN, "shared-network": PINK}
_NAMES = {
    "shared": "shared subspace",
    "personal": "one reward each",
    "cluster": "clusters",
    "shared-network": "shared network",
}


def _label(fit: dict[str, Any], name: str) -> str:
    size = fit["selection"]["chosen"][name]["size"]
    return _NAMES[name] + (
        f" (k = {size})" if name.startswith("shared") else f" (K = {size})" if name == "cluster" else ""
    )


def gain_figure(fit: dict[str, Any]) -> Any:
    """Left: known annotators' answers about other items. Right: new annotators, by how many answers were shown."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10.4, 3.6), layout="constrained", width_ratios=[1, 1.5])
    methods = [name for name in COLOURS if name in fit["against_pooled"]]
    left, right = axes
    for place, name in enumerate(methods):
        row = fit["against_pooled"][name].get("known_users")
        if row and row["log_likelihood_interval"]:
            low, high = row["log_likelihood_interval"]
            left.plot([low, high], [place, place], color=COLOURS[name], linewidth=2)
            left.plot(row["log_likelihood"], place, "o", color=COLOURS[name])
    left.set_yticks(range(len(methods)), [_label(fit, name) for name in methods])
    left.set_ylim(len(methods) - 0.5, -0.5)
    known = fit["test"]["known_users"]
    left.set_title(f"known annotators ({known['n_annotators']} people, {known['n_pairs']:,} answers)", fontsize=9)
    left.set_xlabel("gain over one reward for all (nats a pair)")
    shown = [row["answers_shown"] for row in fit["new_users"]]
    width = 0.6
    for number, name in enumerate(methods):
        at = [s + width * (number - 1) for s in shown]
        rows = [row[name] for row in fit["new_users"]]
        right.plot(at, [row["gain_over_pooled"] for row in rows], "o-", color=COLOURS[name], ms=4, label=_NAMES[name])
        for x, row in zip(at, rows, strict=True):
            if row["gain_over_pooled_interval"]:
                right.plot([x, x], row["gain_over_pooled_interval"], color=COLOURS[name], linewidth=1.2)
    right.set_xticks(shown)
    right.set_xlabel("answers of the new annotator that were shown")
    right.set_ylabel("gain over one reward for all\n(nats a pair, other items)")
    if fit["new_users"]:
        row = fit["new_users"][0]["pooled"]
        right.set_title(
            f"new annotators ({row['n_annotators']} people, {row['n_pairs']:,} reserved answers)", fontsize=9
        )
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    for axis, line in ((left, left.axvline), (right, right.axhline)):
        line(0.0, color="0.3", linewidth=0.8)
        axis.grid(color="0.92")
        axis.set_axisbelow(True)
    figure.suptitle("Held-out log-likelihood; lines 95 % over annotators", fontsize=10)
    return figure


def selection_figure(fit: dict[str, Any]) -> Any:
    """Held-out likelihood of training answers by size, the best ridge of each; how rank and K were chosen."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
    for name in ("shared", "cluster"):
        best: dict[int, float] = {}
        for row in fit["selection"]["candidates"]:
            if row["method"] == name and row["held_out"] is not None:
                best[row["size"]] = max(best.get(row["size"], -1e9), row["held_out"])
        axis.plot(list(best), list(best.values()), "o-", color=COLOURS[name], label=_NAMES[name], ms=4)
        size = fit["selection"]["chosen"][name]["size"]
        if size in best:
            axis.plot(size, best[size], "o", ms=11, markerfacecolor="none", color=COLOURS[name])
    for name, style in (("personal", "--"), ("pooled", ":")):
        rows = [
            r["held_out"] for r in fit["selection"]["candidates"] if r["method"] == name and r["held_out"] is not None
        ]
        if rows:
            label = _NAMES.get(name, "one reward for all")
            axis.axhline(max(rows), color=COLOURS.get(name, "0.4"), linestyle=style, linewidth=1, label=label)
    axis.set_xlabel("rank of the subspace, or number of clusters")
    axis.set_ylabel("held-out log-likelihood\n(nats a pair, training answers)")
    axis.set_title("choice of the size (rings: chosen)", fontsize=9)
    axis.legend(fontsize=7)
    axis.grid(color="0.92")
    return figure


def draw_personal(fit: dict[str, Any], folder: str | Path) -> list[Path]:
    """Every figure of a personal fit."""
    figures = {"gains": gain_figure(fit), "selection": selection_figure(fit)}
    return [path for name, figure in figures.items() for path in save_figure(figure, folder, name)]
