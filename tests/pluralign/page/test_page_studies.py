"""Studies on the page: numbers of replicates as they are, and a figure that cannot be drawn takes no page along."""

import json
import re
from contextlib import suppress

import pytest
from typed_commands import typed

import pluralign as pl
from pluralign.page.build import collect, render
from sim.studies.plots import curve, panels
from sim.studies.results import Results

MODULE = """
from dataclasses import dataclass
import pluralign as pl
from sim.studies.plots import curve, finish, panels

@dataclass(frozen=True)
class Setting:
    spread: float = 1.0
    ridge: float | None = None
    fails: float = 0.0

def run(setting, stream, backends):
    u, z = float(stream.child("u").uniforms(1)[0]), float(stream.child("z").normals(1)[0])
    if u < setting.fails:
        raise ValueError("not this one")
    return [pl.Measurement("mine", "error", setting.spread * z)]

def draw(results, folder):
    figure, axes = panels(1)
    curve(axes[0], results, "ridge", "error", "mine", 0, method="mine")
    return finish(figure, results, "Drawn", folder, "drawn", axes[0])

def broken(results, folder):
    raise ZeroDivisionError("no such figure")

missing = lambda setting, backends: "there is none" if setting.spread > 100 else None
EXPERIMENT = pl.Experiment(Setting, run, {"drawn": pl.Figure(draw), "broken": pl.Figure(broken)}, missing=missing)
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shown_study.py").write_text(MODULE)

    def run(text):
        (tmp_path / "own.yaml").write_text(f"experiment: shown_study:EXPERIMENT\n{text}")
        # What the run itself says of a figure that fails is not asked here: its results lie there.
        with suppress(pl.InputError):
            pl.run_study("own.yaml", workers=1, out="o")
        return collect(tmp_path / "o").studies[0]

    return run


def _status(folder, begins):
    return sum(row["status"].startswith(begins) for row in Results.read(folder / "results.parquet").rows())


def test_all_that_failed_is_counted_and_no_method_has_no_name(study, tmp_path):
    """Of the rows themselves; the list in study.json ends at a hundred."""
    shown = study("replicates: 250\nsettings: {fails: 0.7}\ngrid: {spread: [1, 200]}\n")
    failed = _status(tmp_path / "o", "failed")
    assert shown.failed == failed > 100
    assert len(json.loads((tmp_path / "o" / "study.json").read_text())["failed"]) == 100
    text = render(collect(tmp_path / "o"))
    assert f"{failed} replicates failed, 1 cell was skipped." in text
    assert (shown.methods, shown.metrics, shown.replicates) == (("mine",), ("error",), "250")
    assert "<code></code>" not in text
    assert f"mean over {250 - failed} seeds" in text, "the figure's title"


def test_cells_that_end_at_their_error_are_said_from_the_fewest_to_the_most(study, tmp_path):
    shown = study("replicates: 3000\ntarget_error: 0.1\ngrid: {spread: [0.1, 1, 200]}\n")
    rows = Results.read(tmp_path / "o" / "results.parquet").measured()
    counts = sorted(len(own) for own in rows.by("cell_id").values())
    assert counts[0] == 16 < counts[1] < 3000
    assert shown.replicates == f"16 to {counts[1]:,}"
    text = " ".join(render(collect(tmp_path / "o")).split())
    assert f"Varied: 3 cells, 16 to {counts[1]:,} replicates each" in text
    assert f"mean over 16 to {counts[1]:,} seeds" in text
    assert f"16 to {counts[1]:,} seeds" in repr(pl.load_study(tmp_path / "o"))


def test_a_figure_that_fails_is_said_and_the_page_is_made(study, tmp_path, monkeypatch, capsys):
    shown = study("replicates: 3\ngrid: {ridge: [0.5, 1.0]}\nfigure: broken\n")
    assert re.search(r"figure 'broken' raised ZeroDivisionError \(shown_study.py, line \d+\): no such", shown.undrawn)
    assert len(shown.measures) == 2
    code, out, err = typed(monkeypatch, capsys, "report", "o")
    assert (code, err) == (0, "")
    assert "no figure: the figure cannot be drawn from these results" in out
    assert "cannot be drawn" in (tmp_path / "o" / "report.html").read_text()
    assert "no figure" in repr(pl.report("o"))
    assert (tmp_path / "o" / "report.html").is_file()


def test_a_null_level_has_no_place_on_an_axis(study):
    shown = study("replicates: 3\ngrid: {ridge: [null, 0.5, 2.0]}\n")
    (chart,) = shown.charts
    places = [float(line.split(",")[2]) for line in chart.csv.splitlines()[1:]]
    assert places == [0.5, 2.0]


def test_a_curve_of_null_alone_is_none():
    rows = [{"cell_id": "a", "replicate": r, "method": "m", "metric": "x", "value": 1.0, "ridge": None} for r in (0, 1)]
    _, axes = panels(1)
    curve(axes[0], Results.from_rows(rows), "ridge", "x", "m", 0)
    assert not axes[0].lines


def test_letters_without_a_font_are_no_lines_of_matplotlib(study, tmp_path, recwarn):
    """The page's own drawing of a figure, as of the files."""
    module = (tmp_path / "shown_study.py").read_text()
    (tmp_path / "shown_study.py").write_text(module.replace('"Drawn"', '"\u6b66\u6f22"'))
    shown = study("replicates: 3\ngrid: {ridge: [0.5, 1.0]}\n")
    assert shown.charts, shown.undrawn
    assert not [str(own.message) for own in recwarn if "missing from font" in str(own.message)]


def test_studies_without_results_are_named(study, tmp_path, monkeypatch, capsys):
    """A share, or one that was stopped, was left out of the page of its folder without a word."""
    study("replicates: 3\ngrid: {ridge: [0.5, 1.0]}\n")
    (tmp_path / "all").mkdir()
    (tmp_path / "o").rename(tmp_path / "all" / "whole")
    pl.run_study("own.yaml", workers=1, out="all/part", shard=(1, 2))
    sections = collect(tmp_path / "all")
    assert sections.unfinished == ("part",)
    assert "it has no results" in render(sections)
    code, out, _ = typed(monkeypatch, capsys, "report", "all")
    assert code == 0
    assert "not shown, as it has no results" in out
    assert ": part; `pluralign study merge`" in out
    code, _, err = typed(monkeypatch, capsys, "report", "all/part")
    assert code == 2
    assert "has not ended" in err
