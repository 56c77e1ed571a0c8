"""What the studies' figures share: curves with intervals, heat maps, and the look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.files.figure_files import save_figure, subplots
from sim.files.palette import GREY, LINES, MARKERS
from sim.preferences import FloatArray
from sim.studies.precision import half_width, yes_no
from sim.studies.results import Results
from sim.studies.seeds import from_to, replicates_a_cell

# One size for every panel of every figure, two a row: at the width of a page of text its letters are read as they are.
_WIDTH, _HEIGHT, _ALONE = 4.5, 3.3, (6.4, 3.9)
_LOOKS = tuple(zip((*LINES, GREY), (*MARKERS, "*"), strict=True))


def look(number: int, *, hollow: bool = False) -> dict[str, Any]:
    """Colour, marker and sizes of the line of that number; hollow: for one that lies under another."""
    colour, marker = _LOOKS[number % len(_LOOKS)]
    own = {"color": colour, "marker": marker, "markersize": 4.5, "linewidth": 1.4, "capsize": 2.5}
    return {**own, "markersize": 9.0, "markerfacecolor": "none", "linewidth": 3.2, "alpha": 0.6} if hollow else own


def panels(count: int, columns: int = 2) -> tuple[Any, list[Any]]:
    """Panels in rows of `columns`; in a place that is left over `finish` puts the legend."""
    columns = min(columns, count)
    down = -(-count // columns)
    size = _ALONE if count == 1 else (_WIDTH * columns, _HEIGHT * down)
    figure, axes = subplots(down, columns, figsize=size, squeeze=False, layout="constrained")
    flat = list(axes.ravel())
    for number, own in enumerate(flat):
        own.grid(color="0.9")
        own.set_axisbelow(True)
        own.spines[["top", "right"]].set_visible(False)
        own.set_visible(number < count)
    return figure, flat[:count]


def curve(
    axes: Any, results: Results, x: str, metric: str, label: str, number: int, *, dashed: bool = False,
    hollow: bool = False, **where: Any,
) -> None:  # fmt: skip
    """Mean over replicates of the rows `where` against factor `x`, with its 95 % interval; nothing where nothing was
    measured.  Cells that differ in another factor weigh alike (`Results.replicate_means`).  A level that is null has no
    place on an axis, and is left out."""
    found = results.where(metric=metric, **where).measured().by(x)
    means = {level: found[level].replicate_means() for level in sorted(level for level in found if level is not None)}
    at = [level for level, own in means.items() if own.size]
    if at:
        drawn = [means[level] for level in at]
        share = metric in yes_no(results.where(metric=metric))
        points(axes, at, drawn, label, number, "--" if dashed else "-", hollow=hollow, share=share)


def points(
    axes: Any, x: Sequence[float], values: Sequence[FloatArray], label: str, number: int, line: str = "-", *,
    hollow: bool = False, share: bool = False,
) -> None:  # fmt: skip
    """Means of values (one array an x, one number a replicate) with 95 % intervals, where they are known."""
    means, errors = [own.mean() for own in values], [half_width(own, share=share) for own in values]
    axes.errorbar(x, means, yerr=errors, label=label, **look(number, hollow=hollow), linestyle=line)


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
    """A panel's own legend, where colours mean something else than in the other panels."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=columns)


def heats(
    axes: Sequence[Any], tables: Sequence[FloatArray], x: Sequence[Any], y: Sequence[Any], *, words: str, centre: float,
    form: str,
) -> None:  # fmt: skip
    """tables (len(y), len(x)), a panel each, as colours around `centre`, each cell with its number: one scale for all,
    as far to either side, so that equal colours are equal numbers."""
    from matplotlib.colors import CenteredNorm

    known = np.concatenate([[centre], *(table[np.isfinite(table)] for table in tables)])
    largest = float(np.abs(known - centre).max()) or 1.0
    norm = CenteredNorm(centre, largest)
    for own, table in zip(axes, tables, strict=True):
        shown = own.imshow(table, origin="lower", aspect="auto", cmap="RdBu_r", norm=norm)
        own.grid(visible=False)
        own.set_xticks(range(len(x)), [f"{value:,g}" for value in x])
        own.set_yticks(range(len(y)), [f"{value:,g}" for value in y])
        for i, j in np.argwhere(np.isfinite(table)):
            dark = abs(table[i, j] - centre) > 0.6 * largest
            own.text(j, i, unsigned_zero(table[i, j], form), ha="center", va="center", fontsize=8,
                     color="white" if dark else "black")  # fmt: skip
    bar = axes[0].figure.colorbar(shown, ax=list(axes), label=words, shrink=0.9)
    if np.ptp(known):
        bar.ax.set_ylim(known.min(), known.max())


def seeds(results: Results) -> str:
    """Of how many replicates a cell's means are, in words."""
    return from_to(replicates_a_cell(results.measured()), " seeds")


def unsigned_zero(value: float, form: str) -> str:
    """The number as `form` has it; what is rounded to nothing has no sign."""
    told = format(value, form)
    return told.removeprefix("-") if float(told) == 0 else told


def of_true_rank(results: Results) -> str:
    """In brackets "true rank 3", as the study set it; nothing where it varies, or is not known."""
    rank = results.settings.get("rank")
    return "" if rank is None else f" (true rank {rank})"


def finish(
    figure: Any, results: Results, title: str, folder: str | Path, name: str, legend: Any = None, bars: bool = True
) -> list[Path]:
    """Title with the number of seeds; one legend of all the panels given (one, or several), where a panel is left
    over or below; files."""
    drawn = ", bars: 95 % interval of the mean" if bars else ""
    figure.suptitle(f"{title}\nmean over {seeds(results)}{drawn}", fontsize=10.5)
    if legend is not None:
        named: dict[str, Any] = {}
        for own in legend if isinstance(legend, Sequence) else [legend]:
            for handle, label in zip(*own.get_legend_handles_labels(), strict=True):
                named.setdefault(label, handle)
        free = next((own for own in figure.axes if not own.get_visible()), None)
        if free is None:
            figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=min(len(named), 3),
                          fontsize=8.5, frameon=False)  # fmt: skip
        else:
            free.set_visible(True)
            free.set_axis_off()
            free.legend(named.values(), named.keys(), loc="center", fontsize=9, frameon=False, labelspacing=0.9)
    return save_figure(figure, folder, name)
