"""The figures of the low-rank studies by the names study files give them."""

from __future__ import annotations

from sim.studies.experiment import Figure
from sim.studies.experiments.low_rank.candidates_and_hidden_figures import draw_candidates, draw_hidden, draw_unsafe
from sim.studies.experiments.low_rank.rank_and_dimension_figures import (
    draw_assumed_rank,
    draw_crossing,
    draw_dimension,
)
from sim.studies.experiments.low_rank.shift_and_radius_figures import draw_controls, draw_scenarios, draw_tuning

FIGURES = {
    "scenarios": Figure(draw_scenarios),
    "controls": Figure(draw_controls, needs=("shift", "n")),
    "tuning": Figure(draw_tuning),
    "dimension": Figure(draw_dimension, needs=("d_x", "rank")),
    "assumed_rank": Figure(draw_assumed_rank),
    "crossing": Figure(draw_crossing, needs=("n",)),
    "candidates": Figure(draw_candidates, needs=("exotic",)),
    "unsafe": Figure(draw_unsafe, needs=("n",)),
    "hidden": Figure(draw_hidden, needs=("hidden", "n")),
}
