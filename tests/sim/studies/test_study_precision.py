"""Errors of means: nothing of one replicate, never 0 of a rate; a replicate counts once, whatever it measured twice."""

import math

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

import pluralign as pl
from pluralign.page.studies import _csv, _measures
from sim.studies.plots import curve, panels
from sim.studies.precision import half_width, standard_error, told, yes_no
from sim.studies.results import Results
from sim.studies.summary import means_table

MODULE = """
from dataclasses import dataclass
import pluralign as pl

@dataclass(frozen=True)
class S:
    rate: float = 0.0
    twice: bool = False

def run(setting, stream, backends):
    u = float(stream.child("u").uniforms(1)[0])
    found = {"rejected": u < setting.rate, "size": 24, "u": u}
    return [pl.Measurement("t", *own) for own in found.items()] * (2 if setting.twice else 1)

RATES = pl.Experiment(S, run, {})
"""


def _study(folder, name, **settings):
    (folder / f"{name}.py").write_text(MODULE)
    path = folder / f"{name}.yaml"
    path.write_text(f"experiment: {name}:RATES\nreplicates: 10\ngrid: {{rate: [0.0, 0.5]}}\n")
    return pl.run_study(path, settings=settings, workers=1, engine="local", out=folder / name)


@pytest.mark.parametrize(("ones", "count"), [(0, 10), (10, 10), (3, 16), (400, 800), (1, 2)])
def test_a_rate_has_wilsons_interval(ones, count):
    values = np.array([1.0] * ones + [0.0] * (count - ones))
    low, high = proportion_confint(ones, count, method="wilson")
    assert half_width(values, share=True) == pytest.approx(max(high - ones / count, ones / count - low))
    more = np.concatenate([values, [0, 0, 1, 1]])
    assert standard_error(values, share=True) == pytest.approx(more.std(ddof=1) / math.sqrt(count + 4))


def test_where_nothing_is_known_nothing_is_said():
    for share in (True, False):
        assert math.isnan(half_width(np.ones(1), share=share))
        assert math.isnan(standard_error(np.ones(1), share=share))
    assert math.isnan(half_width(np.full(9, 24.0)))
    assert [told(np.array(own)) for own in ([], [24.0], [24.0, 24.0])] == ["", "24", "24"]
    assert standard_error(np.arange(4.0)) == pytest.approx(np.std(range(4), ddof=1) / 2)


def test_a_metric_is_a_rate_where_all_of_the_study_says_so():
    rows = [{"metric": name, "value": value} for name, value in (("a", 0), ("a", 1), ("b", 0), ("b", 0.5), ("c", None))]
    assert yes_no(Results.from_rows(rows)) == {"a"}


def test_the_table_the_page_and_python_say_the_same(tmp_path):
    study = _study(tmp_path, "rates_said")
    lines = [line for line in study.overview.splitlines() if line.startswith("| 0.0")]
    assert [cell.strip() for cell in lines[0].strip("|").split("|")][2:4] == ["0 ± 0.3", "24"]
    error = standard_error(np.zeros(10), share=True)
    of_page = {(m.cell, m.metric): m for m in _measures(study.results, ("rate",))}
    assert (of_page[("0.0",), "rejected"].error, of_page[("0.0",), "size"].error) == (error, None)
    assert of_page[("0.0",), "rejected"].half == half_width(np.zeros(10), share=True)
    assert "0.0,t,size,24.0,,,10\n" in _csv(list(of_page.values()), ("rate",))
    of_python = {row[:3]: row[3:] for row in study.page().rows}
    assert of_python[0.0, "t", "rejected"] == (0.0, error)
    assert of_python[0.0, "t", "size"] == (24.0, None)
    single = _study(tmp_path, "rates_single", replicates=1)
    assert "±" not in single.overview
    assert {m.error for m in _measures(single.results, ("rate",))} == {None}


def test_what_is_measured_twice_counts_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    once, twice = _study(tmp_path / "a", "rates_again"), _study(tmp_path / "b", "rates_again", twice=True)
    assert len(twice.results) == 2 * len(once.results)
    assert twice.overview == once.overview
    assert twice.page().rows == once.page().rows
    assert _measures(twice.results, ("rate",)) == _measures(once.results, ("rate",))


def test_replicates_of_several_cells_count_once():
    """Draws are those of the replicate: cells of one are not independent."""
    rows = [
        {"cell_id": cell, "replicate": seed, "metric": "x", "n": 1, "other": cell, "value": float(seed + 10 * cell)}
        for cell in (0, 1) for seed in (3, 1, 2)
    ]  # fmt: skip
    found = Results.from_rows(rows)
    assert found.replicate_means().tolist() == [8.0, 6.0, 7.0]
    assert found.where(other=0).replicate_means().tolist() == [3.0, 1.0, 2.0]
    _, axes = panels(1)
    curve(axes[0], found, "n", "x", "m", 0)
    low, high = axes[0].containers[0].lines[2][0].get_segments()[0][:, 1]
    assert (high - low) / 2 == pytest.approx(half_width(np.array([6.0, 7.0, 8.0])))


@pytest.mark.parametrize("lost", [(), (("cheap", 1),)])
def test_cells_weigh_alike_whatever_number_of_replicates_they_have(lost):
    """A cell that ended early, or lost a replicate, is one of two all the same: in figures and in heat maps."""
    rows = [
        {"cell_id": cell, "replicate": seed, "metric": "x", "n": 1, "other": cell, "value": at + 0.1 * seed}
        for cell, at, count in (("cheap", 0.0, 3), ("dear", 10.0, 40)) for seed in range(count)
        if (cell, seed) not in lost
    ]  # fmt: skip
    found = Results.from_rows(rows)
    both = [5 + 0.1 * seed for seed in range(3) if ("cheap", seed) not in lost]
    assert found.replicate_means() == pytest.approx(both)
    by_cell = [np.mean([row["value"] for row in rows if row["cell_id"] == cell]) for cell in ("cheap", "dear")]
    assert found.means("n") == pytest.approx(np.mean(by_cell))
    _, axes = panels(1)
    curve(axes[0], found, "n", "x", "m", 0)
    low, high = axes[0].containers[0].lines[2][0].get_segments()[0][:, 1]
    assert (low + high) / 2 == pytest.approx(np.mean(both))
    assert (high - low) / 2 == pytest.approx(half_width(np.array(both)))


def test_an_error_that_is_not_known_is_drawn_as_none():
    rows = [{"replicate": seed, "metric": "x", "n": n, "value": float(n)} for n in (1, 2) for seed in (1, 2)]
    _, axes = panels(1)
    curve(axes[0], Results.from_rows(rows), "n", "x", "m", 0)
    axes[0].figure.canvas.draw()
    assert means_table(Results.from_rows([{**row, "method": "m"} for row in rows]), ("n",)).count("±") == 0
