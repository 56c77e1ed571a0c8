"""A cell ends at the first of fixed numbers of replicates at which its errors are small enough, whoever runs it."""

import numpy as np
import pytest
from study_processes import study_file

from sim.errors import InputError
from sim.studies.cells import run_study
from sim.studies.experiment import Measurement
from sim.studies.precision import half_width
from sim.studies.spec import load_spec
from sim.studies.target import Errors, checkpoints, require_metrics


def _judged(values):
    """The standard error with two more values like the smallest and two like the largest, by NumPy."""
    more = np.concatenate([values, [min(values)] * 2, [max(values)] * 2])
    return more.std(ddof=1) / np.sqrt(more.size)


def _cells(draw, target, count, most=4096):
    """Means and half widths of so many cells that end at a target error, as a study ends them."""
    found = []
    for _ in range(count):
        errors, values = Errors(), []
        for number in checkpoints(most):
            new = draw(number - len(values))
            for value in new:
                errors.add([Measurement("m", "x", float(value))])
            values += new.tolist()
            if errors.reached({"all": target}):
                break
        own = np.array(values)
        found.append((own.mean(), half_width(own, share=bool(np.isin(own, (0, 1)).all())), own.size))
    return np.array(found).T


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
        # Two rows a replicate, one metric: one number.
        rows = cell.values().reshape(80, 2)
        small = [n for n in checkpoints(80) if _judged(rows[:n].mean(axis=1)) <= error]
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
    assert errors.moments["a", "x"].error == pytest.approx(_judged([0, 1] * 8))
    # Of ten ones among twenty: sqrt(1/2 * 1/2 / 19).
    assert errors.reached({"x": 0.1148})
    assert not errors.reached({"x": 0.1147})
    assert errors.reached({"all": 0.1148})
    assert not errors.reached({"y": 1.0}), "nothing of it was measured"
    with pytest.raises(InputError, match="target_error: no metric 'z' is measured; choose of x, y"):
        require_metrics({"z": 1.0}, ["x", "y"])


@pytest.mark.parametrize(("share", "target"), [(0.05, 0.01), (0.02, 0.005), (0.1, 0.02)])
def test_rates_that_end_at_a_target_are_covered(share, target):
    """Judged by s / sqrt(n) a cell without a one in 16 ended there: coverage was .53, .25 and .76."""
    rng = np.random.default_rng(0)
    mean, half, count = _cells(lambda n: rng.random(n) < share, target, 200)
    assert (abs(mean - share) <= half).mean() >= 0.92
    assert mean.mean() == pytest.approx(share, rel=0.1)
    # No more of them than a study of a fixed size would have, but for the distance of the checkpoints.
    assert count.mean() < 1.6 * share * (1 - share) / target**2


def test_what_is_nearly_always_nothing_is_covered():
    """0, but uniform in one of twenty: with a range of what was seen so far .72 were covered; of 256 and 384 replicates
    without a target, .92 and .93."""
    rng = np.random.default_rng(0)
    mean, half, _ = _cells(lambda n: (rng.random(n) < 0.05) * rng.random(n), 0.01, 200)
    assert (abs(mean - 0.025) <= half).mean() >= 0.88
    assert mean.mean() == pytest.approx(0.025, rel=0.1)


@pytest.mark.parametrize("count", [2, 3, 7, 16, 33])
def test_numbers_that_differ_are_judged_by_what_they_are(count):
    values = np.random.default_rng(count).random(count) / 100
    errors = Errors()
    for value in values:
        errors.add([Measurement("m", "x", float(value))])
    assert errors.moments["m", "x"].error == pytest.approx(_judged(values))


def test_what_never_varied_ends_but_not_at_once():
    """0 of 16 may be a rate of .17 [.83^16 = .05]; n such values are worth 1.4 / n, and the size of a network 1.4 times
    itself over n."""
    for value, unit in ((0.0, 1.0), (1.0, 1.0), (0.25, 1.0), (-24.0, 24.0)):
        errors = Errors()
        for _ in range(199):
            errors.add([Measurement("m", "x", value)])
        assert errors.farthest({"x": 0.01}).constant
        assert errors.moments["m", "x"].error == pytest.approx(unit * np.sqrt(2 * 201 / 203**2 / 202))


@pytest.mark.parametrize("value", ["0", "-1", "many", "{x: 0}", "[1]", "true", ".inf"])
def test_a_wrong_target_is_one_line(tmp_path, value):
    with pytest.raises(InputError, match="field 'target_error': expected a positive number"):
        load_spec(study_file(tmp_path), [f"target_error={value}"])
