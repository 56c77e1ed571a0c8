"""The figures of the low-rank studies: whichever the grid has the factors for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sim.studies.experiments.low_rank.looks import (
    POLICIES,
    SHIFTS,
    WITH_CONTEXT,
    curves,
    finish_part,
    grid,
    legend_below,
    log_x,
    log_y,
    numeric_factors,
    points,
)
from sim.studies.experiments.low_rank.rank_figures import draw_assumed_rank, draw_crossing, draw_dimension
from sim.studies.experiments.low_rank.served_figures import draw_candidates, draw_hidden, draw_unsafe
from sim.studies.experiments.low_rank.tables import PESSIMISTIC, Cells, policy_of, tune
from sim.studies.plots import COLOURS, Rows, curve, finish, levels, matching, panels


def draw_low_rank(rows: Rows, folder: Path) -> list[Path]:
    """The figure this grid has the factors for; else regret against its first factor of numbers, if there is one."""
    methods = {row["method"] for row in rows}
    policies = [policy for policy in map(policy_of, methods) if policy is not None]
    several = {name for name in rows[0] if len(levels(rows, name)) > 1 and name not in ("method", "value", "metric")}
    if any(policy.estimator.startswith("rank") for policy in policies):
        return draw_assumed_rank(rows, folder)
    if several & {"off_rank", "power"} and "n" in several:
        return draw_crossing(rows, folder)
    if {"d_x", "rank"} <= several:
        return draw_dimension(rows, folder)
    if any(policy.kind.startswith("kl/") for policy in policies):
        return draw_unsafe(rows, folder)
    if "hidden" in several:
        return draw_hidden(rows, folder)
    if "exotic" in several:
        return draw_candidates(rows, folder)
    if len({policy.scale for policy in policies if policy.kind in PESSIMISTIC}) > 3:
        return _tuning(rows, folder)
    if "shift" in several and "n" in several:
        return _controls(rows, folder)
    return _scenarios(rows, folder)


def _scenarios(rows: Rows, folder: Path) -> list[Path]:
    """Regret against answers (or the first factor of numbers), for every mean of the contexts; and bounds on it."""
    paths: list[Path] = []
    for mean in levels(rows, "context_mean") or [None]:
        own = [row for row in rows if mean is None or row["context_mean"] == mean]
        factor = next(iter(sorted(numeric_factors(own), key="n".__ne__)), None)
        if factor is None:
            continue
        words = "answers" if factor == "n" else factor
        figure, axes = panels(3, width=4.9)
        curves(axes[0], own, factor, "regret", [m for m in POLICIES if "/pointwise" not in m])
        curve(axes[0], own, factor, "regret", {"method": "oracle/distributional/c=1"}, "PRS, true subspace", 4)
        curves(axes[1], own, factor, "regret", [m for m in POLICIES if "/pointwise" in m or "/greedy" in m])
        low, full = "low/distributional/c=1", "full/distributional/c=1"
        curve(axes[2], own, factor, "bound", {"method": low}, "PRS", 0)
        curve(axes[2], own, factor, "bound/width", {"method": low}, "PRS, without the truncation's part", 5)
        curve(axes[2], own, factor, "bound", {"method": full}, "full rank (nothing truncated)", 1)
        titles = ("Pessimism about the mean over contexts", "Pessimism about each context alone", "Bound on the regret")
        for axis, title in zip(axes, titles, strict=True):
            log_x(axis, levels(rows, factor), words)
            log_y(axis, "regret" if axis is not axes[2] else "2 f C* + 2 b + gap")
            axis.set_title(title, fontsize=10)
            legend_below(axis, 2 if axis is not axes[2] else 1)
        shifted = bool(mean)
        title = "Exotic actions" + (f", first context of mean {mean:g}" if shifted else "")
        paths += finish(figure, own, title, folder, "scenarios-mean" if shifted else "scenarios")
    return paths


def _controls(rows: Rows, folder: Path) -> list[Path]:
    """A panel a shift: regret at each method's own best multiple of the radius, on the seeds it was not chosen on."""
    shifts = [shift for shift in SHIFTS if shift in levels(rows, "shift")]
    cells, answers = Cells(rows), levels(rows, "n")
    figure, axes = grid(len(shifts))
    for axis, shift in zip(axes, shifts, strict=True):
        at = [cells.at(shift=shift, n=n)[0] for n in answers]
        for method in WITH_CONTEXT:
            label, number = POLICIES[method]
            policy = policy_of(method)
            assert policy is not None
            if policy.kind in PESSIMISTIC:
                tuned = [tune(cells, cell, policy.estimator, policy.kind) for cell in at]
                values = [found.own for found in tuned if found is not None]
            else:
                values = [own for cell in at if (own := cells.values(cell, method, "regret")[1::2]).size]
            if len(values) == len(answers):
                points(axis, answers, values, label, number, "--" if policy.kind == "greedy" else "-")
        log_x(axis, answers, "answers")
        log_y(axis, "regret")
        axis.set_title(SHIFTS[shift], fontsize=10)
    half = [row for row in rows if row["replicate"] % 2 == 1]
    title = "Six shifts, every pessimistic method at its best radius (chosen on the other half of the seeds)"
    return finish_part(figure, half or rows, title, folder, "controls", axes[0])


def _tuning(rows: Rows, folder: Path) -> list[Path]:
    """Regret against the multiple of the radius, a panel a shift; dashed: greedy, which is multiple 0."""
    shifts: list[str | None] = [shift for shift in SHIFTS if shift in levels(rows, "shift")]
    shifts = shifts or [None]
    expanded = [
        {**row, "multiple": found.scale, "method": f"{found.estimator}/{found.kind}"}
        for row in matching(rows, {"metric": "regret"})
        if (found := policy_of(row["method"])) is not None
    ]
    multiples = [value for value in levels(expanded, "multiple") if value > 0]
    figure, axes = panels(len(shifts), width=4.0)
    for axis, shift in zip(axes, shifts, strict=True):
        own = [row for row in expanded if shift is None or row["shift"] == shift]
        for method in WITH_CONTEXT:
            label, number = POLICIES[method]
            head = method.rpartition("/")[0]
            if head.endswith("/greedy"):
                values = [row["value"] for row in matching(own, {"method": head})]
                if values:
                    axis.axhline(np.mean(values), color=COLOURS[number], linestyle="--", linewidth=1.4, label=label)
            else:
                curve(axis, own, "multiple", "regret", {"method": head}, label, number)
        log_x(axis, multiples, "multiple of the radius")
        axis.set_xticks(multiples, [f"1/{round(1 / c)}" if c < 1 else f"{c:g}" for c in multiples])
        log_y(axis, "regret")
        axis.set_title("" if shift is None else SHIFTS[shift], fontsize=10)
    answers = levels(rows, "n")
    title = "How pessimistic to be" + (f", {answers[0]:,} answers" if len(answers) == 1 else "")
    return finish(figure, rows, title, folder, "tuning", axes[0])
