"""A claim that is given as it is: workers check it with the code that it has here, whatever they imported before."""

import importlib
import json
import sys

import pytest

import pluralign as pl
from sim.errors import InputError

MODULE = """
import threading
from dataclasses import dataclass, field, replace
from theory.engine.judges import EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant
from {name}_shift import SHIFT, plain
import {name}_shift as shifts

LOCK = threading.Lock()

@dataclass(frozen=True)
class Draws(Setting):
    replicates: int = 40
    shift: float = 0.0
    of: object = plain

class One(Theorem[Draws]):
    claim_id, paper, source, statement = "{id}-one", "{id}", "Theorem 1", "Draws are below 1."
    SETTINGS = {{"as_stated": Variant(Draws())}}

    def bound(self, setting):
        return EveryDraw(100.0)

    def draw(self, setting, stream):
        {uses}
        return setting.of(float(stream.uniforms(1)[0])) + setting.shift + SHIFT + shifts.SHIFT

    def control(self, setting):
        return (Control("shifted", replace(setting, shift=1000.0)),)

class Two(One):
    claim_id = "{id}-two"
"""


@pytest.fixture
def given(tmp_path, monkeypatch):
    """given(shift) writes two modules, imports them and gives their claims."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = []

    def make(name, shift, uses="pass"):
        (tmp_path / f"{name}.py").write_text(MODULE.format(name=name, id=name.replace("_", "-"), uses=uses))
        (tmp_path / f"{name}_shift.py").write_text(f"SHIFT = {shift}\ndef plain(value):\n    return value + {shift}\n")
        for own in (f"{name}_shift", name):
            sys.modules.pop(own, None)
            made.append(own)
        importlib.invalidate_caches()
        module = importlib.import_module(name)
        return [module.One(), module.Two()]

    yield make
    for own in made:
        sys.modules.pop(own, None)


def _measured(claims, **by):
    return [check.measured for check in pl.check(*claims, **by).checks]


@pytest.mark.parametrize("by", [{"workers": 2}, {"workers": 1, "time_out": 60.0}], ids=["joblib", "watched"])
def test_workers_check_the_claim_as_it_is_here(given, by):
    """Its module, a helper of it and a function in its settings were edited since the workers imported them."""
    for shift in (0.0, 5.0):
        claims = given(f"given_{next(iter(by))}_{len(by)}", shift)
        assert _measured(claims, **by) == _measured(claims, workers=1) == pytest.approx([3 * shift + 0.5] * 2, abs=0.51)


def test_one_that_was_imported_before_an_edit_is_checked_as_it_was(given, tmp_path):
    claims = given("given_held", 5.0)
    before = _measured(claims, workers=1)
    (tmp_path / "given_held_shift.py").write_text("SHIFT = 0.0\ndef plain(value):\n    return value\n")
    assert _measured(claims, workers=2) == before


def test_what_cannot_be_sent_is_said_before_any_begins(given):
    claims = given("given_locked", 0.0, uses="assert LOCK is not None")
    message = r"claim 'given-locked-one': cannot be sent to workers \(TypeError: .*lock.*\); check it in this process"
    with pytest.raises(InputError, match=message):
        pl.check(*claims, workers=2)
    assert len(_measured(claims, workers=1)) == 2


def test_the_text_of_a_check_does_not_depend_on_who_did_it(given):
    claims = given("given_alike", 1.0)
    one, two = (json.dumps(pl.check(*claims, workers=n).as_dict()["verdicts"]) for n in (1, 2))
    assert one == two
