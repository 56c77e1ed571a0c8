"""Studies whose cells have unequally many replicates, one replicate, or none: shipped figures are drawn all the same,
and say no limits where none are known."""

import json
import warnings

import numpy as np
import pytest
from places import EXPERIMENTS

from sim.errors import InputError
from sim.files.figure_files import kept
from sim.studies.experiment import Figure
from sim.studies.experiments.low_rank.figures import FIGURES
from sim.studies.experiments.low_rank.tables import table_low_rank
from sim.studies.folder import run_in_folder
from sim.studies.request import Request
from sim.studies.results import Results

GRIDS = {
    "dimension": {"d_x": [4, 6], "rank": [1, 2]},
    "crossing": {"power": [0.5, 2.0], "n": [300, 1000]},
    "assumed_rank": {"d_x": [6, 8], "n": [500, 1000]},
    "controls": {"shift": ["exotic", "none"], "n": [300, 1000]},
    "tuning": {"shift": ["exotic", "none"], "n": [300]},
    "scenarios": {"n": [300, 600], "context_mean": [0.0, 1.0]},
    "candidates": {"n": [300], "exotic": [0, 1, 5]},
    "unsafe": {"n": [300, 600]},
    "hidden": {"n": [80, 240], "users": [8], "hidden": [0, 2, 4]},
}
ESTIMATORS = ("low", "full", "bic", "rank1", "rank3")
KINDS = ("distributional/c=1", "distributional/c=0.5", "greedy/c=0", "kl/beta=0.1/c=1")


def _cells(grid):
    cells = [{}]
    for name, levels in grid.items():
        cells = [{**cell, name: level} for cell in cells for level in levels]
    return cells


def _rows(name, counts):
    """What a study of so many replicates a cell would have measured; a failed replicate (or cell) is a row of nothing.

    counts(place of the cell) -> replicates that succeeded, of 4.
    """
    rng = np.random.default_rng(0)
    for place, cell in enumerate(_cells(GRIDS[name])):
        for r in range(4):
            head = {"cell_id": f"cell{place}", "replicate": r, "seed_key": "", "wall_s": 0.1, **cell}
            if r not in counts(place):
                yield {**head, "method": "", "metric": "", "value": None, "status": "failed: ValueError"}
                continue
            found = {("truth", "tail"): 0.3, ("truth", "value"): 1.0}
            for number, own in enumerate(ESTIMATORS):
                found |= {(own, "free"): 5.0 + number + place, (own, "rank"): 2.0, (own, "covers"): float(r % 2)}
                found |= {(own, m): rng.lognormal() for m in ("error", "error/common")}
                found |= {(own, m): rng.uniform(0.5, 1) for m in ("agreement", "agreement/strangers")}
                for kind in KINDS:
                    found |= {(f"{own}/{kind}", m): rng.lognormal()
                              for m in ("regret", "value", "exotic", "bound", "bound/width", "gap")}  # fmt: skip
            yield from (
                {**head, "method": m, "metric": what, "value": v, "status": "ok"} for (m, what), v in found.items()
            )


HAVE = {
    "one failed": lambda place: {0, 1, 3} if place == 1 else {0, 1, 2, 3},
    "ended at a target": lambda place: set(range(2 + place % 3)),
    "a cell lost": lambda place: set() if place == 1 else {0, 1, 2, 3},
    "the first cell lost": lambda place: set() if place == 0 else {0, 1, 2, 3},
    "one replicate": lambda place: {0},
    "none in common": lambda place: {place % 4},
    "one cell left": lambda place: {0, 1} if place == 0 else set(),
}


@pytest.mark.parametrize("what", HAVE)
@pytest.mark.parametrize("name", GRIDS)
def test_figures_are_drawn_of_what_is_there(name, what, tmp_path):
    results = Results.from_rows(_rows(name, HAVE[what]))
    with warnings.catch_warnings(), kept() as figures:
        warnings.simplefilter("error")
        FIGURES[name].draw(results, tmp_path)
        if what == "a cell lost":
            for figure in figures.values():
                figure.draw_without_rendering()
    assert figures
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "nan" not in table_low_rank(results, tuple(GRIDS[name]))


def test_a_figure_of_ours_that_cannot_be_drawn_is_one_line(tmp_path, monkeypatch):
    """The numbers are written and the study is finished; each run of it would end there otherwise."""

    def broken(results, folder):
        raise ZeroDivisionError("no such figure")

    monkeypatch.setitem(FIGURES, "dimension", Figure(broken))
    asked = ("replicates=1", "targets=20", "d_x=[4]", "rank=[1]", "n=100")
    request = Request(str(EXPERIMENTS / "low_rank" / "dimension.yaml"), asked, engine="local")
    report = run_in_folder(tmp_path / "o", request, {})
    (line,) = report.remarks(tmp_path)
    assert "figure 'dimension' raised ZeroDivisionError" in line
    assert "no such figure" in line
    assert json.loads((tmp_path / "o" / "status.json").read_text())["state"] == "finished"
    assert (tmp_path / "o" / "summary.md").is_file()
    with pytest.raises(InputError, match="no such figure"):
        report.draw(tmp_path)
