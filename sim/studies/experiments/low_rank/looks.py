"""What the low-rank studies' figures share: names and colours of methods, axes, panels, tuned curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.preferences import FloatArray
from sim.studies.plots import COLOURS, MARKERS, Rows, curve, finish, half_width, levels

# method -> (words, number of its colour and marker); the same in every figure.
POLICIES = {
    "low/distributional/c=1": ("pessimistic, reduced (PRS)", 0),
    "full/distributional/c=1": ("pessimistic, full rank", 1),
    "low/pointwise/c=1": ("PRS, each context alone", 5),
    "full/pointwise/c=1": ("full rank, each context alone", 4),
    "low/greedy/c=0": ("greedy, low rank", 2),
    "full/greedy/c=0": ("greedy, full rank", 3),
    "context_free/distributional/c=1": ("pessimistic, context-free", 6),
}
WITH_CONTEXT = [method for method in POLICIES if not method.startswith("context_free")]
SHIFTS = {
    "exotic": "exotic actions", "none": "no shift", "context": "exotic actions, contexts hardly varied",
    "mean": "exotic actions, other mean context", "isotropic": "uneven training, even targets",
    "uncovered": "features never varied",
}  # fmt: skip


def curves(axes: Any, rows: Rows, x: str, metric: str, methods: Sequence[str]) -> None:
    """A line a method of POLICIES; greedy ones dashed."""
    for method in methods:
        label, number = POLICIES[method]
        curve(axes, rows, x, metric, {"method": method}, label, number, dashed="/greedy" in method)


def points(
    axes: Any, x: Sequence[float], values: Sequence[FloatArray], label: str, number: int, line: str = "-"
) -> None:
    """Means of values (one array an x) with 95 % intervals."""
    axes.errorbar(x, [own.mean() for own in values], yerr=[half_width(own) for own in values], label=label,
                  **look(number), linestyle=line)  # fmt: skip


def look(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % 7], "marker": MARKERS[number % 7], "markersize": 4.5, "linewidth": 1.4,
            "capsize": 2.5}  # fmt: skip


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


def grid(count: int, columns: int = 3) -> tuple[Any, list[Any]]:
    """Panels in rows of `columns`."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    down = -(-count // columns)
    figure, axes = plt.subplots(down, columns, figsize=(4.3 * columns, 3.2 * down), squeeze=False, layout="constrained")
    flat = list(axes.ravel())
    for number, own in enumerate(flat):
        own.grid(color="0.9")
        own.set_axisbelow(True)
        own.spines[["top", "right"]].set_visible(False)
        own.set_visible(number < count)
    return figure, flat[:count]


def finish_part(figure: Any, rows: Rows, title: str, folder: Path, name: str, legend: Any) -> list[Path]:
    """`finish` where the rows are some of the seeds: counts them."""
    place = {seed: number for number, seed in enumerate(sorted({row["replicate"] for row in rows}))}
    numbered: list[Mapping[str, Any]] = [{**row, "replicate": place[row["replicate"]]} for row in rows]
    return finish(figure, numbered, title, folder, name, legend)


def legend_below(axes: Any, columns: int = 2) -> None:
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=columns)


def ratio(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Ratio of the means of paired values and half its 95 % interval (delta method)."""
    found = float(first.mean() / second.mean())
    return found, half_width((first - found * second) / second.mean())


def numeric_factors(rows: Rows) -> list[str]:
    """Factors with several levels, all numbers."""
    fixed = {"cell_id", "replicate", "method", "metric", "value", "seed_key", "wall_s", "status"}
    found = {name: levels(rows, name) for name in rows[0] if name not in fixed}
    return [n for n, own in found.items() if len(own) > 1 and all(isinstance(v, int | float | np.number) for v in own)]
