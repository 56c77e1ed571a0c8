"""The figure of many verdicts, and the record of which claim notices which fault."""

import re
from dataclasses import replace

from made_checks import CHECK
from places import ROOT

from sim.reading import load_json
from theory.engine.verdicts import Verdict
from theory.mutation.catalogue import catalogue
from theory.mutation.noticed import read_noticed, write_noticed
from theory.mutation.run import MutationReport, Outcome
from theory.report.figures import verdict_figure


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
