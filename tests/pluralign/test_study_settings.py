"""Settings of a study as Python has them, and reference numbers held against the study before it runs."""

import enum
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas
import polars
import pytest
import yaml

import pluralign as pl
from pluralign.api.study_settings import override
from sim.errors import InputError
from sim.studies.comparison import compare
from sim.studies.reference import Reference, load_reference, reference_of
from sim.studies.results import Results
from sim.studies.spec import load_spec

MODULE = """
from dataclasses import dataclass
import pluralign as pl

@dataclass(frozen=True)
class S:
    world: int = 0
    n: int = 1
    kind: str = "plain"
    same: object = None

def run(setting, stream, backends):
    u = float(stream.child("u").uniforms(1)[0])
    return [pl.Measurement("m", "x", u + setting.world), pl.Measurement("m", "hit", u < 0)]

OWN = pl.Experiment(S, run, {})
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set_own.py").write_text(MODULE)
    path = tmp_path / "own.yaml"
    path.write_text("experiment: set_own:OWN\nreplicates: 4\ngrid: {world: [1, 2]}\n")
    return path


class Rule(enum.StrEnum):
    NASH = "nash"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Path("a b") / "c: d.npy", "a b/c: d.npy"),
        (np.float64(0.1), 0.1),
        (np.longdouble(0.5), 0.5),
        ([[np.float64(1), np.int8(2)], (np.bool_(True),)], [[1.0, 2], [True]]),
        ({"x": np.float64(0.1)}, {"x": 0.1}),
        (OrderedDict(a=np.arange(2)), {"a": [0, 1]}),
        (np.array([1, None, "x"], dtype=object), [1, None, "x"]),
        (pandas.Series([1, 2]), [1, 2]),
        (pandas.Index(["a"]), ["a"]),
        (polars.Series([1.5]), [1.5]),
        (range(2), [0, 1]),
        (Rule.NASH, "nash"),
        ([Path("x"), Rule.NASH], ["x", "nash"]),
        ("null", "null"),
        ("é: #\n", "é: #\n"),
        (float("inf"), float("inf")),
    ],
)
def test_what_python_has_is_what_the_file_would_hold(value, wanted):
    key, _, text = override("k", value).partition("=")
    assert key == "k"
    assert yaml.safe_load(text) == wanted


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"same": {1, 2}}, "settings: same: expected numbers, .* got set; give a list"),
        ({"same": frozenset([1])}, "got frozenset; give a list"),
        ({"same": object()}, "settings: same: expected numbers, .* got object"),
        ({"same": [lambda: 0]}, "settings: same: expected numbers, .* got function"),
        ({"same": pandas.DataFrame({"a": [1]})}, "settings: same: expected numbers, .* got DataFrame"),
        ({1: 2}, "settings: expected a key of the study file, got 1"),
        ({"a=b": 2}, "settings: expected a key of the study file, got 'a=b'"),
        ({"same": 1j}, "settings: same: expected numbers, .* got complex"),
    ],
)
def test_what_no_file_could_hold_is_one_line(study, settings, said):
    with pytest.raises(InputError, match=said) as error:
        pl.run_study(study, settings=settings, workers=1, engine="local")
    assert "\n" not in str(error.value)


def test_numbers_of_numpy_are_taken(study):
    plan = pl.plan_study(study, seed=np.int64(3), target_error={"x": np.float64(0.1)}, workers=np.int64(1))
    assert plan.cells == 2
    for wrong in (1.0, "1"):
        with pytest.raises(InputError, match="seed must be a whole number"):
            pl.run_study(study, seed=wrong)


ROW = {"world": 1, "method": "m", "metric": "x", "value": 1.5, "n": 9, "decimals": 2}


def _with(study, *rows, text=""):
    Path("ref.yaml").write_text(yaml.safe_dump({"source": "s", "rows": list(rows)}))
    study.write_text(study.read_text() + f"reference: ref.yaml\n{text}")
    return study


def _less(name):
    return {key: value for key, value in ROW.items() if key != name}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**ROW, "n": 0}, "row 1, field 'n': expected a positive number, got 0"),
        ({**ROW, "n": float("nan")}, "field 'n': expected a finite number, got nan"),
        ({**ROW, "value": float("inf")}, "field 'value': expected a finite number"),
        ({**ROW, "value": []}, "field 'value': expected a number or a list of numbers"),
        ({**ROW, "value": [1, 2], "sd": [1, 2, 3]}, "field 'sd': expected one number, or 2 as value has"),
        ({**ROW, "sd": -1}, "field 'sd': expected a number of at least 0"),
        ({**ROW, "decimals": 0.5}, "field 'decimals': expected a whole number"),
        ({**ROW, "decimals": -400}, "field 'decimals': expected a whole number"),
        ({**ROW, "metric": 1}, "field 'metric': expected a text"),
        ({**ROW, "method": None}, "field 'method': expected a text"),
        ({**_less("world"), "wrld": 1}, "row 1: unknown key 'wrld'; did you mean 'world'"),
        (_less("world"), "row 1, field 'world': is of no one cell: the study varies world; write it, one of 1, 2"),
        ({**ROW, "world": 3}, "no row is of a cell of this study: the first has world 3, which is none of the study's"),
        ({**ROW, "kind": "other"}, "no row is of a cell of this study: the first has kind 'other'"),
    ],
)
def test_a_reference_is_held_against_the_study_before_the_work(study, row, said):
    for begin in (pl.run_study, pl.plan_study):
        with pytest.raises(InputError, match=said) as error:
            begin(_with(study, row) if begin is pl.run_study else study, workers=1)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"knd": "plain"}, "field 'settings': unknown key 'knd'; did you mean 'kind'"),
     ({"world": 1}, "field 'settings': the study varies world; write it in each row"),
     ([1], "field 'settings': expected a mapping of settings")],
)  # fmt: skip
def test_settings_of_a_reference_are_the_studys(study, settings, said):
    _with(study, ROW)
    Path("ref.yaml").write_text(yaml.safe_dump({"source": "s", "rows": [ROW], "settings": settings}))
    with pytest.raises(InputError, match=said):
        pl.plan_study(study)


def test_a_study_set_otherwise_than_its_reference_says_so(study):
    _with(study, ROW)
    Path("ref.yaml").write_text(yaml.safe_dump({"source": "s", "rows": [ROW], "settings": {"kind": "other"}}))
    report = pl.run_study(study, workers=1, engine="local")._report
    assert not report.compared
    assert not report.comparison
    said = "nothing to compare with: the reference was measured at kind 'other', and this study has 'plain'"
    assert said in report.remarks(Path())


def test_rows_of_other_cells_are_counted_and_those_of_fixed_settings_compared(study):
    rows = [{**ROW, "kind": "plain"}, {**ROW, "world": 7}, {**ROW, "kind": "other"}]
    report = pl.run_study(_with(study, *rows), workers=1, engine="local")._report
    assert [row.cell for row in report.compared] == ["1"]
    assert "2 of 3 rows of the reference are of other cells than the study's" in report.remarks(Path())


def test_a_factor_called_n_cannot_be_meant(study):
    study.write_text(study.read_text().replace("world: [1, 2]", "world: [1], n: [1, 2]"))
    with pytest.raises(InputError, match=r"field 'n': is of no one cell: the study varies n; give .* another name"):
        reference_of(load_spec(_with(study, ROW)))


def test_numbers_of_several_cells_are_not_pooled_and_a_replicate_counts_once():
    rows = [
        {"cell_id": str(cell), "replicate": seed, "world": cell, "method": "m", "metric": "x", "value": float(seed)}
        for cell in (1, 2) for seed in (1, 2, 3) for _ in range(25)
    ]  # fmt: skip
    with pytest.raises(InputError, match="reference row 1 is of 2 cells; let it name every factor"):
        compare(Results.from_rows(rows), Reference("s", [_less("world")]))
    (found,) = compare(Results.from_rows(rows), Reference("s", [{**ROW, "sd": 0.0, "decimals": 9}]))
    assert found.joint_error == pytest.approx(np.sqrt(1 / 3))


def test_a_rate_that_was_always_nothing_has_an_error(study):
    row = {**ROW, "metric": "hit", "value": 0.05, "sd": 0.0}
    (found,) = pl.run_study(_with(study, row), workers=1, engine="local")._report.compared
    # 0 of 4 and four more: sqrt(1/4 * 3/4 / 7).
    assert found.joint_error == pytest.approx(np.sqrt(3 / 112 + 1e-4 / 12))
    assert found.agrees


def test_the_shipped_reference_is_of_the_shipped_study():
    spec = load_spec(pl.studies()["section_5_1"].file)
    found = reference_of(spec)
    assert (found.elsewhere, len(found.rows)) == (0, len(load_reference(spec.reference).rows))
