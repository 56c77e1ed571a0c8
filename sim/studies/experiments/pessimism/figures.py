"""Figures of the pessimism study: when pessimism pays, and how much of it."""

from __future__ import annotations

from pathlib import Path

from sim.studies.experiment import Figure
from sim.studies.experiments.pessimism.setting import MULTIPLIERS, method_of
from sim.studies.plots import curve, finish, heats, log_x, panels
from sim.studies.results import Results


def draw_pessimism(results: Results, folder: Path) -> list[Path]:
    """For each kind of coverage: regret against answers, and the phase map of plain minus pessimistic regret."""
    paths: list[Path] = []
    for expert in results.levels("expert") or [None]:
        own = results.where(expert=expert)
        name = "" if expert is None else "-good-known" if expert else "-any-known"
        words = "" if expert is None else f": the known actions are {'good' if expert else 'no better than others'}"
        paths += _phase_map(own, folder, name, words) + _multipliers(own, folder, name, words)
    return paths


FIGURES = {"phase_map": Figure(draw_pessimism, needs=("parties", "few"))}


def _phase_map(results: Results, folder: Path, name: str, words: str) -> list[Path]:
    few, parties = results.levels("few"), results.levels("parties")
    figure, axes = panels(3)
    middle = parties[len(parties) // 2]
    shown = (("z=1", "pessimistic, product sets"), ("joint", "pessimistic, joint set"), ("z=0", "plain estimate"),
             ("z=-1", "optimistic"))  # fmt: skip
    for number, (method, label) in enumerate(shown):
        curve(axes[0], results, "few", "regret", label, number, method=method, parties=middle)
    log_x(axes[0], few, "answers about each hardly compared action")
    axes[0].set_ylabel("regret of Nash welfare")
    axes[0].set_title(f"Regret (equivalent utility), {middle} parties", fontsize=10)
    regret = results.where(metric="regret")
    plain = regret.where(method="z=0").means("parties", "few", on=results)
    gaps = [plain - regret.where(method=method).means("parties", "few", on=results) for method in ("z=1", "joint")]
    heats(axes[1:], gaps, few, parties, words="plain minus pessimistic", centre=0.0, form=".2f")
    for axis, sets in zip(axes[1:], ("product sets", "joint set"), strict=True):
        axis.set_xlabel("answers about each hardly compared action")
        axis.set_ylabel("parties")
        axis.set_title(f"What pessimism saves, {sets}", fontsize=10)
    title = f"Pessimism, plain estimate, optimism{words}"
    return finish(figure, results, title, folder, f"pessimism{name}", axes[0])


def _multipliers(results: Results, folder: Path, name: str, words: str) -> list[Path]:
    """Regret against the multiple of the radius, a line a coverage."""
    figure, axes = panels(1)
    parties = results.levels("parties")
    middle = parties[len(parties) // 2]
    multiple = {method_of(z): z for z in MULTIPLIERS}
    own = results.where(parties=middle)
    own = own.with_columns(z=[multiple.get(method) for method in own["method"]])
    own = Results.from_rows((row for row in own.rows() if row["z"] is not None), own.settings)
    for number, few in enumerate(own.levels("few")):
        curve(axes[0], own, "z", "regret", f"{few:,} answers", number, few=few)
    axes[0].set_xlabel("multiple of the radius (below 0: optimism)")
    axes[0].set_ylabel("regret of Nash welfare")
    title = f"How pessimistic to be, {middle} parties{words}"
    return finish(figure, own, title, folder, f"multipliers{name}", axes[0])
