"""Figures of the profiles study: what three rules do to whom, and which of them is recovered first."""

from __future__ import annotations

from pathlib import Path

from sim.algorithms.welfare import RULES
from sim.files.palette import LINES
from sim.studies.experiment import Figure
from sim.studies.experiments.profiles.setting import PROFILES
from sim.studies.plots import curve, finish, panels
from sim.studies.precision import half_width, yes_no
from sim.studies.results import Results

_SHOWN = (
    ("mean", "mean share of own maximum"),
    ("least", "least share of own maximum"),
    ("gini", "Gini of the shares"),
    ("nash_lost", "Nash welfare lost, share of best"),
    ("scale_matters", "choice changes with scales"),
)


def draw_profiles(results: Results, folder: Path) -> list[Path]:
    """Bars of each rule by profile, at the most answers; and what the rules lose when they learn."""
    profiles: list[str | None] = [name for name in PROFILES if name in results.levels("profile")] or [None]
    paths = _bars(results, folder, profiles)
    if len(results.levels("answers")) > 1:
        figure, axes = panels(len(profiles))
        for axis, profile in zip(axes, profiles, strict=True):
            for number, rule in enumerate(RULES):
                curve(axis, results, "answers", "own_lost", rule, number, method=rule, profile=profile)
            axis.set_xscale("log")
            axis.set_xlabel("answers a party")
            axis.set_title(str(profile), fontsize=10)
            axis.set_ylabel("share of own welfare lost")
        paths += finish(figure, results, "Which rule is recovered first", folder, "recovered", axes[0])
    return paths


FIGURES = {"profiles": Figure(draw_profiles)}


def _bars(results: Results, folder: Path, profiles: list[str | None]) -> list[Path]:
    most = (results.levels("answers") or [None])[-1]
    figure, axes = panels(len(_SHOWN))
    for axis, (metric, words) in zip(axes, _SHOWN, strict=True):
        share = metric in yes_no(results.where(metric=metric))
        for number, rule in enumerate(RULES):
            for place, profile in enumerate(profiles):
                found = results.where(method=rule, metric=metric, profile=profile, answers=most).replicate_means()
                if found.size:
                    at = place + 0.27 * (number - 1)
                    half = half_width(found, share=share)
                    axis.bar(at, found.mean(), 0.25, yerr=half, color=LINES[number], capsize=2,
                             label=rule if place == 0 else f"_{rule}", error_kw={"linewidth": 1})  # fmt: skip
                    if abs(found.mean()) < 5e-3:
                        axis.annotate("0", (at, 0), textcoords="offset points", xytext=(0, 2), ha="center", fontsize=7)
        axis.set_xticks(range(len(profiles)), [str(name) for name in profiles], rotation=30, fontsize=8)
        axis.set_title(words, fontsize=9.5)
    return finish(figure, results, "Lotteries of three rules by society", folder, "profiles", axes[0])
