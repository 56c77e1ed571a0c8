"""Figures of who is served what: more candidates, unsafe candidates, contexts nobody observes."""

from __future__ import annotations

from pathlib import Path

from sim.studies.experiments.low_rank.method_looks import WITH_CONTEXT, curves
from sim.studies.experiments.low_rank.method_names import KL, with_names
from sim.studies.plots import curve, finish, legend_below, log_x, panels
from sim.studies.results import Results

# (estimator, multiple of the radius, words, number of the colour)
_REGULARISED = (
    ("low", 1.0, "whole radius, low rank", 5), ("low", 0.5, "half the radius, low rank", 0),
    ("full", 1.0, "whole radius, full rank", 4), ("full", 0.5, "half the radius, full rank", 1),
    ("low", 0.0, "plain estimates, low rank", 2), ("full", 0.0, "plain estimates, full rank", 3),
)  # fmt: skip
_LEARNERS = (
    ("low", "contexts, low rank", 0), ("full", "contexts, full rank", 1), ("per_user", "each user alone", 3),
    ("user_low", "users, low rank, no contexts", 2), ("context_free", "one reward for all", 6),
)  # fmt: skip


def draw_candidates(results: Results, folder: Path) -> list[Path]:
    """Regret and true reward as exotic candidates are added."""
    figure, axes = panels(2)
    counts = results.levels("exotic")
    curves(axes[0], results, "exotic", "regret", WITH_CONTEXT)
    curves(axes[1], results, "exotic", "value", WITH_CONTEXT)
    curve(axes[1], results, "exotic", "value", "best possible", 6, dashed=True, method="truth")
    for axis, name in zip(axes, ("regret", "true reward"), strict=True):
        axis.set_xscale("symlog", linthresh=1, linscale=0.4)
        axis.set_xticks(counts, [str(value) for value in counts])
        axis.minorticks_off()
        axis.set_xlabel("exotic candidates added")
        axis.set_ylabel(name)
    n = results.levels("n")
    title = "More candidates to choose from" + (f", {n[0]:,} answers" if len(n) == 1 else "")
    return finish(figure, results, title, folder, "candidates", axes[1])


def draw_unsafe(results: Results, folder: Path) -> list[Path]:
    """Share of unsafe choices against answers; and, KL-regularised, against beta, with the regret."""
    figure, axes = panels(3)
    answers = results.levels("n")
    if len(answers) > 1:
        curves(axes[0], results, "n", "exotic", WITH_CONTEXT)
        log_x(axes[0], answers, "answers")
    shown = answers[min(1, len(answers) - 1)] if answers else None
    regularised = with_names(results.where(n=shown)).where(kind=KL)
    for axis, metric in ((axes[1], "exotic"), (axes[2], "regret")):
        for estimator, scale, label, number in _REGULARISED:
            own = regularised.where(estimator=estimator, scale=scale)
            curve(axis, own, "beta", metric, label, number, dashed=scale == 0.0)
        log_x(axis, regularised.levels("beta"), "beta")
    for axis in axes[:2]:
        axis.set_ylabel("share of unsafe choices")
        axis.set_ylim(-0.03, 1.03)
        legend_below(axis)
    axes[2].set_ylabel("regret")
    axes[0].set_title("Best policies", fontsize=10)
    words = "" if shown is None else f", {shown:,} answers"
    for axis in axes[1:]:
        axis.set_title(f"KL-regularised around the uniform policy{words}", fontsize=10)
    unsafe = results.levels("unsafe")
    worth = f"worth {-unsafe[0]:g} less" if len(unsafe) == 1 else "worth less"
    return finish(figure, results, f"Exotic actions that are {worth} than their features say", folder, "unsafe")


def draw_hidden(results: Results, folder: Path) -> list[Path]:
    """Pairs ordered rightly, against answers a user (nothing hidden; some hidden) and against hidden dimensions."""
    several = results.levels("users") or [results.settings.get("users") or 1]
    if not results.levels("n") or len(several) > 1:
        return []
    (users,) = several
    expanded = results.with_columns(each=[n / users for n in results["n"]])
    hidden, most, each = results.levels("hidden"), results.levels("n")[-1], expanded.levels("each")
    figure, axes = panels(4)
    for axis, level in ((axes[0], hidden[0]), (axes[1], hidden[(len(hidden)) // 2])):
        for method, label, number in _LEARNERS:
            curve(axis, expanded, "each", "agreement", label, number, method=method, hidden=level)
        log_x(axis, each, "answers a user")
        axis.set_title("all contexts observed" if level == 0 else f"{level} context dimensions hidden", fontsize=10)
    for axis, metric, title in ((axes[2], "agreement", "people who answered"),
                                (axes[3], "agreement/strangers", "people never met")):  # fmt: skip
        for method, label, number in _LEARNERS:
            curve(axis, expanded, "hidden", metric, label, number, method=method, n=most)
        axis.set_xlabel("context dimensions hidden")
        axis.set_xticks(hidden)
        axis.set_title(f"{title}, {most / users:g} answers a user", fontsize=10)
    # From a coin's half up; further down where somebody orders worse than it.
    known = [results.where(metric=metric).values() for metric in ("agreement", "agreement/strangers")]
    least = min([0.47, *(float(values.min()) for values in known if values.size)])
    for axis in axes:
        axis.set_ylim(least, 1.0)
        axis.set_ylabel("pairs ordered as in truth")
    return finish(figure, results, f"Contexts nobody observes, {users} users", folder, "hidden", axes[0])
