"""What code would do, told by what is in memory: of a notebook's cells, of text that was executed, of what was edited
since it was imported."""

import subprocess
import sys
import types

import pytest
from places import ROOT

import pluralign as pl
from sim.code_in_memory import code_digest
from sim.plugins import Door

CELL = '''
import functools
import numpy as np
from dataclasses import dataclass

LEVEL = 1.0
TABLE = {"a": [1, 2], "b": np.arange(3)}
NAMES = {"x", "y", "z"}

def helper(value, by=2.0):
    return LEVEL * value + by + len(TABLE) + len(NAMES)

@dataclass(frozen=True)
class Thing:
    """What it says of itself."""
    shift: float = 0.0

    @property
    def twice(self):
        return [lambda x: x + 1, 2][0](self.shift)

    @staticmethod
    def plain(x):
        return np.exp(x)

    def run(self, x):
        return functools.partial(helper, by=self.twice)(x)

THING = Thing()
'''


def _cell(text, name="notebook_cell"):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, "<cell>", "exec"), vars(module))
    return module


@pytest.fixture(autouse=True)
def _gone():
    yield
    sys.modules.pop("notebook_cell", None)


def test_it_is_the_same_for_the_same_code_here_and_in_other_processes():
    mine = code_digest(_cell(CELL).THING)
    assert code_digest(_cell(CELL).THING) == mine
    assert code_digest(_cell("\n\n# moved down\n" + CELL + "\nOTHER = 5\n").THING) == mine
    code = (
        f"import sys, types; sys.path.insert(0, {str(ROOT)!r}); m = types.ModuleType('notebook_cell'); "
        f"sys.modules['notebook_cell'] = m; exec(compile({CELL!r}, '<cell>', 'exec'), vars(m)); "
        "from sim.code_in_memory import code_digest; print(code_digest(m.THING))"
    )
    for seed in ("1", "2"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                              env={"PYTHONHASHSEED": seed})  # fmt: skip
        assert done.stdout.strip() == mine


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("LEVEL = 1.0", "LEVEL = 2.0"),
        ("* value + by", "* value - by"),
        ("by=2.0", "by=3.0"),
        ("[1, 2]", "[1, 3]"),
        ("arange(3)", "arange(4)"),
        ('"z"', '"w"'),
        ("x + 1", "x + 2"),
        ("np.exp", "np.log"),
        ("shift: float = 0.0", "shift: float = 1.0"),
        ("THING = Thing()", "THING = Thing(4.0)"),
    ],
)
def test_every_edit_of_what_it_reaches_is_another_one(was, now):
    assert was in CELL
    assert code_digest(_cell(CELL.replace(was, now)).THING) != code_digest(_cell(CELL).THING)


def test_a_door_tells_an_edited_cell_from_the_one_before():
    door = Door("thing", {})
    _cell(CELL)
    before = door.sources("notebook_cell:THING")
    assert before.files == ()
    assert door.sources("notebook_cell:THING").digest == before.digest
    _cell(CELL.replace("LEVEL = 1.0", "LEVEL = 2.0"))
    assert door.sources("notebook_cell:THING").digest != before.digest


CLAIM = """
from dataclasses import dataclass, replace
from theory.engine.judges import EveryDraw
from theory.engine.theorem import Control, Setting, Theorem, Variant

@dataclass(frozen=True)
class Draws(Setting):
    replicates: int = 40
    shift: float = 0.0

class One(Theorem[Draws]):
    claim_id, paper, source, statement = "cell-one", "cell", "Theorem 1", "Draws are below 100."
    SETTINGS = {"as_stated": Variant(Draws())}

    def bound(self, setting):
        return EveryDraw(100.0)

    def draw(self, setting, stream):
        return float(stream.uniforms(1)[0]) + setting.shift + SHIFT

    def control(self, setting):
        return (Control("shifted", replace(setting, shift=1000.0)),)

class Two(One):
    claim_id = "cell-two"

SHIFT = 0.0
CLAIMS = [One, Two]
"""


def test_claims_of_a_notebook_are_checked_as_they_are_by_workers_and_from_a_folder(tmp_path):
    for shift in ("0.0", "5.0"):
        _cell(CLAIM.replace("SHIFT = 0.0", f"SHIFT = {shift}"))
        for workers in (1, 2):
            found = pl.check("notebook_cell:CLAIMS", workers=workers, out=tmp_path / "out")
            assert [check.measured for check in found.checks] == pytest.approx([float(shift) + 0.5] * 2, abs=0.51)
