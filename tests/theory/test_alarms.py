"""False alarms: counted by paper, with exact intervals, and who stands out."""

import dataclasses

import pytest
from scipy import stats

from theory.engine.checks import check_theorem
from theory.engine.registry import find
from theory.engine.runner import CheckReport
from theory.engine.verdicts import Verdict
from theory.report.alarms import alarms

CHECK = check_theorem(find("costs-not-negative"), "quick", 0)[0]


def report(seed, *checks):
    return CheckReport(tuple(checks), "quick", seed, 1.0, 0)


def odd(check):
    return dataclasses.replace(check, verdict=Verdict.VIOLATED)


def test_a_quiet_run_has_no_alarms():
    found = alarms([report(seed, CHECK) for seed in range(5)])
    assert found.exit_code == 0
    assert found.suspects == ()
    assert found.clean == {"personalization": (0, 1, 2, 3, 4), "all": (0, 1, 2, 3, 4)}
    assert found.verdicts["all"].events == 0
    assert found.verdicts["all"].interval == pytest.approx((0.0, 1 - 0.025 ** (1 / 5)))
    assert found.controls["all"].trials == 5 * len(CHECK.controls)


def test_one_miss_is_named_and_does_not_stand_out():
    found = alarms([report(0, CHECK), report(1, odd(CHECK)), *(report(seed, CHECK) for seed in range(2, 20))])
    (suspect,) = found.suspects
    assert (suspect.claim_id, suspect.seeds, suspect.stands_out) == ("costs-not-negative", (1,), False)
    assert suspect.p_value == pytest.approx(1 - 0.95**20)
    assert found.clean["all"] == (0, *range(2, 20))
    assert "| costs-not-negative | as_stated: VIOLATED | 1 |" in found.suspects_table()


def test_many_misses_stand_out():
    found = alarms([report(seed, odd(CHECK) if seed < 8 else CHECK) for seed in range(20)])
    assert found.suspects[0].p_value == pytest.approx(float(stats.binom.sf(7, 20, 0.05)))
    assert found.suspects[0].stands_out
    assert found.exit_code == 1


def test_a_control_that_escapes_and_a_share_outside_its_band_are_alarms():
    control = dataclasses.replace(CHECK.controls[0], caught=False)
    escaped = dataclasses.replace(CHECK, controls=(control, *CHECK.controls[1:]))
    loose = dataclasses.replace(CHECK, attained=0.1, band=(0.5, 0.9))
    found = alarms([report(0, escaped), report(1, loose)])
    assert found.controls["all"].events == 1
    assert found.verdicts["all"].events == 1
    assert {own.what for own in found.suspects} == {
        f"as_stated: control '{control.name}' escaped", "as_stated: HOLDS, share outside its band",
    }  # fmt: skip
    assert found.clean["all"] == ()


def test_a_run_with_a_share_outside_its_band_ends_with_1():
    assert report(0, CHECK).exit_code == 0
    assert report(0, dataclasses.replace(CHECK, attained=0.7, band=(0.5, 0.9))).exit_code == 0
    assert report(0, dataclasses.replace(CHECK, attained=0.1, band=(0.5, 0.9))).exit_code == 1
