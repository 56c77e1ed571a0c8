"""Figures of the study without rewards: who is exploitable, and how often the winner is the Utilitarian optimum."""

from __future__ import annotations

from pathlib import Path

from sim.studies.experiment import Figure
from sim.studies.plots import curve, finish, heats, panels
from sim.studies.results import Results

_SHOWN = (
    ("winner", "pessimistic winner"),
    ("winner, averaged bonus", "pessimistic, averaged bonus"),
    ("plain winner", "plain winner"),
    ("borda", "Borda, pooled"),
    ("utilitarian", "Utilitarian reward fit"),
)


def draw_reward_free(results: Results, folder: Path) -> list[Path]:
    """Exploitability and the dominated action against the share of cyclic parties; agreement where there are none."""
    paths: list[Path] = []
    if len(results.levels("cyclic")) > 1:
        parties = results.levels("parties")
        middle = parties[len(parties) // 2] if parties else None
        own = results.where(parties=middle)
        own = own.where(spread=(own.levels("spread") or [None])[-1])
        figure, axes = panels(2)
        for number, (method, label) in enumerate(_SHOWN):
            curve(axes[0], own, "cyclic", "exploitability", label, number, method=method)
            curve(axes[1], own, "cyclic", "dominated", label, number, method=method)
        for axis, words in zip(axes, ("exploitability", "P(dominated action)"), strict=True):
            axis.set_xlabel("share of parties with cyclic preferences")
            axis.set_ylabel(words)
        title = "Preferences without rewards" + ("" if middle is None else f", {middle} parties")
        paths += finish(figure, own, title, folder, "reward-free", axes[0])
    if len(results.levels("parties")) > 1 and len(results.levels("spread")) > 1:
        figure, axes = panels(1)
        table = results.where(method="truth", metric="agrees").means("spread", "parties", on=results)
        heats(axes, [table], results.levels("parties"), results.levels("spread"), words="share of societies",
              centre=0.5, form=".2f")  # fmt: skip
        axes[0].set_xlabel("parties")
        axes[0].set_ylabel("spread of tastes")
        title = "How often the von Neumann winner is the Utilitarian optimum"
        paths += finish(figure, results, title, folder, "agreement", bars=False)
    return paths


FIGURES = {"reward_free": Figure(draw_reward_free)}
