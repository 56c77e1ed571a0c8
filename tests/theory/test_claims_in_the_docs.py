"""What docs/verdicts.md says of all claims is so: rates' replicates and grids, right sides, factors, numbers."""

from pathlib import Path

import pytest

from theory.engine.judges import Frequency
from theory.engine.registry import all_theorems
from theory.engine.theorem import Theorem
from theory.report.lists import DECADES, REPLICATES, decades, rates, right_sides, short_grids
from theory.report.pages import part_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "verdicts.md"
RATES = [pytest.param(*rate, id=rate[0].claim_id) for rate in rates(all_theorems())]
# Held against 1 because 1 is their number.
ONE_SIDED = {"every draw <=", "<=", "frequency <=", "mean <=", "mean >="}
OF_ONE = {"representation-lost", "descent-condition"}


@pytest.mark.parametrize(("theorem", "setting"), RATES)
def test_rates_have_the_replicates_and_the_decades(theorem, setting):
    assert setting.replicates >= REPLICATES
    # The grid 20, 63, ..., 2000 has just two decades.
    assert (decades(theorem, setting) >= DECADES - 1e-9) == (theorem.short_grid == ""), "say why, in `short_grid`"


def test_only_rates_excuse_their_grids():
    assert {one.claim_id for one in all_theorems() if one.short_grid} <= {own.id for own in RATES}


@pytest.mark.parametrize("part", ["short-grids", "right-sides"])
def test_the_lists_of_the_docs_are_the_registrys(part):
    """`pluralign check PAPER --docs docs` writes them again."""
    assert part_of(PAGE, part) == {"short-grids": short_grids, "right-sides": right_sides}[part](all_theorems())


def test_what_is_held_against_one_says_where_its_right_side_is():
    against_one = set()
    for theorem in all_theorems():
        for variant in theorem.SETTINGS.values():
            bound = theorem.bound(variant.setting)
            number = bound.threshold if isinstance(bound, Frequency) else bound.limit
            if abs(number - 1.0) < 1e-3 and bound.relation in ONE_SIDED:
                against_one.add(theorem.claim_id)
    said = {theorem.claim_id for theorem in all_theorems() if theorem.right_side != "bound"}
    assert against_one - said == OF_ONE


def test_numbers_of_claims_in_the_docs():
    drawn = [one for one in all_theorems() if any(own.setting.replicates > 1 for own in one.SETTINGS.values())]
    fewer = sum(one.full_factor != Theorem.full_factor for one in drawn)
    verdicts = sum(len(one.SETTINGS) for one in all_theorems())
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"two to four times ({fewer} of the {len(drawn)} that draw at random)" in text
    assert f"make {verdicts} verdicts" in text


def test_a_premise_that_stops_a_control_is_measured_by_the_claim():
    """Else the control tests nothing but a premise that the claim itself never looks at."""
    for name in ("representation-rate", "representation-rate-annotators"):
        theorem = next(one for one in all_theorems() if one.claim_id == name)
        for variant in theorem.SETTINGS.values():
            assert theorem.premises(variant.setting, _stream(theorem, variant.setting))


@pytest.mark.parametrize("theorem", [pytest.param(one, id=one.claim_id) for one in all_theorems() if one.cost <= 1.0])
def test_premises_of_controls_are_premises_of_the_claim(theorem):
    for variant in theorem.SETTINGS.values():
        own = {premise.name for premise in theorem.premises(variant.setting, _stream(theorem, variant.setting))}
        for control in theorem.control(variant.setting):
            assert {one.name for one in theorem.premises(control.setting, _stream(theorem, control.setting))} <= own


def _stream(theorem, setting):
    from theory.engine.checks import stream_of

    return stream_of(theorem, setting, 1)
