"""Figures of regret by answers, shift and radius."""

from __future__ import annotations

from pathlib import Path

from sim.files.palette import LINES
from sim.studies.experiments.low_rank.method_looks import (
    FULL,
    LOW,
    ORACLE,
    POLICIES,
    SHIFTS,
    WITH_CONTEXT,
    curves,
    numeric_factors,
)
from sim.studies.experiments.low_rank.method_names import PESSIMISTIC, with_names
from sim.studies.experiments.low_rank.tables import half_of, tune
from sim.studies.plots import curve, finish, log_x, log_y, panels, points
from sim.studies.results import Results


def draw_scenarios(results: Results, folder: Path) -> list[Path]:
    """Regret against answers (or the first factor of numbers), for every mean of the contexts; and bounds on it."""
    paths: list[Path] = []
    for mean in results.levels("context_mean") or [None]:
        own = results.where(context_mean=mean)
        factor = next(iter(sorted(numeric_factors(own), key="n".__ne__)), None)
        if factor is None:
            continue
        words = "answers" if factor == "n" else factor
        figure, axes = panels(3)
        # Where it is as good as the truth PRS lies upon it: the truth is a wide, pale line below.
        curve(axes[0], own, factor, "regret", "PRS, true subspace given", 7, hollow=True, method=ORACLE.text)
        curves(axes[0], own, factor, "regret", [m for m in POLICIES if m.kind != "pointwise"])
        curves(axes[1], own, factor, "regret", [m for m in POLICIES if m.kind in ("pointwise", "greedy")])
        curve(axes[2], own, factor, "bound", POLICIES[LOW][0], 0, method=LOW.text)
        curve(axes[2], own, factor, "bound/width", "PRS, without the truncation's part", 0, dashed=True,
              hollow=True, method=LOW.text)  # fmt: skip
        curve(axes[2], own, factor, "bound", POLICIES[FULL][0], 1, method=FULL.text)
        titles = ("Pessimism about the mean over contexts", "Pessimism about each context alone",
                  "Bounds on it: 2 f C* + 2 b + gap")  # fmt: skip
        for axis, title in zip(axes, titles, strict=True):
            log_x(axis, results.levels(factor), words)
            log_y(axis, "regret" if axis is not axes[2] else "bound")
            axis.set_title(title, fontsize=10)
        # The same measure in both.
        ends = [axis.get_ylim() for axis in axes[:2]]
        for axis in axes[:2]:
            axis.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
        shifted = bool(mean)
        # A file a mean, of one name where there is one.
        several = len([other for other in results.levels("context_mean") if other]) > 1
        name = f"scenarios-mean-{mean:g}" if shifted and several else "scenarios-mean" if shifted else "scenarios"
        title = "Regret under exotic actions" + (f", first context of mean {mean:g}" if shifted else "")
        paths += finish(figure, own, title, folder, name, axes)
    return paths


def draw_controls(results: Results, folder: Path) -> list[Path]:
    """A panel a shift: regret at each method's own best multiple of the radius, on the seeds it was not chosen on."""
    shifts = [shift for shift in SHIFTS if shift in results.levels("shift")]
    answers = results.levels("n")
    figure, axes = panels(len(shifts))
    for axis, shift in zip(axes, shifts, strict=True):
        at = {n: cell for n in answers for cell in results.cells(shift=shift, n=n)[:1]}
        for name in WITH_CONTEXT:
            label, number = POLICIES[name]
            if name.kind in PESSIMISTIC:
                tuned = {n: tune(results, cell, name.estimator, name.kind) for n, cell in at.items()}
                values = {n: found.own for n, found in tuned.items() if found is not None}
            else:
                values = {n: half_of(results, cell, name.text, "regret", odd=True) for n, cell in at.items()}
            values = {n: own for n, own in values.items() if own.size}
            if values:
                points(axis, list(values), list(values.values()), label, number, "--" if name.kind == "greedy" else "-")
        log_x(axis, answers, "answers")
        log_y(axis, "regret")
        axis.set_title(SHIFTS[shift], fontsize=10)
    half = Results.from_rows((row for row in results.rows() if row["replicate"] % 2 == 1), results.settings)
    title = "Every pessimistic method at its best radius by shift (chosen on the other half of the seeds)"
    return finish(figure, half if len(half) else results, title, folder, "controls", axes[0])


def draw_tuning(results: Results, folder: Path) -> list[Path]:
    """Regret against the multiple of the radius, a panel a shift; dashed: greedy, which is multiple 0."""
    shifts: list[str | None] = [shift for shift in SHIFTS if shift in results.levels("shift")]
    shifts = shifts or [None]
    regret = with_names(results.where(metric="regret"))
    multiples = [scale for scale in regret.measured().levels("scale") if scale > 0]
    figure, axes = panels(len(shifts))
    for axis, shift in zip(axes, shifts, strict=True):
        for name in WITH_CONTEXT:
            label, number = POLICIES[name]
            own = regret.where(shift=shift, estimator=name.estimator, kind=name.kind)
            if name.kind != "greedy":
                curve(axis, own, "scale", "regret", label, number)
            elif (known := own.replicate_means()).size:
                axis.axhline(known.mean(), color=LINES[number], linestyle="--", linewidth=1.4, label=label)
        log_x(axis, multiples, "multiple of the radius")
        axis.set_xticks(multiples, [f"1/{round(1 / c)}" if c < 1 else f"{c:g}" for c in multiples])
        log_y(axis, "regret")
        axis.set_title("" if shift is None else SHIFTS[shift], fontsize=10)
    answers = results.levels("n")
    title = "How pessimistic to be" + (f", {answers[0]:,} answers" if len(answers) == 1 else "")
    return finish(figure, results, title, folder, "tuning", axes[0])
