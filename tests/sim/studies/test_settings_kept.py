"""What a study file may hold, and that memory, files, cells and run see the same setting."""

import json
import math
from dataclasses import dataclass, field

import numpy as np
import pytest

import pluralign as pl
from sim.errors import InputError
from sim.streams import Stream
from sim.studies.cells import run_study
from sim.studies.columns import of_one_kind
from sim.studies.experiments.best_of_n.responses import Spectrum
from sim.studies.grid import cells_of
from sim.studies.report import SavedStudy
from sim.studies.setting_checks import Extended, check_kinds
from sim.studies.settings_kept import as_plain
from sim.studies.spec import load_spec

MODULE = """
import os
import threading
from dataclasses import InitVar, dataclass, field
import numpy as np
import pluralign as pl

@dataclass(frozen=True)
class Share:
    share: float = 30.0
    extra: InitVar[int] = 7
    total: int = field(init=False, default=0)
    place: str = field(init=False, default="")
    seen: list = field(default_factory=list)
    def __post_init__(self, extra):
        object.__setattr__(self, "share", self.share / 100)
        object.__setattr__(self, "total", self.total + extra)
        object.__setattr__(self, "place", os.getcwd())
        object.__setattr__(self, "hidden", extra * 2)

def run(setting, stream, backends):
    setting.seen.append(1)
    found = {"share": setting.share, "total": setting.total, "hidden": setting.hidden, "seen": len(setting.seen),
             "here": os.path.basename(setting.place) == "elsewhere"}
    return [pl.Measurement("m", *own) for own in found.items()]

SHARE = pl.Experiment(Share, run, {}, memory=lambda setting: setting.share)

@dataclass(frozen=True)
class Odd:
    a: object = 1
    b: object = None
    method: object = None

def odd(setting, stream, backends):
    value = {"big": 10**20, "u64": np.uint64(2**64 - 1), "flag": True, "long": np.longdouble(0.5),
             "huge": 10**400, "text": "1"}.get(setting.b, 1.0)
    return [pl.Measurement("m", "x", value)]

ODD = pl.Experiment(Odd, odd, {})

@dataclass
class Loose:
    n: int = 0

LOOSE = pl.Experiment(Loose, odd, {})

@dataclass(frozen=True)
class Hidden:
    extra: InitVar[int] = 7
    def __post_init__(self, extra):
        object.__setattr__(self, "hidden", extra)

HIDDEN = pl.Experiment(Hidden, odd, {})

@dataclass(frozen=True)
class Locked:
    n: int = 0
    def __post_init__(self):
        object.__setattr__(self, "lock", threading.Lock())

LOCKED = pl.Experiment(Locked, odd, {})

@dataclass(frozen=True)
class Array:
    n: int = 0
    table: object = field(init=False)
    def __post_init__(self):
        object.__setattr__(self, "table", np.zeros(3))

ARRAY = pl.Experiment(Array, odd, {})
"""


def _file(folder, name, text):
    (folder / f"{name}.py").write_text(MODULE)
    path = folder / f"{name}.yaml"
    path.write_text(f"experiment: {name}:{text}")
    return path


@pytest.mark.parametrize("how", [{"engine": "local", "batch": 1}, {"engine": "local", "batch": 3}, {"workers": 2}])
def test_run_sees_the_setting_that_memory_and_the_cell_saw(tmp_path, monkeypatch, how):
    """`__post_init__` runs once: made again from its fields, .3 would be .003, and made elsewhere another place."""
    file = _file(tmp_path, "kept_share", "SHARE\nreplicates: 3\nsettings: {extra: 9}\ngrid: {share: [30, 50]}\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    spec = load_spec(file)
    cells = cells_of(spec, {})
    monkeypatch.chdir(tmp_path)
    found = run_study(spec, {}, cells=tmp_path / "cells", grid=cells, **how).results
    for level, share in ((30, 0.3), (50, 0.5)):
        own = found.where(share=level)
        expected = {"share": share, "total": 9.0, "hidden": 18.0, "seen": 1.0, "here": 1.0}
        assert {name: set(rows.values()) for name, rows in own.by("metric").items()} == {
            name: {value} for name, value in expected.items()
        }
    assert [spec.definition.memory(cell.setting) for cell in cells] == [0.3, 0.5]
    assert spec.resolved()["settings"]["extra"] == 9


def test_what_is_not_among_its_fields_makes_another_cell(tmp_path):
    file = _file(tmp_path, "kept_ids", "HIDDEN\n")
    ids = {cells_of(load_spec(file, [f"extra={extra}"]), {})[0].cell_id for extra in (1, 2)}
    assert len(ids) == 2


def test_what_no_worker_can_be_given_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"setting: cannot be copied for workers .TypeError: .*keep numbers and texts"):
        cells_of(load_spec(_file(tmp_path, "kept_lock", "LOCKED\n")), {})


