"""Figures of a low-rank fit: is it of low rank, what pessimism does under shift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.files.atomic import Json
from sim.files.figure_files import subplots
from sim.files.palette import BLUE, GREEN, ORANGE

_MOST_VALUES = 15


def spectrum_figure(fit: Mapping[str, Json]) -> Any | None:
    """Left: singular values of the full fit against chance, and across halves of the people. Right: choice of the
    rank."""
    if "spectrum" not in fit:
        return None
    spectrum = fit["spectrum"]
    q = min(len(spectrum["singular_values"]), _MOST_VALUES)
    at = np.arange(1, q + 1)
    figure, (left, right) = subplots(1, 2, figsize=(10.4, 3.8), layout="constrained", width_ratios=[1.4, 1])
    low, middle, high = (spectrum["null_quantiles"][name][:q] for name in ("5 %", "50 %", "95 %"))
    left.fill_between(at, low, high, color="0.85", label="contexts dealt out at random, 90 % band")
    left.plot(at, middle, color="0.6", linewidth=1)
    left.plot(at, spectrum["singular_values"][:q], "o-", color=BLUE, ms=5, label="full-rank fit")
    crossed = spectrum["cross_fitted"][:q]
    left.plot(
        at,
        crossed,
        "s--",
        color=ORANGE,
        ms=4,
        linewidth=1,
        label="directions of one half of the people,\nfitted on the other half",
    )
    left.axhline(0.0, color="0.3", linewidth=0.8)
    left.set_xticks(at[:: 1 if q <= 10 else 2])
    left.set_xlabel(f"singular value (of {len(spectrum['singular_values'])})")
    left.set_ylabel("standard deviation of the margin\nit accounts for")
    few = spectrum["carrying_nine_tenths"]
    agreed = "" if few is None else f"; {few} carry nine tenths of what halves agree on"
    left.set_title(f"{spectrum['above_null']} above chance (95 %){agreed}", fontsize=9)
    left.legend(fontsize=7)
    _rank_axis(right, fit)
    for axis in (left, right):
        axis.grid(color="0.92")
        axis.set_axisbelow(True)
    return figure


def _rank_axis(axis: Any, fit: Mapping[str, Json]) -> None:
    tried = [row for row in fit["selection"]["candidates"] if row["held_out"] is not None]
    best: dict[int, float] = {}
    for row in tried:
        if row["method"] == "low-rank":
            best[row["rank"]] = max(best.get(row["rank"], -np.inf), row["held_out"])
    if not best:
        axis.set_axis_off()
        axis.text(0.5, 0.5, "too few people to hold any out", ha="center", fontsize=8, transform=axis.transAxes)
        return
    axis.plot(list(best), list(best.values()), "o-", color=BLUE, ms=4, label="low rank, best ridge")
    axis.plot(fit["rank"], best[fit["rank"]], "o", ms=11, markerfacecolor="none", color=BLUE)
    full = max(row["held_out"] for row in tried if row["method"] == "full-rank")
    axis.axhline(full, color=ORANGE, linestyle="--", linewidth=1, label="full rank, best ridge")
    axis.set_xticks(list(best))
    axis.set_xlabel("rank (the reward common to all counts)")
    axis.set_ylabel("held-out log-likelihood\n(nats a pair, training people)")
    axis.set_title("choice of the rank (ring: chosen)", fontsize=9)
    axis.legend(fontsize=7, loc="lower right")


def _policy_rows(fit: Mapping[str, Json], scenario: str) -> list[Mapping[str, Json]]:
    return [row for row in fit["serving"][scenario]["policies"] if not row["tuned"]]


def _policy_label(row: Mapping[str, Json]) -> str:
    return row["policy"] if row["constant"] is None else f"{row['policy']}, {row['constant']:g}"


# One figure: its three panels share rows, colours and legend.
def serving_figure(fit: Mapping[str, Json]) -> Any | None:
    """Worth of what each policy shows, trained without the region and with it, and how often it shows the region."""
    from matplotlib.lines import Line2D

    if not fit.get("serving"):
        return None
    serving = fit["serving"]
    rows = _policy_rows(fit, "with_shift")
    figure, axes = subplots(
        1, 3, figsize=(12.4, 0.27 * len(rows) + 1.9), layout="constrained", sharey=True, width_ratios=[1, 1, 0.8]
    )
    groups = [("known_users", BLUE, -0.14), ("unseen_users", ORANGE, 0.14)]
    pairs = serving["training_pairs"]
    titles = {
        "with_shift": f"trained without '{serving['region']}'\n({pairs['with_shift']:,} answers)",
        "without_shift": f"trained on all answers (control)\n({pairs['without_shift']:,} answers)",
    }
    for axis, (scenario, title) in zip(axes, titles.items(), strict=False):
        for place, row in enumerate(_policy_rows(fit, scenario)):
            for users, colour, shift in groups:
                cell = row[users]
                if cell is None or cell["value_interval"] is None:
                    continue
                axis.plot(cell["value_interval"], [place + shift] * 2, color=colour, linewidth=1.5)
                axis.plot(cell["value"], place + shift, "o", color=colour, ms=3.5)
                if row["constant"] == serving[scenario]["tuned_constants"].get(row["policy"], "none"):
                    axis.plot(cell["value"], place + shift, "o", ms=8, markerfacecolor="none", color="black", mew=0.8)
                if place == 0:
                    axis.axvline(cell["value"], color=colour, linestyle=":", linewidth=1)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("worth of what is shown\n(share of her answers about it that it won)", fontsize=8)
    lowest = min(axis.get_xlim()[0] for axis in axes[:2]), max(axis.get_xlim()[1] for axis in axes[:2])
    for axis in axes[:2]:
        axis.set_xlim(*lowest)
    marks = {"with_shift": ("o", "trained without it"), "without_shift": ("D", "trained on all")}
    for scenario, (mark, label) in marks.items():
        shares = []
        for row in _policy_rows(fit, scenario):
            cells = [(row[users], serving["sets"][users]) for users, *_ in groups if row[users] is not None]
            shares.append(sum(cell["share_inside"] * n for cell, n in cells) / sum(n for _, n in cells))
        axes[2].plot(
            shares, range(len(shares)), mark, ms=4.5, label=label, color=GREEN,
            markerfacecolor=GREEN if mark == "o" else "white",
        )  # fmt: skip
    axes[2].axvline(0.5, color="0.5", linewidth=0.8)
    axes[2].set_xlim(-0.03, 1.03)
    axes[2].set_title(f"share of showings inside '{serving['region']}'\n(line: share of the candidates)", fontsize=9)
    axes[2].set_xlabel("share, all people", fontsize=8)
    axes[0].set_yticks(range(len(rows)), [_policy_label(row) for row in rows], fontsize=8)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    for axis in axes:
        axis.grid(color="0.92")
        axis.set_axisbelow(True)
    handles = [
        Line2D([], [], color=colour, marker="o", ms=4, label=f"{users.replace('_', ' ')} (dotted: greedy)")
        for users, colour, _ in groups
    ]
    handles.append(
        Line2D(
            [], [], color="black", marker="o", ms=8, markerfacecolor="none", mew=0.8, linestyle="none",
            label="constant chosen on held-out training people",
        )
    )  # fmt: skip
    handles += axes[2].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure
