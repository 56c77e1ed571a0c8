"""Figures and table of the representation studies, one a study file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim.preferences import BoolArray, FloatArray
from sim.studies.experiment import Figure
from sim.studies.plots import curve, finish, heats, look, of_true_rank, panels
from sim.studies.results import Results
from sim.studies.summary import means_table

_METHODS = (
    ("shared", "shared subspace"), ("separate", "each party alone"), ("pooled", "one reward for all"),
    ("oracle", "true subspace given"),
)  # fmt: skip


def crossing(x: Sequence[float], first: FloatArray, second: FloatArray) -> float:
    """Where the first curve, below at the start, meets the second (linear in between); nan if it does not."""
    gap = first - second
    for i in range(len(x) - 1):
        if gap[i] < 0 <= gap[i + 1]:
            return float(x[i] + (x[i + 1] - x[i]) * gap[i] / (gap[i] - gap[i + 1]))
    return float("nan")


def draw_violation(results: Results, folder: Path) -> list[Path]:
    """Error, coverage and loss as the shared representation is violated; with the control, answers reshuffled."""
    varied = bool(results.levels("permuted"))
    plain = results.where(permuted=False) if varied else results
    figure, axes = panels(3)
    for number, (method, label) in enumerate(_METHODS):
        curve(axes[0], plain, "violation", "error", label, number, method=method)
        curve(axes[2], plain, "violation", "own_loss", label, number, method=method)
    if varied:
        reshuffled = results.where(permuted=True, violation=plain.levels("violation")[0])
        curve(axes[0], reshuffled, "violation", "error", "shared, answers reshuffled (control)", 6, method="shared")
    w = plain.levels("violation")
    by = {m: plain.where(method=m, metric="error").means("violation", on=plain) for m in ("shared", "separate")}
    measured = crossing(w, by["shared"], by["separate"])
    # Of errors where nothing is violated.
    unspoilt = w[:1] == [0.0]
    gain = np.maximum(by["separate"][:1] ** 2 - by["shared"][:1] ** 2, 0.0)
    predicted = float(np.sqrt(gain).sum()) if unspoilt else float("nan")
    crossings: list[str] = []
    for at, words, style in ((measured, "measured", "-"), (predicted, "predicted", ":")):
        if np.isfinite(at):
            axes[0].axvline(at, color="0.3", linestyle=style, linewidth=1, label=f"_crossing, {words}")
            crossings.append(f"{words} {at:.2f}")
    axes[0].set_ylabel("mean error of a party's reward")
    axes[0].set_title("Sharing helps up to w: " + ", ".join(crossings) if crossings else "No crossing", fontsize=10)
    _coverage(axes[1], plain)
    axes[2].set_ylabel("share of the best gain")
    axes[2].set_title("What a party loses by its own estimate", fontsize=10)
    for own in axes:
        own.set_xlabel("violation w (0: one subspace for all)")
    return finish(figure, plain, "The shared representation violated step by step", folder, "violation", axes[0])


def covered(at_zero: Mapping[int, float], errors: Mapping[int, float]) -> BoolArray:
    """Whether each replicate has every party inside: its error over the rate within the .9 quantile, at least w, of the
    half of the replicates (even, odd) that it is not in. So all of them are judged, and none by itself.

    Both by replicate: one that failed must not turn even ones into odd.
    """
    limits = [np.quantile([own for r, own in at_zero.items() if r % 2 == half], 0.9) for half in (1, 0)]
    return np.array([own <= limits[r % 2] for r, own in errors.items()])


def _coverage(axes: Any, results: Results) -> None:
    """Share of replicates with every party inside the confidence set."""
    from scipy.stats import binomtest

    w = results.levels("violation")
    for number, (method, label) in enumerate(_METHODS[:2]):
        own = results.where(method=method, metric="error/rate")
        at_zero = own.where(violation=w[0]).by_replicate()
        if min(sum(r % 2 == half for r in at_zero) for half in (0, 1)) < 2:
            continue
        at = {v: found for v in w if (found := own.where(violation=v).by_replicate())}
        inside = [covered(at_zero, found) for found in at.values()]
        share = np.array([found.mean() for found in inside])
        limits = [binomtest(int(found.sum()), found.size).proportion_ci() for found in inside]
        errors = np.array([share - [found.low for found in limits], [found.high for found in limits] - share])
        axes.errorbar(list(at), share, yerr=errors, label=label, **look(number))
    axes.axhline(0.9, color="0.3", linestyle="--", linewidth=1)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share of seeds")
    axes.set_title(f"All parties inside their sets (made for .9 at w = {w[0]:g})", fontsize=10)


def draw_fitted_rank(results: Results, folder: Path) -> list[Path]:
    """Errors by the rank that is fitted."""
    title = "Error by the rank that is fitted" + of_true_rank(results)
    return _one_factor(results, folder, "fit_rank", "rank fitted", title)


def draw_outliers(results: Results, folder: Path) -> list[Path]:
    """Errors by the share of parties off the others' subspace."""
    return _one_factor(results, folder, "outlier_share", "share of parties off the subspace", "Outlying parties")


def _one_factor(results: Results, folder: Path, factor: str, words: str, title: str) -> list[Path]:
    figure, axes = panels(2)
    for number, (method, label) in enumerate(_METHODS):
        curve(axes[0], results, factor, "error", label, number, method=method)
        curve(axes[1], results, factor, "error/worst", label, number, method=method)
    for own, name in zip(axes, ("mean error of a party's reward", "the worst-served party"), strict=True):
        own.set_xlabel(words)
        own.set_ylabel(name)
    return finish(figure, results, title, folder, factor, axes[0])


def draw_gain(results: Results, folder: Path) -> list[Path]:
    """Separate over shared error, measured and predicted, sqrt(d / n) / sqrt(r / n + d r / (M n))."""
    parties, answers = results.levels("parties"), results.levels("answers")
    error = results.where(metric="error")
    shared, separate = (error.where(method=m).means("parties", "answers", on=results) for m in ("shared", "separate"))
    shown, titles = [separate / shared], ["measured"]
    d, r = (results.settings.get(name) for name in ("dimension", "rank"))
    if d and r:
        shown.append(np.array([[np.sqrt(d / (r + d * r / M)) for _ in answers] for M in parties]))
        titles.append("predicted")
    figure, axes = panels(len(shown))
    heats(axes, shown, answers, parties, words="error alone / error shared", centre=1.0,
          form=".2f")  # fmt: skip
    for own, title in zip(axes, titles, strict=True):
        own.set_xlabel("answers a party")
        own.set_ylabel("parties")
        own.set_title(title, fontsize=10)
    return finish(figure, results, "What sharing a subspace gains (above 1: it pays)", folder, "gain", bars=False)


FIGURES = {
    "violation": Figure(draw_violation, needs=("violation",)),
    "fitted_rank": Figure(draw_fitted_rank, needs=("fit_rank",)),
    "outliers": Figure(draw_outliers, needs=("outlier_share",)),
    "gain": Figure(draw_gain, needs=("parties", "answers")),
}


def table_representation(results: Results, factors: Sequence[str]) -> str:
    """Without the errors over the rate, which only the coverage panel needs."""
    return means_table(Results.from_rows(row for row in results.rows() if row["metric"] != "error/rate"), factors)
