"""A check that is read again is the one that was written, whatever its numbers are; witnesses with NaN replay."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from made_checks import CHECK, printed_and_corrected, rate

from pluralign.commands.replay import command as replay_command
from sim.errors import InputError
from sim.reading import load_json
from theory.engine import witnesses
from theory.engine.registry import select
from theory.engine.runner import adjust, check_from_json, run_checks
from theory.engine.theorem import Premise, Setting, Variant
from theory.engine.verdicts import Verdict
from theory.report.folder import read_folder, write_folder

NAN, INF = float("nan"), float("inf")
(PRINTED, _) = printed_and_corrected()
ODD = replace(
    rate(), bound=INF, measured=NAN, interval=(-INF, INF), standard_error=INF, p_value=NAN, power=NAN, attained=-INF,
    departure_power=NAN, premises=(Premise("odd", False, NAN, ">= 1"),),
    controls=(replace(CHECK.controls[0], measured=INF, power=NAN),),
    curve=replace(rate().curve, mean=[NAN, -1.0, INF]), band=(0.5, INF),
    witness=replace(PRINTED.witness, value=[[NAN, 1.0], [-INF, INF]], limit=-INF, payload={"word": "inf", "number": 1}),
)  # fmt: skip


def _same(one, other):
    return json.dumps(one.as_kept()) == json.dumps(other.as_kept())


def test_what_is_kept_is_read_as_it_was():
    text = json.dumps(ODD.as_kept(), allow_nan=False)
    again = check_from_json(load_json(text))
    assert _same(again, ODD)
    assert np.isnan(again.p_value)
    assert again.witness.payload["word"] == "inf"
    assert isinstance(again.measured, float)
    assert again.band == (0.5, INF)
    for check in (CHECK, PRINTED, rate()):
        assert check_from_json(json.loads(json.dumps(check.as_kept()))) == check


def test_what_readers_are_given_is_read_too():
    again = check_from_json(json.loads(json.dumps(ODD.as_json(), allow_nan=False)))
    assert np.isnan(again.p_value)
    assert again.interval == (-INF, INF)
    assert np.isnan(again.witness.value[0][0])
    assert again.witness.value[1] == [-INF, INF]


@pytest.mark.parametrize("wrong", ["much", [1.0], {}])
def test_other_things_in_a_numbers_place_are_no_verdict(wrong):
    with pytest.raises(TypeError, match="expected a number"):
        check_from_json({**CHECK.as_json(), "p_value": wrong})


MODULE = """
from dataclasses import dataclass, replace
from theory.engine.judges import EveryDraw, MeanAtMost
from theory.engine.theorem import Control, Setting, Theorem, Variant

@dataclass(frozen=True)
class Draws(Setting):
    replicates: int = 40
    shift: float = 0.0
    broken: float = 0.0

class Mean(Theorem[Draws]):
    claim_id, paper, source, statement = "odd-mean", "odd", "here", "The mean is at most 1."
    SETTINGS = {"as_stated": Variant(Draws(broken=float("nan")), expected="INCONCLUSIVE")}

    def bound(self, setting):
        return MeanAtMost(1.0)

    def draw(self, setting, stream):
        if stream.replicate == 3 and setting.broken != 0.0:
            return setting.broken
        return setting.shift + float(stream.uniforms(1)[0])

    def control(self, setting):
        return (Control("shifted", replace(setting, shift=5.0, broken=0.0)),)

class Draw(Mean):
    claim_id, statement = "odd-draw", "Every draw is at most 1."
    SETTINGS = {
        "as_stated": Variant(Draws(80), expected="HOLDS"),
        "as_nan": Variant(Draws(80, broken=float("nan")), "VIOLATED"),
        "as_inf": Variant(Draws(80, broken=float("inf")), "VIOLATED"),
    }

    def bound(self, setting):
        return EveryDraw(1.0)

CLAIMS = [Mean, Draw]
"""


@pytest.fixture
def ran(tmp_path):
    (tmp_path / "odd_claims.py").write_text(MODULE)

    def run():
        claims = select(["odd_claims:CLAIMS"], tmp_path)
        return run_checks(claims, profile="quick", seed=0, cells=tmp_path / "cells")

    return run


def test_a_run_that_resumes_says_the_same(ran, tmp_path):
    """A p-value of NaN was null, and then nothing that a test for NaN takes; a verdict's name was no verdict."""
    first, again = ran(), ran()
    assert (first.resumed, again.resumed) == (0, 2)
    assert [check.verdict for check in first.checks] == [
        Verdict.INCONCLUSIVE, Verdict.HOLDS, Verdict.VIOLATED, Verdict.VIOLATED,
    ]  # fmt: skip
    assert first.all_as_expected
    assert again.all_as_expected
    assert first.exit_code == again.exit_code == 0
    for one, other in zip(first.checks, again.checks, strict=True):
        assert _same(one, other)
    write_folder(tmp_path / "out", again, [])
    for one, other in zip(first.checks, read_folder(tmp_path / "out"), strict=True):
        assert one.as_json() == other.as_json()


def test_figures_of_an_earlier_check_go(ran, tmp_path):
    """As its witnesses do: they were there beside verdicts that do not name them. Other people's stay."""
    checks = ran()
    out = tmp_path / "out"
    for folder, names in (("witnesses", ["x--y.json"]), ("figures", ["rate-x-y.png", "rate-x-y.svg", "mine.png"])):
        (out / folder).mkdir(parents=True)
        for name in names:
            (out / folder / name).write_text("of before")
    write_folder(out, checks, [])
    names = {path.name for path in (out / "figures").iterdir()}
    assert names == {"mine.png", "verdicts.png", "verdicts.svg"}
    assert not (out / "witnesses" / "x--y.json").exists()


def test_an_unknown_verdict_is_refused():
    with pytest.raises(InputError, match="must be one of HOLDS, VIOLATED, "):
        Variant(Setting(), expected="HOLDZ")


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_witness_that_is_no_number_replays(ran, tmp_path, value, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check = next(check for check in ran().checks if check.variant == f"as_{value}")
    path = witnesses.save(tmp_path, check)
    assert json.loads(path.read_text())["value"] == value
    found = witnesses.replay(path, tmp_path)
    assert found.reproduced
    assert repr(found.recomputed) == f"[{value}]"
    told = CliRunner().invoke(replay_command, [str(path), "--json"])
    assert told.exit_code == 0, told.output
    assert load_json(told.stdout)["recorded"] == [value]


@pytest.mark.parametrize("value", [None, "much", ["a"], [[1.0], [1.0, 2.0]], [None], True])
def test_a_witness_of_other_things_gets_one_line(ran, tmp_path, value):
    check = next(check for check in ran().checks if check.variant == "as_inf")
    path = witnesses.save(tmp_path, check)
    path.write_text(json.dumps({**json.loads(path.read_text()), "value": value}))
    with pytest.raises(InputError, match="field 'value': "):
        witnesses.replay(path, tmp_path)


def test_a_verdict_that_is_taken_back_has_no_witness():
    weak = [replace(PRINTED, claim_id=f"claim-{i}", p_value=0.03) for i in range(5)]
    taken_back = adjust(weak)
    assert {check.verdict for check in taken_back} == {Verdict.INCONCLUSIVE}
    assert all(check.witness is None for check in taken_back)
    assert adjust(weak[:1])[0].witness is not None
