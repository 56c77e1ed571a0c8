"""What the pages of the papers say of the claims, against the claims there are; the limits the README keeps to."""

import dataclasses
import re

import pytest
from click.testing import CliRunner
from places import ROOT

from pluralign.commands.check import command
from sim.errors import InputError
from theory.engine.checks import Check, ControlResult
from theory.engine.registry import all_theorems, papers, theorems_of
from theory.engine.verdicts import Verdict
from theory.report.pages import claims_table, markers, page_of, part_of, readings_table, require_pages, update_pages

DOCS = ROOT / "docs"


def _rows(path):
    return [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in part_of(path, "verdicts").splitlines()[2:]]


@pytest.mark.parametrize("paper", papers())
def test_verdicts_are_those_of_the_claims_there_are(paper):
    """Ids, variants, expected verdicts and numbers of controls; not the numbers, which a run writes."""
    told = [(row[0], row[1], row[2], row[-1]) for row in _rows(page_of(DOCS, paper))]
    there = []
    for theorem in theorems_of(paper):
        for name, variant in theorem.SETTINGS.items():
            n = len(theorem.control(variant.setting))
            mark = " (arithmetic)" if theorem.arithmetic else ""
            there.append((theorem.claim_id + mark, name.replace("_", " "), str(variant.expected), f"{n}/{n}"))
    assert told == there, f"write the page again: pluralign check {paper} --docs docs"


@pytest.mark.parametrize("paper", papers())
def test_claims_and_readings_are_those_there_are(paper):
    path = page_of(DOCS, paper)
    assert part_of(path, "claims") == claims_table(theorems_of(paper)), f"pluralign check {paper} --docs docs"
    assert part_of(path, "readings") == readings_table(theorems_of(paper))


def _check(theorem, variant):
    return Check(
        theorem.claim_id, theorem.paper, theorem.source, theorem.statement, variant,
        theorem.SETTINGS[variant].expected, Verdict.HOLDS, 1.0, "<=", 0.5, (0.25, 0.75), "mean", 0.1, 0.01, 0.99, 10,
        (), (ControlResult("a|b", Verdict.VIOLATED, True, 2.0, 0.99),),
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "papers").mkdir()
    body = "".join(f"{markers(part)[0]}\nold\n{markers(part)[1]}\n" for part in ("readings", "verdicts", "claims"))
    page_of(tmp_path, "low_rank").write_text(f"before\n{body}after\n")
    return tmp_path


def test_a_page_is_written_between_its_markers(folder):
    theorems = theorems_of("low_rank")
    require_pages(folder, theorems)
    checks = [_check(theorem, name) for theorem in theorems for name in theorem.SETTINGS]
    update_pages(folder, checks)
    text = page_of(folder, "low_rank").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "\nold\n" not in text
    assert _rows(page_of(folder, "low_rank"))[0][3:] == [
        "0.5", "<= 1", "[0.25, 0.75] mean", "-", "0.99", "not measured", "1/1",
    ]  # fmt: skip
    update_pages(folder, [dataclasses.replace(check, measured=0.125) for check in checks])
    assert _rows(page_of(folder, "low_rank"))[0][3] == "0.125"


def test_a_page_in_part_or_without_markers_is_refused_before_the_work(folder):
    asked = CliRunner().invoke(command, ["rank-bic", "loss-rate", "--docs", str(folder)])
    assert isinstance(asked.exception, InputError)
    assert f"2 of the {len(theorems_of('low_rank'))} claims of low_rank were asked for" in str(asked.exception)
    page_of(folder, "low_rank").write_text(markers("verdicts")[0])
    with pytest.raises(InputError, match="markers <!-- claims:begin -->"):
        require_pages(folder, theorems_of("low_rank"))
    with pytest.raises(InputError, match="cannot be read"):
        require_pages(folder, theorems_of("multi_party"))


def test_the_readme_counts_the_slips_that_are_registered():
    slips = [
        theorem for theorem in all_theorems()
        if (printed := theorem.SETTINGS.get("as_printed")) is not None and printed.expected is Verdict.VIOLATED
        and (corrected := theorem.SETTINGS.get("as_corrected")) is not None and corrected.expected is Verdict.HOLDS
    ]  # fmt: skip
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f" {len(slips)} claims come out VIOLATED as they are printed and HOLD as corrected" in text


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_figures_of_the_docs_are_all_shown_with_words():
    text = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *DOCS.rglob("*.md")])
    for figure in (DOCS / "figures").iterdir():
        assert re.search(rf"!\[[^\]]{{10,}}\]\([^)]*{re.escape(figure.name)}\)", text), f"{figure.name} is not shown"
