"""What the studies' figures share: curves with intervals, heat maps, and the look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.files.figure_files import save_figure, subplots
from sim.files.palette import LINES, MARKERS
from sim.preferences import FloatArray
from sim.studies.results import Results
from sim.studies.summary import half_width


def look(number: int) -> dict[str, Any]:
    """Colour, marker and sizes of the line of that number."""
    return {"color": LINES[number % 7], "marker": MARKERS[number % 7], "markersize": 4.5, "linewidth": 1.4,
            "capsize": 2.5}  # fmt: skip


def panels(columns: int, *, width: float = 4.6, height: float = 3.9) -> tuple[Any, list[Any]]:
    figure, axes = subplots(1, columns, figsize=(width * columns, height), squeeze=False, layout="constrained")
    for own in axes[0]:
        own.grid(color="0.9")
        own.set_axisbelow(True)
        for side in ("top", "right"):
            own.spines[side].set_visible(False)
    return figure, list(axes[0])


def grid(count: int, columns: int = 3) -> tuple[Any, list[Any]]:
    """Panels in rows of `columns`."""
    down = -(-count // columns)
    figure, axes = subplots(down, columns, figsize=(4.3 * columns, 3.2 * down), squeeze=False, layout="constrained")
    flat = list(axes.ravel())
    for number, own in enumerate(flat):
        own.grid(color="0.9")
        own.set_axisbelow(True)
        own.spines[["top", "right"]].set_visible(False)
        own.set_visible(number < count)
    return figure, flat[:count]


def curve(
    axes: Any, results: Results, x: str, metric: str, label: str, number: int, *, dashed: bool = False, **where: Any
) -> None:
    """Mean over replicates of the rows `where` against factor `x`, with its 95 % interval; nothing where nothing was
    measured."""
    found = results.where(metric=metric, **where).measured().by(x)
    at = sorted(found)
    if at:
        points(axes, at, [found[level].values() for level in at], label, number, "--" if dashed else "-")


def points(
    axes: Any, x: Sequence[float], values: Sequence[FloatArray], label: str, number: int, line: str = "-"
) -> None:
    """Means of values (one array an x) with 95 % intervals."""
    means, errors = [own.mean() for own in values], [half_width(own) for own in values]
    axes.errorbar(x, means, yerr=errors, label=label, **look(number), linestyle=line)


def log_x(axes: Any, values: Sequence[float], words: str) -> None:
    """A logarithmic axis with these values, and no others, for ticks."""
    axes.set_xscale("log")
    axes.set_xticks(values, [f"{value:,}" if isinstance(value, int) else f"{value:g}" for value in values])
    axes.minorticks_off()
    axes.set_xlabel(words)


def plain_logs(axis: Any) -> None:
    """Ticks at 1, 2, 5 times powers of ten, written out; one of a panel's two axes."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def log_y(axes: Any, words: str) -> None:
    axes.set_yscale("log")
    plain_logs(axes.yaxis)
    axes.set_ylabel(words)


def legend_below(axes: Any, columns: int = 2) -> None:
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=columns)


def heat(
    axes: Any, table: FloatArray, x: Sequence[Any], y: Sequence[Any], *, words: str, centre: float, form: str
) -> None:
    """table (len(y), len(x)) as colours around `centre`, each cell with its number."""
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
    axes.figure.colorbar(shown, ax=axes, label=words, shrink=0.9)


def finish(
    figure: Any, results: Results, title: str, folder: str | Path, name: str, legend: Any = None, bars: bool = True
) -> list[Path]:
    """Title with the number of seeds, one legend below, files."""
    drawn = ", bars: 95 % interval of the mean" if bars else ""
    figure.suptitle(f"{title}\nmean over {results.replicates} seeds{drawn}", fontsize=10.5)
    if legend is not None:
        handles, labels = legend.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(len(labels), 4), fontsize=8.5, frameon=False
        )
    return save_figure(figure, folder, name)
