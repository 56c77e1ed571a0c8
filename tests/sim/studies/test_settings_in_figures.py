"""What figures say of a study's settings is what the study was set to; references are of the settings they name."""

from dataclasses import fields

import numpy as np
import pytest
from places import EXPERIMENTS

from sim.files.figure_files import kept
from sim.studies.cells import run_study
from sim.studies.experiments.bandit.figures import draw_bandit
from sim.studies.experiments.bandit.setting import BanditSetting
from sim.studies.experiments.low_rank.candidates_and_hidden_figures import draw_hidden
from sim.studies.experiments.representation.figures import draw_fitted_rank, draw_gain, draw_violation
from sim.studies.reference import reference_of
from sim.studies.report import SavedStudy, StudyReport
from sim.studies.results import Results
from sim.studies.spec import load_spec


def _rows(values, **levels):
    """Two replicates a cell; values: (method, metric) -> number."""
    return [
        {"cell_id": str(sorted(levels.items())), "replicate": r, "method": method, "metric": metric, "seed_key": "0",
         "value": value * (1.0 + 0.1 * r), "wall_s": 0.0, "status": "ok", **levels}
        for r in (0, 1) for (method, metric), value in values.items()
    ]  # fmt: skip


def _drawn(draw, results, tmp_path):
    with kept() as figures:
        draw(results, tmp_path)
    return figures


@pytest.mark.parametrize("scale", [0.1, 40.0])
def test_bars_of_any_scale_are_whole(tmp_path, scale):
    values = {("pooled_dpo", "regret/group_0"): 0.5 * scale, ("pooled_dpo", "regret/group_1"): 1.5 * scale,
              ("em_minmax", "weight/group_0"): 0.5}  # fmt: skip
    people = {("data", "annotators/group_0"): 6.0, ("data", "annotators/group_1"): 4.0}
    rows = _rows(values, backend="log_linear", recipe="normalised") + _rows(people, backend="log_linear", recipe="data")
    results = Results.from_rows(rows)
    figure = _drawn(draw_bandit, results, tmp_path)["figure-2-regret"]
    (axes,) = figure.axes
    assert 1.05 * 1.5 * scale < axes.get_ylim()[1] < 3.0 * scale
    assert "10" not in axes.get_ylabel()


@pytest.mark.parametrize(("settings", "said"), [({"rank": 5}, " (true rank 5)"), ({}, ""), (None, "")])
def test_the_true_rank_is_the_studys(tmp_path, settings, said):
    values = {("shared", "error"): 1.0, ("shared", "error/worst"): 2.0}
    rows = [row for rank in (1, 2) for row in _rows(values, fit_rank=rank)]
    figures = _drawn(draw_fitted_rank, Results.from_rows(rows, settings), tmp_path)
    assert figures["fit_rank"].get_suptitle().split("\n")[0] == f"Error by the rank that is fitted{said}"


def test_what_sharing_should_gain_is_predicted_at_the_studys_dimension(tmp_path):
    """And nothing where it is not known."""
    rows = [row for M in (2, 8) for n in (50, 100)
            for row in _rows({("shared", "error"): 1.0, ("separate", "error"): 2.0}, parties=M, answers=n)]  # fmt: skip
    for settings, panels in (({"dimension": 30, "rank": 3}, 2), ({"rank": 3}, 1)):
        (figure,) = _drawn(draw_gain, Results.from_rows(rows, settings), tmp_path).values()
        shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
        assert len(shown) == panels
    (figure,) = _drawn(draw_gain, Results.from_rows(rows, {"dimension": 30, "rank": 3}), tmp_path).values()
    predicted = figure.axes[1].images[0].get_array()
    assert np.unique(np.asarray(predicted)).tolist() == pytest.approx([np.sqrt(30 / (3 + 90 / M)) for M in (2, 8)])


