"""The figure of many verdicts, and the record of which claim notices which fault."""

import math
import re
from dataclasses import replace

import pytest
from made_checks import CHECK, rate
from places import ROOT

from sim.reading import load_json
from theory.engine.verdicts import Verdict
from theory.mutation.catalogue import catalogue
from theory.mutation.noticed import read_noticed, write_noticed
from theory.mutation.run import MutationReport, Outcome
from theory.report.figures import draw_check, rate_figure, verdict_figure


def _many(count):
    return [replace(CHECK, claim_id=f"claim-{k}", paper=f"paper_{k % 4}") for k in range(count)]


def test_many_verdicts_fit_on_a_page():
    """345 verdicts: once some 84 inches high."""
    checks = _many(345)
    checks[7] = replace(checks[7], verdict=Verdict.INCONCLUSIVE)
    figure = verdict_figure(checks)
    width, height = figure.get_size_inches()
    assert width == 9
    assert height < 12
    (axes,) = figure.axes
    drawn = [line for line in axes.lines if line.get_markerfacecolor() != "none"]
    assert len(drawn) == 345
    assert len({tuple(map(float, (line.get_xdata()[0], line.get_ydata()[0]))) for line in drawn}) == 345
    assert len(axes.lines) - len(drawn) == 1, "one ring"
    assert "claim-7" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("means", "errors", "drawn"),
    [
        ([0.5, -0.05, 0.005], [0.02, 0.002, 0.0002], 2),
        ([0.5, 0.0, 0.005], [0.02, 0.0, 0.0002], 2),
        ([-0.5, -0.05, -0.005], [0.02, 0.002, 0.0002], 0),
        ([math.nan, 0.05, 0.005], [math.nan, 0.002, math.inf], 2),
        ([math.inf, 0.05, 0.005], [math.nan, 0.002, math.nan], 2),
    ],
)
def test_a_rate_whose_means_are_not_positive_is_drawn_without_them(tmp_path, means, errors, drawn):
    """The error bars were negative: a traceback of Matplotlib at the end of the run."""
    check = replace(
        rate(), curve=replace(rate().curve, mean=means, standard_error=errors), measured=None, interval=None
    )
    figure = rate_figure(check)
    measured = figure.axes[0].lines[0]
    assert sorted(measured.get_ydata()) == sorted(m for m in means if 0 < m < math.inf)
    assert len(measured.get_ydata()) == drawn
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert any(f"{3 - drawn} of 3 are not positive" in label for label in labels)
    assert "slope nan" in figure.axes[0].get_title()
    assert all(path.stat().st_size for path in draw_check([check], tmp_path))


def test_a_rate_whose_means_are_positive_has_all_of_them():
    measured, *_, limit = rate_figure(rate()).axes[0].lines
    assert list(measured.get_ydata()) == rate().curve.mean
    assert "not positive" not in measured.get_label()
    x, y = limit.get_xdata(), limit.get_ydata()
    assert y[1] == 0.05
    assert math.log(y[2] / y[0]) / math.log(x[2] / x[0]) == pytest.approx(-0.95)


def test_only_the_lower_end_of_an_error_bar_is_cut():
    """Mean .2 with an error of .19: from .05 times the mean to .58, as in the CSV; it was cut at both ends."""
    curve = replace(rate().curve, mean=[0.5, 0.2, 0.005], standard_error=[0.02, 0.19, 0.0002])
    (container,) = rate_figure(replace(rate(), curve=curve)).axes[0].containers
    ends = [segment[:, 1] for segment in container.lines[2][0].get_segments()]
    assert ends[1] == pytest.approx([0.01, 0.58])
    assert ends[0] == pytest.approx([0.46, 0.54])


def test_few_verdicts_have_a_row_each():
    figure = verdict_figure(_many(3))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [
        f"claim-{k} (as stated)" for k in range(3)
    ]


def test_the_record_and_the_docs_are_of_one_run():
    page = (ROOT / "docs" / "planted_faults.md").read_text(encoding="utf-8")
    rows = re.search(r"<!-- faults:begin -->\n(.*?)\n<!-- faults:end -->", page, re.DOTALL)[1].splitlines()[2:]
    told = {cells[0].strip(): cells[3].strip() for row in rows if (cells := row.strip("| ").split(" | "))}
    assert {row["id"]: row["killed_by"] for row in read_noticed()} == told
    assert len(told) == len([fault for fault in catalogue() if not fault.equivalent])


def test_a_fault_that_changed_since_is_left_out(tmp_path):
    first, second, third = catalogue("calibration")[:3]
    outcomes = [Outcome(first, "a-claim", "verdict: x", ("a-claim",), "quick", 1.0),
                Outcome(replace(second, new="other"), "a-claim", "control: y", ("a-claim",), "quick", 1.0),
                Outcome(third, "", "", ("a-claim",), "quick", 1.0)]  # fmt: skip
    write_noticed(MutationReport(tuple(outcomes), "quick", 0, 1.0, ()), tmp_path / "noticed.json")
    assert [row["id"] for row in load_json((tmp_path / "noticed.json").read_text())] == [first.id, second.id]
    (row,) = read_noticed(tmp_path / "noticed.json")
    assert (row["id"], row["killed_by"], row["what"]) == (first.id, "a-claim", first.what)
    assert row["how"] == "verdict: x"
