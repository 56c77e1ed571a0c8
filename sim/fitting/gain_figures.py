"""Who gains over the common reward, how soon a new annotator does, and how sizes were chosen: any method's fit."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

from sim.counted import counted
from sim.files.atomic import Json
from sim.files.figure_files import subplots
from sim.files.palette import AMBER, BLACK, BLUE, GREEN, GREY, ORANGE, PINK, SKY

# A method keeps its colour whatever it is shown beside; others take what is left in turn.
_COLOURS = {
    "shared": BLUE, "personal": ORANGE, "cluster": GREEN, "shared-network": PINK,
    "em-dpo": BLUE, "cluster-dpo": GREEN, "dpo-equal-weights": GREY,
    "low-rank": BLUE, "full-rank": AMBER, "popularity": GREY, "low-rank-on-popularity": PINK,
}  # fmt: skip
_OTHERS = (AMBER, SKY, BLACK)


def colours(fit: Mapping[str, Json]) -> dict[str, str]:
    """A colour a fitted method, ours fixed, others in turn."""
    spare = cycle(_OTHERS)
    return {name: _COLOURS.get(name) or next(spare) for name in fit["titles"] if name != fit["common"]}


def label(fit: Mapping[str, Json], name: str) -> str:
    """The method's title, with its size where it has one."""
    size = fit["selection"]["chosen"].get(name, {}).get("size", 0)
    return str(fit["titles"].get(name, name)) + (f" ({size})" if size > 1 else "")


def gain_figure(fit: Mapping[str, Json]) -> Any:
    """Known annotators' answers about other items; new annotators, by how many answers were shown, or, where no method
    adapts, unseen annotators as they are."""
    shown = bool(fit["new_users"])
    figure, axes = subplots(
        1, 2, figsize=(10.4, 3.6), layout="constrained", width_ratios=[1, 1.5 if shown else 1], sharey=not shown
    )
    common = fit["titles"][fit["common"]]
    _gains(axes[0], fit, "known_users", "known annotators")
    if shown:
        _new_annotators(axes[1], fit)
        axes[1].set_ylabel(f"gain over {common}\n(nats a pair, other items)")
        axes[1].axhline(0.0, color="0.3", linewidth=0.8)
        handles, labels = axes[1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    else:
        _gains(axes[1], fit, "unseen_users", "unseen annotators")
    for axis in axes:
        axis.grid(color="0.92")
        axis.set_axisbelow(True)
    figure.suptitle("Held-out log-likelihood; lines 95 % over annotators", fontsize=10)
    return figure


def _gains(axis: Any, fit: Mapping[str, Json], users: str, title: str) -> None:
    own = colours(fit)
    for place, (name, colour) in enumerate(own.items()):
        row = fit["against_pooled"].get(name, {}).get(users)
        if row and row["log_likelihood_interval"]:
            axis.plot(row["log_likelihood_interval"], [place, place], color=colour, linewidth=2)
            axis.plot(row["log_likelihood"], place, "o", color=colour)
    axis.set_yticks(range(len(own)), [label(fit, name) for name in own], fontsize=8)
    axis.set_ylim(len(own) - 0.5, -0.5)
    test = fit["test"][users]
    answers = counted(test["n_pairs"], "answers", grouped=True)
    axis.set_title(f"{title} ({counted(test['n_annotators'], 'people')}, {answers})", fontsize=9)
    axis.set_xlabel(f"gain over {fit['titles'][fit['common']]} (nats a pair)")
    axis.locator_params(axis="x", nbins=5)
    axis.axvline(0.0, color="0.3", linewidth=0.8)


def _new_annotators(axis: Any, fit: Mapping[str, Json]) -> None:
    shown = [row["answers_shown"] for row in fit["new_users"]]
    width = 0.6
    own = {name: colour for name, colour in colours(fit).items() if name in fit["new_users"][0]}
    for number, (name, colour) in enumerate(own.items()):
        at = [s + width * (number - (len(own) - 1) / 2) for s in shown]
        rows = [row[name] for row in fit["new_users"]]
        gains = [row["gain_over_pooled"] for row in rows]
        axis.plot(at, gains, "o-", color=colour, ms=4, label=fit["titles"][name])
        for x, row in zip(at, rows, strict=True):
            if row["gain_over_pooled_interval"]:
                axis.plot([x, x], row["gain_over_pooled_interval"], color=colour, linewidth=1.2)
    axis.set_xticks(shown)
    axis.set_xlabel("answers of the new annotator that were shown")
    row = next(value for value in fit["new_users"][0].values() if isinstance(value, dict))
    reserved = counted(row["n_pairs"], "reserved answers", grouped=True)
    axis.set_title(f"new annotators ({counted(row['n_annotators'], 'people')}, {reserved})", fontsize=9)


def selection_figure(fit: Mapping[str, Json]) -> Any | None:
    """Held-out likelihood of training answers by size, the best ridge of each; how rank, K or clusters were chosen."""
    best: dict[str, dict[int, float]] = {}
    for row in (*fit["selection"]["candidates"], *fit["selection"].get("clusters", ())):
        if row["held_out"] is not None:
            sizes = best.setdefault(row["method"], {})
            sizes[row["size"]] = max(sizes.get(row["size"], -1e9), row["held_out"])
    if not any(len(sizes) > 1 for sizes in best.values()):
        return None
    figure, axis = subplots(figsize=(5.6, 3.4), layout="constrained")
    own = colours(fit)
    for name, sizes in best.items():
        colour, title = own.get(name, "0.4"), fit["titles"].get(name, name)
        if len(sizes) == 1 and name != "cluster-dpo":
            axis.axhline(next(iter(sizes.values())), color=colour, linestyle="--", linewidth=1, label=title)
            continue
        axis.plot(list(sizes), list(sizes.values()), "o-", color=colour, label=title, ms=4)
        chosen = fit["selection"]["chosen"].get(name, {}).get("size")
        if chosen in sizes:
            axis.plot(chosen, sizes[chosen], "o", ms=11, markerfacecolor="none", color=colour)
    axis.set_xticks(sorted({size for sizes in best.values() for size in sizes if size}))
    axis.set_xlabel("size (types, rank of the subspace, or clusters)")
    axis.set_ylabel("held-out log-likelihood\n(nats a pair, training answers)")
    axis.set_title("choice of the size (rings: chosen)", fontsize=9)
    axis.legend(fontsize=7)
    axis.grid(color="0.92")
    return figure
