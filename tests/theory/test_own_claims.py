"""Claims of one's own: module:NAME through judges, controls, power, multiplicity and witnesses, with every engine."""

import json
import re
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from click.testing import CliRunner

import pluralign as pl
from pluralign.commands.check import command as check
from pluralign.commands.power import command as power
from pluralign.commands.replay import command as replay
from sim import plugins
from sim.errors import InputError
from theory.engine.judges import MeanAtMost
from theory.engine.planning import plan
from theory.engine.registry import find, select
from theory.engine.runner import run_checks
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict

MODULE = """
from dataclasses import dataclass, replace
from theory.engine.judges import EveryDraw, MeanAtMost
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict
from {name}_level import LEVEL

@dataclass(frozen=True)
class Draws(Setting):
    replicates: int = 100
    shift: float = 0.0

class Below(Theorem[Draws]):
    claim_id, paper, source, statement = "{id}-below", "{name}", "Theorem 1", "Uniform draws have a mean below 0.6."
    SETTINGS = {{
        "as_stated": Variant(Draws()),
        "as_printed": Variant(Draws(shift=0.5), Verdict.VIOLATED, "Shifted ones, too."),
    }}

    def bound(self, setting):
        return EveryDraw(1.0 + LEVEL)

    def draw(self, setting, stream):
        return float(stream.uniforms(1)[0]) + setting.shift

    def control(self, setting):
        return (Control("shifted by one", replace(setting, shift=1.0)),)

    def witness(self, setting, stream):
        return {{"draw": self.draw(setting, stream)}}

class Mean(Below):
    claim_id, statement = "{id}-mean", "The mean is at most 0.6."
    SETTINGS = {{"as_stated": Variant(Draws())}}

    def bound(self, setting):
        return MeanAtMost(0.6)

CLAIMS = [Below(), Mean]
NONE = []
NUMBER = 3
"""


def _own(folder, name):
    (folder / f"{name}.py").write_text(MODULE.format(name=name, id=name.replace("_", "-")))
    (folder / f"{name}_level.py").write_text("LEVEL = 0.0\n")
    return f"{name}:CLAIMS"


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    plugins._LOADED.clear()


def test_every_engine_and_two_workers_give_the_same_verdicts(tmp_path):
    claims = select([_own(tmp_path, "own_claims")], tmp_path)
    assert [claim.claim_id for claim in claims] == ["own-claims-below", "own-claims-mean"]
    runs = [
        run_checks(claims, profile="quick", seed=3, workers=2, engine=engine) for engine in ("local", "joblib", "dask")
    ]
    assert runs[0].checks == runs[1].checks == runs[2].checks
    verdicts = {(c.claim_id, c.variant): c.verdict for c in runs[0].checks}
    assert verdicts["own-claims-below", "as_stated"] is Verdict.HOLDS
    assert verdicts["own-claims-below", "as_printed"] is Verdict.VIOLATED
    assert runs[0].all_as_expected
    assert (runs[0].controls_caught, runs[0].controls_total) == (3, 3)
    assert all(c.power > 0.99 for c in runs[0].checks)


def test_they_are_held_together_with_ours_in_their_own_family(tmp_path):
    own = _own(tmp_path, "family_claims")
    report = run_checks(select([own, "mixture-linear"], tmp_path), profile="quick", seed=0, engine="local")
    assert {check.paper for check in report.checks} == {"family_claims", "unobserved_types"}
    assert report.all_as_expected


def test_an_edited_claim_is_checked_again(tmp_path):
    own = _own(tmp_path, "edited_claims")

    def run():
        claims = select([own], tmp_path)
        return run_checks(claims, profile="quick", seed=0, workers=2, cells=tmp_path / "cells")

    assert [run().resumed, run().resumed] == [0, 2]
    (tmp_path / "edited_claims_level.py").write_text("LEVEL = -0.5\n")
    again = run()
    assert again.resumed == 0
    assert again.checks[0].verdict is Verdict.VIOLATED, "by workers that had imported the old source"


