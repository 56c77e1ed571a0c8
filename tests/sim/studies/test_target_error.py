"""A cell ends at the first of fixed numbers of replicates at which its errors are small enough, whoever runs it."""

import numpy as np
import pytest
from study_processes import study_file

from sim.errors import InputError
from sim.studies.cells import run_study
from sim.studies.experiment import Measurement
from sim.studies.spec import load_spec
from sim.studies.target import Errors, checkpoints, require_metrics


def test_the_numbers_of_replicates_are_fixed():
    assert list(checkpoints(100)) == [16, 24, 32, 48, 64, 96, 100]
    assert list(checkpoints(96)) == [16, 24, 32, 48, 64, 96]
    assert list(checkpoints(7)) == [7]


@pytest.mark.parametrize("error", [0.07, 0.05, 0.001])
def test_where_a_cell_ends_does_not_depend_on_who_runs_it(tmp_path, error):
    """Against the standard errors of all replicates, by NumPy."""
    file = study_file(tmp_path, replicates=80)
    whole = run_study(load_spec(file), {}, cells=tmp_path / "all", engine="local").results
    expected = []
    for cell in whole.by("cell_id").values():
        # Two rows a replicate, one metric: each row counts.
        rows = cell.values().reshape(80, 2)
        small = [n for n in checkpoints(80) if rows[:n].std(ddof=1) / np.sqrt(2 * n) <= error]
        expected.append(rows[: small[0] if small else 80].ravel().tolist())
    spec = load_spec(file, [f"target_error={error}"])
    for place, how in enumerate(({"engine": "local"}, {"engine": "local", "batch": 7}, {"workers": 2, "batch": 5})):
        run = run_study(spec, {}, cells=tmp_path / str(place), **how)
        assert [cell.values().tolist() for cell in run.results.by("cell_id").values()] == expected
        assert run.tasks == sum(map(len, expected)) // 2
    # What is there already, and would be more, is not looked at.
    found = run_study(spec, {}, cells=tmp_path / "all", engine="local")
    assert [cell.values().tolist() for cell in found.results.by("cell_id").values()] == expected
    assert found.resumed == found.tasks


def test_every_metric_that_has_a_target_must_reach_it():
    errors = Errors()
    for number in range(16):
        errors.add([Measurement("a", "x", float(number % 2)), Measurement("b", "x", 1.0), Measurement("a", "y", None)])
    assert errors.moments["a", "x"].error == pytest.approx(np.std([0, 1] * 8, ddof=1) / 4)
    assert errors.reached({"x": 0.13})
    assert not errors.reached({"x": 0.12})
    assert errors.reached({"all": 0.13})
    assert not errors.reached({"y": 1.0}), "nothing of it was measured"
    with pytest.raises(InputError, match="target_error: no metric 'z' is measured; choose of x, y"):
        require_metrics({"z": 1.0}, ["x", "y"])


@pytest.mark.parametrize("value", ["0", "-1", "many", "{x: 0}", "[1]", "true", ".inf"])
def test_a_wrong_target_is_one_line(tmp_path, value):
    with pytest.raises(InputError, match="field 'target_error': expected a positive number"):
        load_spec(study_file(tmp_path), [f"target_error={value}"])
