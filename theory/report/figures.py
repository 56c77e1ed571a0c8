"""Figures of a check: verdicts at a glance, and rates with their error bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.files.figure_files import save_figure, subplots
from sim.files.palette import AMBER, BLUE, GREEN, LIGHT_GREY, ORANGE, SKY
from theory.engine.checks import Check
from theory.engine.verdicts import Verdict

# Shapes say the same as colours again.
COLOURS = {
    Verdict.HOLDS: GREEN,
    Verdict.VIOLATED: ORANGE,
    Verdict.INCONCLUSIVE: AMBER,
    Verdict.VACUOUS: LIGHT_GREY,
    Verdict.PREMISE_FAILED: SKY,
}
SHAPES = {
    Verdict.HOLDS: "o",
    Verdict.VIOLATED: "X",
    Verdict.INCONCLUSIVE: "D",
    Verdict.VACUOUS: "s",
    Verdict.PREMISE_FAILED: "^",
}


# Checks that have a row each; more are squares by paper, and the page of `pluralign report` has the rows.
_ROWS, _A_LINE, _NAMED = 40, 36, 12


def verdict_figure(checks: Sequence[Check]) -> Any:
    """What came out, at a glance: of a few checks each with its power, of many a square each, by paper."""
    return _a_row_each(checks) if len(checks) <= _ROWS else _a_square_each(checks)


def _a_square_each(checks: Sequence[Check]) -> Any:
    """Verdicts of each paper side by side, those not as expected ringed and named."""
    papers: dict[str, list[Check]] = {}
    for check in checks:
        papers.setdefault(check.paper, []).append(check)
    lines = sum(2 + -(-len(own) // _A_LINE) for own in papers.values())
    odd = [check for check in checks if not check.as_expected]
    figure, axes = subplots(figsize=(9, 0.26 * lines + 1.4), layout="constrained")
    y, seen = 0, set()
    for paper, own in papers.items():
        expected = sum(check.as_expected for check in own)
        axes.text(-0.5, y, f"{paper.replace('_', ' ')}: {expected} of {len(own)} as expected", fontsize=9, va="center")
        for place, check in enumerate(own):
            at = (place % _A_LINE, y + 1 + place // _A_LINE)
            label = None if check.verdict in seen else check.verdict.replace("_", " ")
            seen.add(check.verdict)
            axes.plot(*at, SHAPES[check.verdict], color=COLOURS[check.verdict], markersize=7, linestyle="", label=label)
            if not check.as_expected:
                axes.plot(*at, "o", markersize=13, markerfacecolor="none", markeredgecolor="black")
        y += 2 + -(-len(own) // _A_LINE)
    axes.set_xlim(-1, _A_LINE)
    axes.set_ylim(y - 0.5, -1)
    axes.set_axis_off()
    named = "; ".join(f"{check.claim_id} ({check.variant.replace('_', ' ')})" for check in odd[:_NAMED])
    more = f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
    ringed = f"ringed, not as expected: {named}{more}" if odd else "all as expected"
    figure.suptitle(f"{len(checks)} verdicts, {ringed}", fontsize=10, wrap=True)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8.5, frameon=False)
    return figure


def _a_row_each(checks: Sequence[Check]) -> Any:
    """A row a check: its verdict, what was expected, and the measured power of the check."""
    figure, (left, right) = subplots(
        1, 2, figsize=(9, 0.24 * len(checks) + 1.4), sharey=True, width_ratios=(2, 1), layout="constrained"
    )
    rows = np.arange(len(checks))[::-1]
    order = list(Verdict)
    for row, check in zip(rows, checks, strict=True):
        left.axhline(row, color="0.92", linewidth=0.7, zorder=0)
        right.axhline(row, color="0.92", linewidth=0.7, zorder=0)
        left.plot(order.index(check.expected), row, "o", markersize=11, markerfacecolor="none", markeredgecolor="0.55")
        left.plot(order.index(check.verdict), row, SHAPES[check.verdict], color=COLOURS[check.verdict], markersize=6.5)
        right.plot([0, check.power], [row, row], color="0.7", linewidth=2, solid_capstyle="butt")
        right.plot(check.power, row, "|", color="black", markersize=8)
    left.set_yticks(rows, [f"{check.claim_id} ({check.variant.replace('_', ' ')})" for check in checks], fontsize=7)
    left.set_xticks(range(len(order)), [v.replace("_", "\n") for v in order], fontsize=7)
    left.set_xlim(-0.5, len(order) - 0.5)
    left.set_ylim(-1, len(checks))
    left.set_title("verdict (grey ring: what was expected)", fontsize=9)
    right.axvline(0.8, color="0.4", linestyle="--", linewidth=0.8)
    right.set_xlim(0, 1.04)
    right.set_xlabel("measured power against the weakest control", fontsize=8)
    right.tick_params(labelsize=7)
    right.set_title("power (0.8 is required)", fontsize=9)
    return figure


def rate_figure(check: Check) -> Any:
    """Mean over replicates with two standard errors, log-log, and the claimed slope through the middle; means that are
    not positive have no place there and are counted."""
    assert check.curve is not None
    every, means, errors = (
        np.array(v, dtype=np.float64) for v in (check.curve.grid, check.curve.mean, check.curve.standard_error)
    )
    drawn = (means > 0) & np.isfinite(means)
    grid, mean = every[drawn], means[drawn]
    above = np.nan_to_num(2 * errors[drawn], posinf=0.0)
    # No logarithm of what is not positive: the lower end alone is cut.
    error = [np.minimum(above, 0.95 * mean), above]
    left_out = "" if drawn.all() else f"; {len(every) - len(grid)} of {len(every)} are not positive"
    figure, axes = subplots(figsize=(4.6, 3.4), layout="constrained")
    axes.errorbar(
        grid, mean, yerr=error, fmt="o-", color=BLUE, capsize=3, markersize=4,
        label=f"measured (mean, 2 standard errors{left_out})",
    )  # fmt: skip
    if len(grid) and math.isfinite(check.bound):
        middle = len(grid) // 2
        axes.plot(
            every, mean[middle] * (every / grid[middle]) ** check.bound, "--", color="0.4",
            label=f"slope {check.bound:g}: the limit",
        )  # fmt: skip
    if not len(grid):
        # Matplotlib has no logarithm of nothing.
        axes.set_xlim(every.min(), every.max())
        axes.set_ylim(0.1, 1.0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(f"{check.axes[0]} (log scale)")
    axes.set_ylabel(f"{check.axes[1]} (log scale)")
    low, high = check.interval or (np.nan, np.nan)
    measured = np.nan if check.measured is None else check.measured
    axes.set_title(
        f"{check.claim_id} ({check.variant.replace('_', ' ')}): {check.verdict}\n"
        f"slope {measured:.3f} [{low:.3f}, {high:.3f}]",
        fontsize=9,
    )
    axes.legend(fontsize=7)
    return figure


def draw_check(checks: Sequence[Check], folder: str | Path) -> list[Path]:
    """Every figure of a check run."""
    paths = save_figure(verdict_figure(checks), folder, "verdicts")
    for check in checks:
        if check.curve is not None:
            paths += save_figure(rate_figure(check), folder, f"rate-{check.claim_id}-{check.variant}")
    return paths