def test_learners_that_are_worse_than_a_coin_are_shown(tmp_path):
    rows = [row for n in (100, 400) for hidden in (0, 1) for row in _rows(
        {("low", "agreement"): 0.31, ("low", "agreement/strangers"): 0.4}, n=n, hidden=hidden, users=10)]  # fmt: skip
    (figure,) = _drawn(draw_hidden, Results.from_rows(rows), tmp_path).values()
    assert figure.axes[0].get_ylim()[0] <= 0.31


@pytest.mark.parametrize(
    ("rows", "settings", "title"),
    [([{"users": 10}], None, "10 users"), ([{}], {"users": 25}, "25 users"), ([{}], {}, "1 users"),
     ([{"users": 10}, {"users": 20}], None, None)],
)  # fmt: skip
def test_answers_are_counted_by_the_studys_users(tmp_path, rows, settings, title):
    """Of several numbers of users there is no one axis."""
    values = {("low", "agreement"): 0.7, ("low", "agreement/strangers"): 0.6}
    every = [row for own in rows for n in (100, 400) for hidden in (0, 1)
             for row in _rows(values, n=n, hidden=hidden, **own)]  # fmt: skip
    figures = _drawn(draw_hidden, Results.from_rows(every, settings), tmp_path)
    assert [figure.get_suptitle().split("\n")[0] for figure in figures.values()] == (
        [] if title is None else [f"Contexts nobody observes, {title}"]
    )


def test_what_is_violated_everywhere_has_no_prediction_at_nothing(tmp_path):
    values = {("shared", "error"): 1.0, ("separate", "error"): 2.0, ("shared", "error/rate"): 1.0}
    for least in (0.0, 0.2):
        rows = [row for w in (least, 0.5) for row in _rows(values, violation=w)]
        (figure,) = _drawn(draw_violation, Results.from_rows(rows), tmp_path).values()
        title = figure.axes[0].get_title()
        assert title == ("Sharing helps up to w: predicted 1.82" if least == 0.0 else "No crossing")
        assert figure.axes[1].get_title().endswith(f"made for .9 at w = {least:g})")


def test_a_low_rank_study_says_its_own_rank_and_confidence(tmp_path):
    changes = [
        "n=[200, 400]",
        "d_x=[6, 8]",
        "estimators=[rank1, rank2, full]",
        "rank=1",
        "delta=0.25",
        "targets=20",
        "replicates=2",
    ]
    spec = load_spec(EXPERIMENTS / "low_rank" / "assumed_rank.yaml", changes)
    run = run_study(spec, {}, cells=tmp_path / "cells", engine="local")
    with kept() as figures:
        StudyReport(run, None).draw(tmp_path)
    (figure,) = figures.values()
    assert "(true rank 1)" in figure.get_suptitle()
    assert "sets that cover (asked: 0.75)" in {axes.get_ylabel() for axes in figure.axes}
    # Read again, it is the same.
    StudyReport(run, None).write(tmp_path / "out")
    saved = SavedStudy.read(tmp_path / "out").results
    assert saved.where(n=200).measured().with_columns(x=[0] * len(saved.where(n=200).measured())).settings["rank"] == 1
    assert saved.settings == run.results.settings


def test_the_shipped_reference_names_what_its_numbers_depend_on():
    spec = load_spec(EXPERIMENTS / "bandit" / "section_5_1.yaml")
    named = set(reference_of(spec).settings)
    free = {own.name for own in fields(BanditSetting)} - set(spec.grid) - named
    assert free == {"evaluation_contexts", "hedge_rounds"}


@pytest.mark.parametrize(
    ("change", "said"),
    [("scale=40", "scale 10.0, and this study has 40"), ("coverage=0.5", "coverage 1.0, and this study has 0.5"),
     ("em_rounds=3", "em_rounds 30, and this study has 3"), ("mixture=[0.5, 0.5]", "and this study has (0.5, 0.5)")],
)  # fmt: skip
def test_a_study_set_otherwise_has_nothing_to_compare_with(change, said):
    found = reference_of(load_spec(EXPERIMENTS / "bandit" / "section_5_1.yaml", [change]))
    assert not found.rows
    assert found.other.endswith(said)
