"""What the studies' figures share: curves with intervals, heat maps, and the look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.files.figure_files import save_figure
from sim.preferences import FloatArray

Rows = Sequence[Mapping[str, Any]]
# Okabe-Ito; markers say the same again.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def half_width(values: FloatArray) -> float:
    """Half of Student's 95 % interval of the mean; 0 for one value."""
    from scipy.stats import t

    if len(values) < 2:
        return 0.0
    return float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def levels(rows: Rows, factor: str) -> list[Any]:
    """The factor's values, in order; empty if the study does not vary it."""
    return sorted({row[factor] for row in rows if row.get(factor) is not None})


def matching(rows: Rows, where: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The measured rows that match every entry of `where`."""
    items = tuple(where.items())
    return [row for row in rows if row["value"] is not None and all(row.get(k) == v for k, v in items)]


def panels(columns: int, *, width: float = 4.6, height: float = 3.9) -> tuple[Any, list[Any]]:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, columns, figsize=(width * columns, height), squeeze=False, layout="constrained")
    for own in axes[0]:
        own.grid(color="0.9")
        own.set_axisbelow(True)
        for side in ("top", "right"):
            own.spines[side].set_visible(False)
    return figure, list(axes[0])


def curve(
    axes: Any,
    rows: Rows,
    x: str,
    metric: str,
    where: Mapping[str, Any],
    label: str,
    number: int,
    dashed: bool = False,
) -> None:
    """Mean over replicates against factor `x`, with its 95 % interval; nothing where nothing was measured."""
    by: dict[Any, list[float]] = {}
    for row in matching(rows, {**where, "metric": metric}):
        by.setdefault(row[x], []).append(row["value"])
    at = sorted(by)
    found = [np.array(by[value]) for value in at]
    means, errors = [own.mean() for own in found], [half_width(own) for own in found]
    if at:
        axes.errorbar(
            at, means, yerr=errors, label=label, color=COLOURS[number % 7], marker=MARKERS[number % 7], markersize=4.5,
            linewidth=1.4, capsize=2.5, linestyle="--" if dashed else "-",
        )  # fmt: skip


def heat(
    axes: Any, table: FloatArray, x: Sequence[Any], y: Sequence[Any], *, words: str, centre: float, form: str
) -> None:
    """table (len(y), len(x)) as colours around `centre`, each cell with its number."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import TwoSlopeNorm

    largest = float(np.nanmax(np.abs(table - centre))) or 1.0
    low, high = float(np.nanmin(table)), float(np.nanmax(table))
    # Never all on one side: the centre keeps the neutral colour.
    norm = TwoSlopeNorm(centre, min(low, centre - 0.05 * largest), max(high, centre + 0.05 * largest))
    shown = axes.imshow(table, origin="lower", aspect="auto", cmap="RdBu_r", norm=norm)
    axes.grid(visible=False)
    axes.set_xticks(range(len(x)), [f"{value:g}" for value in x])
    axes.set_yticks(range(len(y)), [f"{value:g}" for value in y])
    for i in range(len(y)):
        for j in range(len(x)):
            if np.isfinite(table[i, j]):
                dark = abs(table[i, j] - centre) > 0.6 * largest
                axes.text(j, i, format(table[i, j], form), ha="center", va="center", fontsize=8,
                          color="white" if dark else "black")  # fmt: skip
    plt.colorbar(shown, ax=axes, label=words, shrink=0.9)


def finish(
    figure: Any, rows: Rows, title: str, folder: str | Path, name: str, legend: Any = None, bars: bool = True
) -> list[Path]:
    """Title with the number of seeds, one legend below, files."""
    n = 1 + max(row["replicate"] for row in rows)
    drawn = ", bars: 95 % interval of the mean" if bars else ""
    figure.suptitle(f"{title}\nmean over {n} seeds{drawn}", fontsize=10.5)
    if legend is not None:
        handles, labels = legend.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(len(labels), 4), fontsize=8.5, frameon=False
        )
    return save_figure(figure, folder, name)


def means(rows: Rows, factors: Sequence[str], where: Mapping[str, Any]) -> FloatArray:
    """Means over replicates on the grid of `factors`; nan where nothing was measured."""
    grids = [levels(rows, factor) for factor in factors]
    found: dict[tuple[Any, ...], list[float]] = {}
    for row in matching(rows, where):
        found.setdefault(tuple(row[factor] for factor in factors), []).append(row["value"])
    out = np.full([len(grid) for grid in grids], np.nan)
    for place in np.ndindex(*out.shape):
        own = found.get(tuple(grid[i] for grid, i in zip(grids, place, strict=True)))
        if own:
            out[place] = np.mean(own)
    return out
