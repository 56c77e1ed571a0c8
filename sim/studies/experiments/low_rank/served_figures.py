"""Figures of who is served what: more candidates, unsafe candidates, contexts nobody observes."""

from __future__ import annotations

from pathlib import Path

from sim.studies.experiments.low_rank.looks import WITH_CONTEXT, curves, legend_below, log_x
from sim.studies.experiments.low_rank.tables import policy_of
from sim.studies.plots import Rows, curve, finish, levels, panels

_REGULARISED = (
    ("low/1", "whole radius, low rank", 5), ("low/0.5", "half the radius, low rank", 0),
    ("full/1", "whole radius, full rank", 4), ("full/0.5", "half the radius, full rank", 1),
    ("low/0", "plain estimates, low rank", 2), ("full/0", "plain estimates, full rank", 3),
)  # fmt: skip
_LEARNERS = (
    ("low", "contexts, low rank", 0), ("full", "contexts, full rank", 1), ("per_user", "each user alone", 3),
    ("user_low", "users, low rank, no contexts", 2), ("context_free", "one reward for all", 6),
)  # fmt: skip


def draw_candidates(rows: Rows, folder: Path) -> list[Path]:
    """Regret and true reward as exotic candidates are added."""
    figure, axes = panels(2, width=5.2)
    counts = levels(rows, "exotic")
    curves(axes[0], rows, "exotic", "regret", WITH_CONTEXT)
    curves(axes[1], rows, "exotic", "value", WITH_CONTEXT)
    curve(axes[1], rows, "exotic", "value", {"method": "truth"}, "best possible", 6, dashed=True)
    for axis, name in zip(axes, ("regret", "true reward"), strict=True):
        axis.set_xscale("symlog", linthresh=1, linscale=0.4)
        axis.set_xticks(counts, [str(value) for value in counts])
        axis.minorticks_off()
        axis.set_xlabel("exotic candidates added")
        axis.set_ylabel(name)
    n = levels(rows, "n")
    title = "More candidates to choose from" + (f", {n[0]:,} answers" if len(n) == 1 else "")
    return finish(figure, rows, title, folder, "candidates", axes[1])


def draw_unsafe(rows: Rows, folder: Path) -> list[Path]:
    """Share of unsafe choices against answers; and, KL-regularised, against beta, with the regret."""
    figure, axes = panels(3, width=4.9)
    answers = levels(rows, "n")
    if len(answers) > 1:
        curves(axes[0], rows, "n", "exotic", WITH_CONTEXT)
        log_x(axes[0], answers, "answers")
    shown = answers[min(1, len(answers) - 1)] if answers else None
    expanded = [
        {**row, "beta": float(found.kind.removeprefix("kl/beta=")), "method": f"{found.estimator}/{found.scale:g}"}
        for row in rows
        if (shown is None or row["n"] == shown)
        and (found := policy_of(row["method"])) is not None
        and found.kind.startswith("kl/beta=")
    ]
    for axis, metric in ((axes[1], "exotic"), (axes[2], "regret")):
        for method, label, number in _REGULARISED:
            curve(axis, expanded, "beta", metric, {"method": method}, label, number, dashed=method.endswith("/0"))
        log_x(axis, levels(expanded, "beta"), "beta")
    for axis in axes[:2]:
        axis.set_ylabel("share of unsafe choices")
        axis.set_ylim(-0.03, 1.03)
        legend_below(axis)
    axes[2].set_ylabel("regret")
    axes[0].set_title("Best policies", fontsize=10)
    words = "" if shown is None else f", {shown:,} answers"
    for axis in axes[1:]:
        axis.set_title(f"KL-regularised around the uniform policy{words}", fontsize=10)
    unsafe = levels(rows, "unsafe")
    worth = f"worth {-unsafe[0]:g} less" if len(unsafe) == 1 else "worth less"
    return finish(figure, rows, f"Exotic actions that are {worth} than their features say", folder, "unsafe")


def draw_hidden(rows: Rows, folder: Path) -> list[Path]:
    """Pairs ordered rightly, against answers a user (nothing hidden; some hidden) and against hidden dimensions."""
    users = (levels(rows, "users") or [1])[0]
    if not levels(rows, "n"):
        return []
    expanded = [{**row, "each": row["n"] / users} for row in rows]
    hidden, most, each = levels(rows, "hidden"), levels(rows, "n")[-1], levels(expanded, "each")
    figure, axes = panels(4, width=3.9)
    for axis, level in ((axes[0], hidden[0]), (axes[1], hidden[(len(hidden)) // 2])):
        for method, label, number in _LEARNERS:
            curve(axis, expanded, "each", "agreement", {"method": method, "hidden": level}, label, number)
        log_x(axis, each, "answers a user")
        axis.set_title("all contexts observed" if level == 0 else f"{level} context dimensions hidden", fontsize=10)
    for axis, metric, title in ((axes[2], "agreement", "people who answered"),
                                (axes[3], "agreement/strangers", "people never met")):  # fmt: skip
        for method, label, number in _LEARNERS:
            curve(axis, expanded, "hidden", metric, {"method": method, "n": most}, label, number)
        axis.set_xlabel("context dimensions hidden")
        axis.set_xticks(hidden)
        axis.set_title(f"{title}, {most / users:g} answers a user", fontsize=10)
    for axis in axes:
        axis.set_ylim(0.47, 1.0)
    axes[0].set_ylabel("pairs ordered as the true reward does")
    return finish(figure, rows, f"Contexts nobody observes, {users} users", folder, "hidden", axes[0])
