"""Figures 2 and 3 of arXiv 2405.15065 from a bandit study's results, with error bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sim.files.atomic import replacing
from sim.preferences import FloatArray
from sim.studies.comparison import values_of
from sim.studies.plots import half_width

# Okabe-Ito: told apart with any colour vision; hatches and positions say the same again.
_Bar: TypeAlias = tuple[str, str, str, str]  # label, recipe, method, colour
_BARS: tuple[_Bar, ...] = (
    ("pooled DPO,\nargmax", "normalised", "pooled_dpo_argmax", "#999999"),
    ("pooled DPO,\nsampled", "normalised", "pooled_dpo", "#E69F00"),
    ("EM + MinMax,\nliteral", "literal", "em_minmax", "#D55E00"),
    ("EM + MinMax,\nnormalised", "normalised", "em_minmax", "#009E73"),
    ("EM + MinMax, normalised,\nridge x 10", "normalised_tenfold", "em_minmax", "#CC79A7"),
    ("MinMax of the\nexact optima", "normalised", "exact_minmax", "#0072B2"),
)
_NAMES = {"log_linear": "log-linear policies", "mlp": "MLP of Table 1"}


def draw_bandit(rows: Sequence[Mapping[str, Any]], folder: str | Path) -> list[Path]:
    """figure-2-regret and figure-3-weights as PNG and SVG; a panel a backend."""
    backends = [b for b in _NAMES if any(row.get("backend") == b and row["value"] is not None for row in rows)]
    paths = []
    if backends:
        paths += _save(_regret_figure(rows, backends), folder, "figure-2-regret")
        paths += _save(_weights_figure(rows, backends), folder, "figure-3-weights")
    return paths


def _groups(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """(group, mean number of annotators)."""
    out: list[tuple[int, float]] = []
    while (sizes := values_of(rows, {"metric": f"annotators/group_{len(out)}"})).size:
        out.append((len(out), float(sizes.mean())))
    return out


def _measured(rows: Sequence[Mapping[str, Any]], bars: Sequence[_Bar]) -> list[_Bar]:
    """The bars this study has numbers for."""
    found = {(row.get("recipe"), row["method"]) for row in rows if row["value"] is not None}
    return [bar for bar in bars if (bar[1], bar[2]) in found]


def _regret_figure(rows: Sequence[Mapping[str, Any]], backends: Sequence[str]) -> Any:
    groups = _groups(rows)
    figure, panels = _panels(len(backends), 4.9, "true regret (reward units; 10 = uniform policy)")
    bars = _measured(rows, _BARS)
    width = 0.8 / len(bars)
    for axes, backend in zip(panels, backends, strict=True):
        for place, (label, recipe, method, colour) in enumerate(bars):
            cell = {"backend": backend, "recipe": recipe, "method": method}
            by_group = [values_of(rows, {**cell, "metric": f"regret/group_{z}"}) for z, _ in groups]
            _bars(axes, by_group, width, (place - (len(bars) - 1) / 2) * width, colour, label.replace("\n", " "))
        _finish(axes, groups, _NAMES[backend])
        axes.set_ylim(0, 16.9)
    _title(figure, panels, rows, "Figure 2: regret of each group by policy")
    return figure


def _weights_figure(rows: Sequence[Mapping[str, Any]], backends: Sequence[str]) -> Any:
    groups = _groups(rows)
    figure, panels = _panels(len(backends), 4.4, "ensemble weight of the group's policy")
    bars = _measured(rows, [bar for bar in _BARS if bar[2].endswith("minmax")])
    width = 0.8 / len(bars)
    for axes, backend in zip(panels, backends, strict=True):
        for place, (label, recipe, method, colour) in enumerate(bars):
            cell = {"backend": backend, "recipe": recipe, "method": method}
            by_group = [values_of(rows, {**cell, "metric": f"weight/group_{z}"}) for z, _ in groups]
            _bars(axes, by_group, width, (place - (len(bars) - 1) / 2) * width, colour, label.replace("\n", " "))
        axes.axhline(1 / len(groups), color="0.25", linestyle="--", linewidth=0.9, zorder=3)
        _finish(axes, groups, _NAMES[backend])
        axes.set_ylim(0, 1.02)
    _title(figure, panels, rows, "Figure 3: MinMax weights (dashed: equal weights)")
    return figure


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
        axes.plot(x + jitter, values, ".", color="0.15", markersize=2.2, alpha=0.55, zorder=2)
    for x, mean in zip(at, means, strict=True):
        if abs(mean) < 5e-3:
            # A bar of no height would look like a missing one.
            axes.annotate("0", (x, 0), textcoords="offset points", xytext=(0, 3), ha="center", fontsize=8)
    errors = [half_width(values) for _, values in shown]
    axes.errorbar(at, means, yerr=errors, fmt="none", ecolor="black", capsize=3, elinewidth=1.2, zorder=4)


def _panels(n: int, height: float, label: str) -> tuple[Any, list[Any]]:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, n, figsize=(5.4 * n, height), sharey=True, squeeze=False, layout="constrained")
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


def _title(figure: Any, panels: Sequence[Any], rows: Sequence[Mapping[str, Any]], text: str) -> None:
    n = 1 + max(row["replicate"] for row in rows)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3 if len(panels) > 1 else 2, fontsize=8, frameon=False
    )
    figure.suptitle(f"{text}\nmean over {n} seeds, 95 % interval of the mean; dots are seeds", fontsize=11)


def _save(figure: Any, folder: str | Path, name: str) -> list[Path]:
    import matplotlib.pyplot as plt

    paths = []
    for suffix in ("png", "svg"):
        path = Path(folder) / f"{name}.{suffix}"
        # Without a date, and with the ids' salt fixed, an unchanged figure is an unchanged file.
        with replacing(path) as temporary, plt.rc_context({"svg.hashsalt": name}):
            figure.savefig(temporary, dpi=150, metadata={"Date": None} if suffix == "svg" else {})
        paths.append(path)
    plt.close(figure)
    return paths
