"""An experiment of one's own: `pluralign study skeleton.yaml --workers 2`.

This one: how far the mean of n answers is from the true share of yes. Put your simulation in its place.
"""

from dataclasses import dataclass

import pluralign as pl
from sim.studies.plots import curve, finish, log_x, panels
from sim.studies.setting_checks import check_kinds


@dataclass(frozen=True)
class Coins:
    """What a study file may set (`settings:`) or vary (`grid:`); each field with its default."""

    n: int = 10
    share: float = 0.3

    def __post_init__(self):
        check_kinds(self)  # a file may hold anything: every field is held against its annotation
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must lie in 0..1 (got {self.share})")


def run(setting, stream, backends):
    """One replicate of one cell: a list of numbers, each with the method it is of and its name.

    All randomness comes from `stream`: the numbers then depend on the seed alone, not on workers or engine.
    """
    yes = stream.child("answers").uniforms(setting.n) < setting.share
    shrunken = (yes.sum() + 1) / (setting.n + 2)
    return [
        pl.Measurement("mean", "error", abs(float(yes.mean()) - setting.share)),
        pl.Measurement("shrunken", "error", abs(float(shrunken) - setting.share)),
    ]


def draw(results, folder):
    """The figure, as PNG and SVG in the study's folder; returns the files."""
    figure, axes = panels(1)
    for number, method in enumerate(("mean", "shrunken")):
        curve(axes[0], results, "n", "error", method, number, method=method)
    log_x(axes[0], results.levels("n"), "answers")
    axes[0].set_ylabel("distance from the true share")
    return finish(figure, results, "Two estimates of a share", folder, "skeleton", axes[0])


EXPERIMENT = pl.Experiment(Coins, run, {"error": pl.Figure(draw, needs=("n",))})
