"""Figures of the study of tastes: who gains where, and how fast new annotators are served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sim.studies.experiment import Figure
from sim.studies.experiments.tastes.tables import METHODS, level_text, mean_and_half, place_title, places
from sim.studies.plots import finish, look, panels
from sim.studies.results import Results

_FACTORS = ("questions", "people", "annotators")
_WORDS = {"single": "one taste each", "mixed": "mixtures of tastes"}


def _panels(results: Results) -> Iterator[tuple[str, Results]]:
    """(title, rows) a cell of what the grid varies."""
    factors = [name for name in results.factors if len(results.levels(name)) > 1]
    if not factors:
        yield "", results
        return
    for key, own in results.by(*factors).items():
        levels = key if isinstance(key, tuple) else (key,)
        yield ", ".join(_told(name, level) for name, level in zip(factors, levels, strict=True)), own


def _told(name: str, level: Any) -> str:
    if name == "people":
        return _WORDS.get(str(level), str(level))
    return level_text(level) if name == "questions" else f"{level} {name.replace('_', ' ')}"


def draw_tastes(results: Results, folder: Path) -> list[Path]:
    """tastes: accuracy of every method on held-out answers and new prompts.  few_shot: of new annotators against the
    answers they have shown; a panel a cell in both."""
    measured = results.measured()
    cells = list(_panels(measured))
    figure, axes = panels(len(cells))
    known = [where for where in places(measured) if not where.startswith("after_")]
    methods = [name for name in METHODS if name in set(measured["method"])]
    for axis, (title, own) in zip(axes, cells, strict=True):
        for number, name in enumerate(methods):
            found = [mean_and_half(own, name, f"{where}/accuracy") for where in known]
            aside = 0.11 * (number - (len(methods) - 1) / 2)
            at = [place + aside for place, one in enumerate(found) if one is not None]
            _points(axis, at, [one for one in found if one is not None], name, number, "none")
        axis.set_xticks(range(len(known)), [place_title(where) for where in known])
        axis.set_xlim(-0.5, len(known) - 0.5)
        axis.set_ylabel("accuracy")
        axis.set_title(title, fontsize=9)
    _same_heights(axes)
    title = "Rewards for people of different tastes, bars: 95 % interval over annotators"
    paths = finish(figure, results, title, folder, "tastes", axes[0], bars=False)
    after = [where for where in places(measured) if where.startswith("after_")]
    if len(after) < 2:
        return paths
    shown = [int(where.removeprefix("after_")) for where in after]
    figure, axes = panels(len(cells))
    for axis, (title, own) in zip(axes, cells, strict=True):
        for number, name in enumerate(methods):
            found = [mean_and_half(own, name, f"{where}/accuracy") for where in after]
            at = [x for x, one in zip(shown, found, strict=True) if one is not None]
            _points(axis, at, [one for one in found if one is not None], name, number, "-")
        axis.set_xlabel("answers shown")
        axis.set_ylabel("accuracy on new prompts")
        axis.set_title(title, fontsize=9)
    _same_heights(axes)
    title = "Annotators nobody trained on, bars: 95 % interval over annotators"
    return paths + finish(figure, results, title, folder, "few_shot", axes[0], bars=False)


def _same_heights(axes: list[Any]) -> None:
    """Panels are compared with each other."""
    edges = [axis.get_ylim() for axis in axes]
    for axis in axes:
        axis.set_ylim(min(low for low, _ in edges), max(high for _, high in edges))


def _points(axis: Any, x: list[float], found: list[tuple[float, float]], name: str, number: int, line: str) -> None:
    """Means with 95 % intervals over annotators; the truth is a line in grey."""
    own = {**look(number), "linestyle": line}
    if name == "truth":
        own |= {"color": "0.45", "marker": "_", "markersize": 9, "linestyle": "--" if line == "-" else line}
    means, halves = [mean for mean, _ in found], [half for _, half in found]
    axis.errorbar(x, means, yerr=halves, label=METHODS[name], **own)


FIGURES = {"tastes": Figure(draw_tastes)}