def test_ids_of_finished_work_are_those_of_before():
    """Computed by the version before this one."""
    assert cells_of(load_spec(pl.studies()["reward_free"].file), {})[0].cell_id == "654e7c37cab923fb"
    assert cells_of(load_spec(pl.studies()["best_of_n"].file), {})[0].cell_id == "b29f2ed4adabff62"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SHARE\nsettings: {total: 3}\n", "unknown key 'total' in 'settings'; choose one of share, extra, seen"),
        ("ODD\ngrid: {method: [p, q]}\n", "field 'grid.method': a factor cannot be called 'method'"),
        ("ODD\ngrid: {a: [.nan, 1.0]}\n", "field 'grid.a': nan is no setting"),
        ("ODD\nsettings: {a: [[.nan]]}\n", "field 'settings.a': nan is no setting"),
        ("ODD\ngrid: {a: [2001-01-01]}\n", "expected a number, text, true, .* got date .*quote what is meant as text"),
        ('ODD\ngrid: {a: [!!binary "aGk="]}\n', "field 'grid.a': expected a number, text, .* got bytes"),
        ("ODD\ngrid: {a: [!!set {x}, 1]}\n", "field 'grid.a': expected a number, text, .* got set"),
        ("ODD\ngrid: {a: [{x: 1}, {x: 2}]}\n", "field 'grid.a': a level cannot be a mapping"),
        ("ODD\ngrid: {a: [[{x: 1}]]}\n", "field 'grid.a': a level cannot be a mapping"),
        ("ODD\nsettings: {a: {1: 2}}\n", "field 'settings.a': expected names in a mapping, got 1"),
        ("ODD\ngrid: {a: [1, 1.0]}\n", "field 'grid.a': a value occurs twice: 1 and 1.0 are equal"),
        ("ODD\ngrid: {a: [0, true, 1]}\n", "a value occurs twice: True and 1 are equal"),
        ("ODD\ngrid: {a: [[1, 2], [1, 2.0]]}\n", "a value occurs twice: .* are equal"),
        ("ODD\ngrid: {a: [x, x]}\n", "a value occurs twice; remove one"),
        ("LOOSE\n", "its setting, Loose, can be written to, .*frozen=True"),
        ("ARRAY\n", "setting, as __post_init__ left it: field 'table': expected a number, text, .* got ndarray"),
    ],
)
def test_what_cannot_be_kept_is_said_before_the_work(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as error:
        load_spec(_file(tmp_path, "kept_odd", text))
    assert "\n" not in str(error.value)


def test_odd_numbers_are_measured(tmp_path):
    """The study that had them ended in a traceback, and so did its resumption."""
    wanted = {"big": 1e20, "u64": 2.0**64, "flag": 1.0, "long": 0.5}
    file = _file(tmp_path, "kept_numbers", f"ODD\nreplicates: 2\ngrid: {{b: [{', '.join(wanted)}, huge, text]}}\n")
    run = run_study(load_spec(file), {}, cells=tmp_path / "cells", engine="local")
    found = {b: set(rows.values()) for b, rows in run.results.measured().by("b").items()}
    assert found == {name: {value} for name, value in wanted.items()}
    said = [row.error.partition(": ")[2] for row in run.failed]
    assert said == 2 * ["value of 'x' is beyond what a float holds"] + 2 * ["value of 'x': expected a number, got str"]


LEVELS = [
    "[.inf, 1.0, -.inf]", "[100000000000000000000, 1]", "[9007199254740993, 1.5]", "[[.inf], [1]]", "[null, .inf, x]",
    "[9223372036854775807, 1]",
]  # fmt: skip


@pytest.mark.parametrize("levels", LEVELS)
def test_levels_come_back_as_they_were(tmp_path, levels):
    file = _file(tmp_path, "kept_levels", f"ODD\nreplicates: 2\nsettings: {{b: .inf}}\ngrid: {{a: {levels}}}\n")
    study = pl.run_study(file, workers=1, engine="local", out=tmp_path / "out")
    spec = load_spec(file)
    again = SavedStudy.read(tmp_path / "out")
    assert tuple(again.results.by("a")) == spec.grid["a"]
    assert again.table() == study.overview
    written = json.loads((tmp_path / "out" / "study.json").read_text())
    assert written["grid"]["a"] == as_plain(list(spec.grid["a"]))
    assert written["settings"]["b"] == ".inf"
    assert pl.study_status(tmp_path / "out").state == "finished"
    assert json.dumps(study.as_dict(), allow_nan=False)


def test_whole_numbers_that_no_column_holds_are_kept_as_texts():
    assert of_one_kind([1, 2**63 - 1, -(2**63), None])
    assert not of_one_kind([1, 2**63])
    assert of_one_kind([2**53 - 1, 0.5])
    assert not of_one_kind([2**53 + 1, 0.5])


def test_responses_without_tails_are_normal():
    drawn, odd = Spectrum(4, 1, 0.0, 0.05, 1.0, 0.0, math.inf).draw(40_000, True, Stream(0, "t", 0))
    assert np.isfinite(drawn).all()
    assert not odd.any()
    assert drawn[:, :3].std(axis=0) == pytest.approx(1.0, abs=0.02)
    assert (drawn[:, 0] ** 4).mean() == pytest.approx(3.0, abs=0.15)


@dataclass(frozen=True)
class _Checked:
    plain: float = 1.0
    wide: Extended = 1.0
    several: tuple[float, ...] = field(default=())


def test_infinity_is_a_number_where_it_is_meant_to_be():
    check_kinds(_Checked(wide=-math.inf))
    for wrong in ({"plain": math.inf}, {"plain": math.nan}, {"wide": math.nan}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be finite, and a number"):
            check_kinds(_Checked(**wrong))
    with pytest.raises(ValueError, match="several must be a list of numbers"):
        check_kinds(_Checked(several=(1.0, math.inf)))
