"""Figures of the best-of-n study: the true score against n, where pessimism pays, and how much of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sim.preferences import FloatArray
from sim.studies.experiment import Figure
from sim.studies.plots import curve, finish, log_x, panels, points
from sim.studies.results import Results

# method -> (words, number of its colour and marker)
WORDS = {
    "low/distributional": ("PRS", 0), "full/distributional": ("pessimistic, full rank", 1),
    "low/pointwise": ("PRS, each prompt alone", 5), "full/pointwise": ("full rank, each prompt alone", 4),
    "low/greedy": ("greedy, low rank", 2), "full/greedy": ("greedy, full rank", 3),
}  # fmt: skip
# prompts -> (words, number)
STATES = {
    "covered": ("covered", 2), "uncovered": ("uncovered, odd directions worth nothing", 0),
    "rewarding": ("uncovered, odd directions carry reward", 3),
}  # fmt: skip
_GAIN = "true reward, nats"


def _states(results: Results) -> list[tuple[Results, str, int]]:
    """The rows of each state there is, with its words; all of them where a study does not vary it."""
    found = results.levels("prompts")
    if not found:
        return [(results, "", 0)]
    return [(results.where(prompts=name), *words) for name, words in STATES.items() if name in found]


def draw_best_of_n(results: Results, folder: Path) -> list[Path]:
    """True score against n, a panel a state, at the fewest answers; and PRS minus greed, at every number of answers."""
    return _against_n(results, folder) + _where(results, folder)


def _against_n(results: Results, folder: Path) -> list[Path]:
    answers = results.levels("answers")
    states = _states(results.where(answers=answers[0]) if answers else results)
    figure, axes = panels(len(states))
    for axis, (own, words, _) in zip(axes, states, strict=True):
        curve(axis, own, "n", "score", "best possible", 6, method="best")
        _methods(axis, own, "n")
        log_x(axis, own.levels("n"), "candidates n")
        axis.set_title(words, fontsize=10)
    _same_height(axes)
    _same_words(axes, _GAIN)
    said = f", {answers[0]:,} answers" if answers else ""
    return finish(
        figure, results, f"Best of n by a learned reward{said}, above the mean response", folder, "best_of_n", axes[0]
    )


def _where(results: Results, folder: Path) -> list[Path]:
    """Paired over seeds: both heads pick out of the same candidates after the same answers."""
    answers = results.levels("answers") or [None]
    figure, axes = panels(len(answers))
    for axis, level in zip(axes, answers, strict=True):
        own = results.where(answers=level) if level is not None else results
        for state, words, number in _states(own):
            score = state.where(metric="score")
            gains = {n: _gains(score, score.cells(n=n)) for n in score.levels("n")}
            gains = {n: own for n, own in gains.items() if own.size}
            if gains:
                points(axis, list(gains), list(gains.values()), words, number)
        axis.axhline(0.0, color="0.5", linewidth=0.9)
        log_x(axis, own.levels("n"), "candidates n")
        if level is not None:
            axis.set_title(f"{level:,} answers", fontsize=10)
    _same_words(axes, "PRS minus greedy, nats")
    title = "Where pessimism pays (above 0) and where it does not"
    return finish(figure, results, title, folder, "best_of_n_where", axes[0])


def _gains(score: Results, cells: list[str]) -> FloatArray:
    """PRS minus greedy, of each replicate that both have in all of these cells; the mean over cells."""
    wanted = [(cell, f"low/{kind}", "score") for kind in ("distributional", "greedy") for cell in cells]
    prs, greedy = score.paired(*wanted).reshape(2, len(cells), -1) if cells else np.empty((2, 1, 0))
    return np.asarray((prs - greedy).mean(axis=0))


def draw_radius(results: Results, folder: Path) -> list[Path]:
    """True score against the multiple of the sets' radius; greedy heads, which have none, as level lines."""
    states = _states(results)
    figure, axes = panels(len(states))
    for axis, (own, words, _) in zip(axes, states, strict=True):
        _methods(axis, own, "scale")
        log_x(axis, own.levels("scale"), "multiple of the radius")
        axis.set_title(words, fontsize=10)
    _same_height(axes)
    _same_words(axes, _GAIN)
    return finish(
        figure,
        results,
        "Best of n: how pessimistic to be, above the mean response",
        folder,
        "best_of_n_radius",
        axes[0],
    )


def _same_height(axes: list[Any]) -> None:
    ends = [axis.get_ylim() for axis in axes]
    for axis in axes:
        axis.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def _same_words(axes: list[Any], words: str) -> None:
    for axis in axes:
        axis.set_ylabel(words)


def _methods(axis: Any, results: Results, factor: str) -> None:
    for method, (label, number) in WORDS.items():
        curve(axis, results, factor, "score", label, number, dashed=method.endswith("greedy"), method=method)


FIGURES = {
    "best_of_n": Figure(draw_best_of_n, needs=("n",)),
    "radius": Figure(draw_radius, needs=("scale",)),
}