def test_from_the_command_line_with_a_witness_that_replays(tmp_path, monkeypatch):
    own, out = _own(tmp_path, "typed_claims"), tmp_path / "report"
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(check, [own, "--workers", "2", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert [row["paper"] for row in answer["verdicts"]] == ["typed_claims"] * 3
    witness = out / "witnesses" / "typed-claims-below--as_printed.json"
    assert json.loads(witness.read_text())["origin"] == "typed_claims:CLAIMS"
    again = CliRunner().invoke(replay, [str(witness), "--json"])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["payload"]["draw"] > 1.0
    assert "typed-claims-mean" in (out / "verdicts.md").read_text()


@dataclass(frozen=True)
class _Here(Setting):
    replicates: int = 50
    wrong: bool = False


class _Given(Theorem[_Here]):
    claim_id, paper, source, statement = "given-here", "given", "a notebook", "Zero is at most one."
    SETTINGS = {"as_stated": Variant(_Here())}

    def bound(self, setting):
        return MeanAtMost(1.0)

    def draw(self, setting, stream):
        return 2.0 * setting.wrong + 0.1 * float(np.abs(stream.normals(1)[0]))

    def control(self, setting):
        return (Control("two", replace(setting, wrong=True)),)


def test_a_claim_at_hand_needs_no_module(tmp_path):
    """As in a notebook; it is not kept, for nobody can tell whether it is the same the next time."""
    for _ in range(2):
        report = run_checks([_Given()], profile="quick", seed=0, cells=tmp_path / "cells")
        assert report.resumed == 0
        assert report.checks[0].verdict is Verdict.HOLDS
    assert not (tmp_path / "cells").exists()


class _Par(_Given):
    """One class of several claims: its settings are made with it."""

    claim_id = "given-par"

    def __init__(self, wrong, note=None):
        self.SETTINGS = {"as_stated": Variant(_Here(wrong=wrong), "VIOLATED" if wrong else "HOLDS")}
        self.note = note


@pytest.mark.parametrize(
    "pair",
    [
        (_Par(False), _Par(True)),
        (_Par(False), _Par(False, note=3)),
        (_Par(False), _Par(False, note=lambda: 3)),
        (_Par(False, note=lambda: 2), _Par(False, note=lambda: 3)),
    ],
)
def test_two_claims_of_one_class_and_name_are_refused(pair):
    """The second was not checked, and nothing said so."""
    expected = (
        r"two claims are called 'given-par', .* another state \(test_own_claims:_Par\); give one another claim_id"
    )
    for ask in (pl.check, lambda *claims, workers: run_checks(claims, profile="quick", seed=0)):
        with pytest.raises(InputError, match=expected):
            ask(*pair, workers=1)
    for twice in ((_Par(False), _Par(False)), (pair[0], pair[0])):
        assert len(pl.check(*twice, workers=1).checks) == 1


def test_so_are_those_of_a_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _own(tmp_path, "paired_claims")
    with (tmp_path / "paired_claims.py").open("a") as file:
        file.write(
            "\nclass Par(Below):\n    claim_id = 'paired'\n    def __init__(self, shift=0.0):\n"
            "        self.SETTINGS = {'as_stated': Variant(Draws(shift=shift))}\n"
            "PAIR = [Par(0.0), Par(3.0)]\nSINGLE = Par(0.0)\n"
        )
    with pytest.raises(InputError, match="two claims are called 'paired'"):
        select(["paired_claims:PAIR"])
    assert len(select(["paired_claims:SINGLE", "paired_claims:Par", "paired_claims:SINGLE"])) == 1


def test_a_claim_of_ours_with_settings_of_ones_own_is_checked_at_these(tmp_path):
    """The registered settings were judged, under the same name."""
    theorem = type(find("moment-factors"))()
    assert len(pl.check(theorem, workers=1, out=tmp_path).checks) == len(theorem.SETTINGS)
    assert pl.check(theorem, workers=1, out=tmp_path).report.resumed == 1
    variant = next(iter(theorem.SETTINGS.values()))
    theorem.SETTINGS = {"as_mine": replace(variant, statement="Mine.")}
    for workers in (1, 2):
        (found,) = pl.check(theorem, workers=workers, out=tmp_path).checks
        assert (found.variant, found.statement) == ("as_mine", "Mine.")
    with pytest.raises(InputError, match="two claims are called 'moment-factors', with other SETTINGS"):
        pl.check("moment-factors", theorem, workers=1)


def test_one_of_a_module_whose_settings_were_changed_is_checked_at_these(tmp_path):
    own = _own(tmp_path, "changed_claims")

    def run(claims, **options):
        return run_checks(claims, profile="quick", seed=0, cells=tmp_path / "cells", **options)

    below, mean = select([own], tmp_path)
    assert run([below, mean]).resumed == 0
    kept = len(list((tmp_path / "cells").iterdir()))
    below.SETTINGS = {"as_mine": below.SETTINGS["as_stated"]}
    for workers in (1, 2):
        report = run([below, mean], workers=workers)
        assert report.resumed == 1
        assert [check.variant for check in report.checks] == ["as_mine", "as_stated"]
    assert len(list((tmp_path / "cells").iterdir())) == kept
    # Named again it is what the module has in this process, which another one does not find.
    again = select([own], tmp_path)
    with pytest.raises(InputError, match="changed_claims:CLAIMS has other SETTINGS or another state"):
        run(again, workers=2, time_out=300.0, fresh=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"{id}-below"', '""'), "Below does not give its claim_id"),
        (('"{id}-below"', '"Not a name"'), "claim_id must be small letters, digits and hyphens"),
        (('"{id}-below"', '"mixture-linear"'), "'mixture-linear' is a claim of ours; give it another"),
        (('"{id}-mean"', '"{id}-below"'), "two claims are called 'refused-claims-below'"),
        (('(Control("shifted by one", replace(setting, shift=1.0)),)', "()"), "as_stated has no control; a check that"),
        (("CLAIMS = [", "CLAIMS = [Setting, "), "expected a Theorem or a sequence of them, got the Setting class"),
        (("CLAIMS = [Below(), Mean]", "CLAIMS = 3"), "expected a Theorem or a sequence of them, got a int"),
        (("CLAIMS = [Below(), Mean]", "CLAIMS = []"), "is an empty sequence"),
        (("    def draw", "    def drawn"), "Can't instantiate abstract class Below"),
    ],
)
def test_what_is_missing_is_said(tmp_path, change, message):
    (tmp_path / "refused_claims_level.py").write_text("LEVEL = 0.0\n")
    text = MODULE.replace(*change).format(name="refused_claims", id="refused-claims")
    (tmp_path / "refused_claims.py").write_text(text)
    with pytest.raises(InputError, match=message):
        select(["refused_claims:CLAIMS"], tmp_path)


def test_what_it_raises_is_said_with_its_line(tmp_path):
    (tmp_path / "raising_claims_level.py").write_text("LEVEL = 0.0\n")
    text = MODULE.replace("return float(stream", "return 1 / 0 + float(stream")
    (tmp_path / "raising_claims.py").write_text(text.format(name="raising_claims", id="raising-claims"))
    claims = select(["raising_claims:CLAIMS"], tmp_path)
    expected = (
        r"claim 'raising-claims-(below|mean)' raised ZeroDivisionError \(raising_claims.py, line 24\): division by zero"
    )
    for workers in (1, 2):
        with pytest.raises(InputError, match=expected):
            run_checks(claims, profile="quick", seed=0, workers=workers)


_LATER = {
    "draw": ("return float(stream", "return 1 / LEVEL + float(stream"),
    "premises": ("    def draw", "    def premises(self, setting, stream):\n        return 1 / LEVEL\n\n    def draw"),
    "bound": ("return EveryDraw(1.0 + LEVEL)", "return EveryDraw(1.0 + 1 / LEVEL)"),
    "control": ("return (Control(", "assert 1 / LEVEL\n        return (Control("),
    "witness": ('{{"draw": self', '{{"draw": 1 / LEVEL + self'),
}


@pytest.mark.parametrize("part", ["draw", "premises", "bound", "control"])
def test_so_it_is_by_power(tmp_path, monkeypatch, part):
    """Found while `LEVEL` is 1; what it says of itself is asked again once it is zero."""
    monkeypatch.chdir(tmp_path)
    name = f"power_{part}_claims"
    (tmp_path / f"{name}_level.py").write_text("LEVEL = 1.0\n")
    (tmp_path / f"{name}.py").write_text(MODULE.replace(*_LATER[part]).format(name=name, id="power-raising"))
    (claim, _) = select([f"{name}:CLAIMS"])
    monkeypatch.setattr(sys.modules[name], "LEVEL", 0.0)
    with pytest.raises(InputError, match=rf"claim 'power-raising-below' raised ZeroDivisionError \({name}.py, line "):
        plan(claim, "as_stated", target=0.8)


def test_power_of_one_that_raises_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boom_claims_level.py").write_text("LEVEL = 0.0\n")
    text = MODULE.replace(*_LATER["draw"]).replace("CLAIMS = [Below(), Mean]", "CLAIMS = [Below()]")
    (tmp_path / "boom_claims.py").write_text(text.format(name="boom_claims", id="boom"))
    expected = r"claim 'boom-below' raised ZeroDivisionError \(boom_claims.py, line 24\)"
    assert re.search(expected, str(CliRunner().invoke(power, ["boom_claims:CLAIMS"]).exception))
    with pytest.raises(InputError, match=expected):
        pl.power("boom_claims:CLAIMS")


@pytest.mark.parametrize("part", ["draw", "witness"])
def test_so_is_a_witness_whose_claim_raises_now(tmp_path, monkeypatch, part):
    monkeypatch.chdir(tmp_path)
    name = f"replayed_{part}_claims"
    (tmp_path / f"{name}_level.py").write_text("LEVEL = 1.0\n")
    (tmp_path / f"{name}.py").write_text(
        MODULE.replace(*_LATER[part]).replace("EveryDraw(1.0 + LEVEL)", "EveryDraw(1.0)").format(name=name, id="again")
    )
    assert pl.check(f"{name}:CLAIMS", workers=1, out=tmp_path / "out")
    witness = tmp_path / "out" / "witnesses" / "again-below--as_printed.json"
    (tmp_path / f"{name}_level.py").write_text("LEVEL = 0.0\n")
    with pytest.raises(InputError, match=rf"claim 'again-below' raised ZeroDivisionError \({name}.py, line "):
        pl.replay(witness)
