"""`mutate`, `power` and `check --seeds`: how far the checks can be trusted, from the command line and from Python."""

import json

import pytest
from click.testing import CliRunner

import pluralign as pl
from pluralign.__main__ import command
from theory.engine.verdicts import Verdict
from theory.mutation.catalogue import catalogue


def run(*arguments, code=0):
    result = CliRunner().invoke(command, [str(own) for own in arguments])
    assert result.exit_code == code, result.output
    return result


def test_the_catalogue_is_listed():
    rows = json.loads(run("mutate", "personalization", "--list", "--json").stdout)["faults"]
    assert {row["paper"] for row in rows} == {"personalization"}
    assert {row["id"] for row in rows} == {fault.id for fault in catalogue("personalization")}
    told = run("mutate", "--list").stdout
    assert all(f"{row['id']}  (personalization)\n    {row['what']}" in told for row in rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mutate", "nobody"), "no planted faults of 'nobody'"),
        (("mutate", "--only", "no-such-fault"), "there is no planted fault 'no-such-fault'"),
        (("power", "no-such-claim"), "no claim or paper 'no-such-claim'"),
        (("power", "costs-not-negative", "--target", "1.5"), "between 0 and 1"),
        (("power", "costs-not-negative", "--variant", "as_told"), "has no variant 'as_told'"),
    ],
)
def test_bad_use_is_one_line_and_exit_2(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pl.InputError, match=said):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert not list(tmp_path.rglob("*.json"))


def test_a_fault_is_planted_and_the_table_written(tmp_path):
    found = json.loads(run("mutate", "--only", "pop-optimum-beta", "--workers", 1, "--out", tmp_path, "--json").stdout)
    assert (found["killed"], found["total"], found["exit_code"]) == (1, 1, 0)
    assert found["mutants"][0]["killed_by"]
    assert json.loads((tmp_path / "mutations.json").read_text()) == found
    assert "| pop-optimum-beta | personalization |" in (tmp_path / "mutations.md").read_text()


def test_power_says_how_many_replicates():
    found = json.loads(run("power", "costs-not-negative", "--target", 0.9, "--json").stdout)
    # One draw in twenty above the limit: 1 - .95^n >= .9 from n = 45 on.
    least = pytest.approx(1 - 0.95 ** found["replicates"])
    expected = {"against": "5% of the draws above the limit", "now": least, "replicates": 45}
    assert found["departure"] == expected
    assert found["needed"] >= 45
    told = run("power", "costs-not-negative", "--target", 0.9).stdout
    assert f"{found['needed']} replicates reach power 0.9 (it has {found['replicates']})" in told
    assert str(pl.power("costs-not-negative", target=0.9)).splitlines()[0] == told.splitlines()[0]


def test_false_alarms_are_counted_and_a_longer_run_takes_what_there_is(tmp_path):
    arguments = ("check", "costs-not-negative", "manipulation-example", "--workers", 1, "--out", tmp_path, "--json")
    found = json.loads(run(*arguments, "--seeds", 2).stdout)
    assert found["verdicts"]["all"]["trials"] == 4
    assert found["verdicts"]["all"]["events"] == 0
    assert found["verdicts"]["all"]["interval"][1] == pytest.approx(1 - 0.025 ** (1 / 4))
    assert found["clean_seeds"]["personalization"] == [0, 1]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    again = json.loads(run(*arguments, "--seeds", 3).stdout)
    assert again["seeds"] == [0, 1, 2]
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert len(list((tmp_path / "cells").iterdir())) == 6
    assert json.loads((tmp_path / "alarms.json").read_text()) == again


def test_a_claim_that_misses_at_every_seed_stands_out(tmp_path, monkeypatch):
    from theory.personalization.costs import CostsNotNegative

    variant = next(iter(CostsNotNegative.SETTINGS.values()))
    wrong = type(variant)(variant.setting, Verdict.VIOLATED)
    monkeypatch.setattr(CostsNotNegative, "SETTINGS", {"as_stated": wrong})
    found = json.loads(
        run("check", "costs-not-negative", "--seeds", 4, "--workers", 1, "--out", tmp_path, "--json", code=1).stdout
    )
    assert found["claims"][0]["claim_id"] == "costs-not-negative"
    assert found["claims"][0]["stands_out"]
    assert found["verdicts"]["all"]["events"] == 4
