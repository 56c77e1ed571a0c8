"""Figures 2 and 3 of arXiv 2405.15065 from a bandit study's results, with error bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sim.files.figure_files import save_figure, subplots
from sim.files.palette import AMBER, BLUE, GREEN, LIGHT_GREY, ORANGE, PINK
from sim.preferences import FloatArray
from sim.studies.experiment import Figure
from sim.studies.plots import seeds
from sim.studies.precision import half_width
from sim.studies.results import Results

_Bar: TypeAlias = tuple[str, str, str, str]  # label, recipe, method, colour
_BARS: tuple[_Bar, ...] = (
    ("pooled DPO,\nargmax", "normalised", "pooled_dpo_argmax", LIGHT_GREY),
    ("pooled DPO,\nsampled", "normalised", "pooled_dpo", AMBER),
    ("EM + MinMax,\nliteral", "literal", "em_minmax", ORANGE),
    ("EM + MinMax,\nnormalised", "normalised", "em_minmax", GREEN),
    ("EM + MinMax, normalised,\nridge x 10", "normalised_tenfold", "em_minmax", PINK),
    ("MinMax of the\nexact optima", "normalised", "exact_minmax", BLUE),
)
_NAMES = {"log_linear": "log-linear policies", "mlp": "MLP of Table 1"}


def draw_bandit(results: Results, folder: Path) -> list[Path]:
    """figure-2-regret and figure-3-weights as PNG and SVG; a panel a backend."""
    backends = [b for b in _NAMES if b in results.measured().by("backend")]
    paths = []
    if backends:
        paths += save_figure(_regret_figure(results, backends), folder, "figure-2-regret")
        paths += save_figure(_weights_figure(results, backends), folder, "figure-3-weights")
    return paths


FIGURES = {"regret_and_weights": Figure(draw_bandit)}


def _groups(results: Results) -> list[tuple[int, float]]:
    """(group, mean number of annotators)."""
    out: list[tuple[int, float]] = []
    while (sizes := results.where(metric=f"annotators/group_{len(out)}").values()).size:
        out.append((len(out), float(sizes.mean())))
    return out


def _measured(results: Results, bars: Sequence[_Bar]) -> list[_Bar]:
    """The bars this study has numbers for."""
    found = results.measured().by("recipe", "method")
    return [bar for bar in bars if (bar[1], bar[2]) in found]


def _regret_figure(results: Results, backends: Sequence[str]) -> Any:
    groups = _groups(results)
    figure, panels = _panels(len(backends), 4.9, "true regret (reward units)")
    bars = _measured(results, _BARS)
    for axes, backend in zip(panels, backends, strict=True):
        _every_bar(axes, results.where(backend=backend), bars, "regret", len(groups))
        _finish(axes, groups, _NAMES[backend])
    # One axis for all panels, whatever the rewards' scale: nothing is cut off.
    panels[0].set_ylim(0, panels[0].get_ylim()[1])
    _title(figure, panels, results, "Figure 2: regret of each group by policy")
    return figure


def _weights_figure(results: Results, backends: Sequence[str]) -> Any:
    groups = _groups(results)
    figure, panels = _panels(len(backends), 4.4, "ensemble weight of the group's policy")
    bars = _measured(results, [bar for bar in _BARS if bar[2].endswith("minmax")])
    for axes, backend in zip(panels, backends, strict=True):
        _every_bar(axes, results.where(backend=backend), bars, "weight", len(groups))
        axes.axhline(1 / len(groups), color="0.25", linestyle="--", linewidth=0.9, zorder=3, label="_equal weights")
        _finish(axes, groups, _NAMES[backend])
        axes.set_ylim(0, 1.02)
    _title(figure, panels, results, "Figure 3: MinMax weights (dashed: equal weights)")
    return figure


def _every_bar(axes: Any, results: Results, bars: Sequence[_Bar], metric: str, n_groups: int) -> None:
    width = 0.8 / len(bars)
    for place, (label, recipe, method, colour) in enumerate(bars):
        own = results.where(recipe=recipe, method=method)
        by_group = [own.where(metric=f"{metric}/group_{z}").replicate_means() for z in range(n_groups)]
        _bars(axes, by_group, width, (place - (len(bars) - 1) / 2) * width, colour, label.replace("\n", " "))


def _bars(axes: Any, by_group: Sequence[FloatArray], width: float, shift: float, colour: str, label: str) -> None:
    """A bar a group at the mean, its 95 % interval, and a dot a replicate."""
    shown = [(z, values) for z, values in enumerate(by_group) if values.size]
    if not shown:
        return
    at = np.array([z + shift for z, _ in shown])
    means = np.array([values.mean() for _, values in shown])
    axes.bar(at, means, width * 0.92, color=colour, alpha=0.75, label=label, zorder=1)
    for x, (_, values) in zip(at, shown, strict=True):
        # Spread evenly, not at random: the same results draw the same file.
        jitter = np.linspace(-0.3, 0.3, values.size) * width if values.size > 1 else np.zeros(1)
        axes.plot(x + jitter, values, ".", color="0.15", markersize=2.2, alpha=0.55, zorder=2,
                  label=f"_{label}, each seed")  # fmt: skip
    for x, mean in zip(at, means, strict=True):
        if abs(mean) < 5e-3:
            # A bar of no height would look like a missing one.
            axes.annotate("0", (x, 0), textcoords="offset points", xytext=(0, 3), ha="center", fontsize=8)
    errors = [half_width(values) for _, values in shown]
    axes.errorbar(at, means, yerr=errors, fmt="none", ecolor="black", capsize=3, elinewidth=1.2, zorder=4)


def _panels(n: int, height: float, label: str) -> tuple[Any, list[Any]]:
    figure, panels = subplots(1, n, figsize=(5.4 * n, height), sharey=True, squeeze=False, layout="constrained")
    panels[0, 0].set_ylabel(label)
    return figure, list(panels[0])


def _finish(axes: Any, groups: Sequence[tuple[int, float]], name: str) -> None:
    total = sum(size for _, size in groups)
    axes.set_xticks(range(len(groups)), [f"group {z + 1}\n({size / total:.0%} of annotators)" for z, size in groups])
    axes.set_title(name, fontsize=10)
    axes.grid(axis="y", color="0.9", zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _title(figure: Any, panels: Sequence[Any], results: Results, text: str) -> None:
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3 if len(panels) > 1 else 2, fontsize=8, frameon=False
    )
    figure.suptitle(f"{text}\nmean over {seeds(results)}, 95 % interval of the mean; dots are seeds", fontsize=11)
