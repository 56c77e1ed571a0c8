"""The low-rank studies' tables by hand, and settings that are refused."""

import numpy as np
import pytest
from places import EXPERIMENTS
from scipy.stats import linregress, t

from sim.errors import InputError
from sim.streams import Stream
from sim.studies.experiments.low_rank.method_names import MethodName, with_names
from sim.studies.experiments.low_rank.setting import LowRankSetting
from sim.studies.experiments.low_rank.tables import crossing, slope, tune
from sim.studies.results import Results
from sim.studies.spec import load_spec


def _rows(values, cell="a", **keys):
    """Rows of one cell: (method, metric) -> values by replicate."""
    return [
        {"cell_id": cell, "replicate": r, "method": method, "metric": metric, "value": value, "wall_s": 0.0, **keys}
        for (method, metric), own in values.items()
        for r, value in enumerate(own)
    ]


def test_constants_are_chosen_on_one_half_and_judged_on_the_other():
    rows = _rows({
        ("low/pointwise/c=0.5", "regret"): [1.0, 9.0, 1.0, 7.0],
        ("low/pointwise/c=1", "regret"): [2.0, 3.0, 2.0, 5.0],
        ("full/pointwise/c=1", "regret"): [0.0, 0.0, 0.0, 0.0],
    })  # fmt: skip
    found = tune(Results.from_rows(rows), "a", "low", "pointwise")
    assert found is not None
    assert found.scale == 0.5
    assert found.own.tolist() == [9.0, 7.0]
    assert found.at_one.tolist() == [3.0, 5.0]
    assert tune(Results.from_rows(rows), "a", "low", "distributional") is None


def test_names_of_policies():
    for text, name in (
        ("low/kl/beta=0.1/c=0.25", MethodName("low", "kl", 0.25, 0.1)),
        ("rank3/distributional/c=1", MethodName("rank3", "distributional", 1.0)),
        ("full/pointwise/c=1e-09", MethodName("full", "pointwise", 1e-9)),
    ):
        assert MethodName.parse(text) == name
        assert name.text == text
    assert MethodName.parse("low") is None
    rows = _rows({("low/kl/beta=0.1/c=0", "regret"): [1.0], ("low", "rank"): [2.0], ("uniform", "regret"): [3.0]})
    named = with_names(Results.from_rows(rows))
    assert [(row["estimator"], row["kind"], row["scale"], row["beta"]) for row in named.rows()] == [
        ("low", "kl", 0.0, 0.1)
    ]


def test_crossings_by_hand():
    same = np.ones((1, 5))
    middle = crossing([100, 400], np.array([[-1.0], [1.0]]) * same)
    assert middle.at == pytest.approx(200.0)
    assert np.isnan([middle.low, middle.high]).all(), "replicates that are all alike say nothing of it"
    single = crossing([100, 400], np.array([[-1.0], [1.0]]))
    assert single.at == pytest.approx(200.0)
    assert np.isnan([single.low, single.high]).all(), "nor does one"
    assert crossing([100, 400], np.array([[-1.0], [-0.5]]) * same).at == np.inf
    assert crossing([100, 400], np.array([[0.5], [1.0]]) * same).at == 0.0
    back = np.array([[-1.0], [1.0], [-1.0], [1.0]]) * same
    assert crossing([1, 10, 100, 10_000], back).at == pytest.approx(1000.0)
    wide = crossing([100, 400], np.array([[-1.0], [1.0]]) + 0.5 * Stream(3).normals((2, 200)))
    assert wide.low < wide.at < wide.high
    assert wide.low > 185
    assert wide.high < 216


def test_slopes_by_hand():
    x = np.array([10.0, 40.0, 160.0])
    found, half = slope(x, np.repeat((3 * x**-0.5)[:, None], 6, axis=1))
    assert found == pytest.approx(-0.5)
    assert np.isnan(half), "replicates that are all alike say nothing of it"
    found, half = slope(x, (3 * x**-0.5)[:, None])
    assert found == pytest.approx(-0.5)
    assert np.isnan(half), "nor does one"
    assert np.isnan(slope(x, np.zeros((3, 4)))).all()
    assert np.isnan(slope(x[:1], np.ones((1, 4)))).all()
    # scipy's own fit of each mean without a replicate, and the jackknife written out.
    y = 3 * x[:, None] ** -0.5 * np.exp(0.4 * Stream(5).normals((3, 7)))
    without = [linregress(np.log(x), np.log(np.delete(y, r, axis=1).mean(axis=1))).slope for r in range(7)]
    error = np.sqrt(6 / 7 * ((without - np.mean(without)) ** 2).sum())
    assert slope(x, y) == pytest.approx((linregress(np.log(x), np.log(y.mean(axis=1))).slope, t.ppf(0.975, 6) * error))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
def test_limits_of_slopes_and_crossings_hold_the_truth(n):
    """Of so many lognormal replicates .94 to .95 of the time (400 draws: three binomial errors are .033); a
    bootstrap's .48 to .93."""
    x, draws = np.array([6.0, 10.0, 14.0, 20.0]), Stream(n, "limits").normals((400, 4, n))
    of_slopes = [slope(x, x[:, None] ** 0.8 * np.exp(0.5 * own)) for own in draws]
    gap = np.log(x / 12.0)[:, None]
    of_crossings = [crossing(x, gap + 0.3 * own) for own in draws]
    assert np.mean([abs(found - 0.8) <= half for found, half in of_slopes]) > 0.91
    if n < 3:
        assert np.isnan([[own.low, own.high] for own in of_crossings]).all()
    else:
        assert 0.91 < np.mean([own.low <= 12.0 <= own.high for own in of_crossings]) < 0.985


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"d_x": 0}, "d_x must be a whole number of at least 1"),
        ({"exotic": -1}, "exotic must be a whole number of at least 0"),
        ({"exotic": 1.5}, "exotic must be a whole number of at least 0"),
        ({"rank": 7}, "rank must be at most 6"),
        ({"fit_rank": 9}, "fit_rank must be at most 8"),
        ({"hidden": 8}, "hidden must be below d_x"),
        ({"hidden": 6, "fit_rank": 3}, "fit_rank must be at most 2"),
        ({"shift": "sideways"}, "shift must be one of exotic, none"),
        ({"reference": "one"}, "reference must be one of"),
        ({"data_use": "thirds"}, "data_use must be one of reuse, split"),
        ({"estimators": ("lower",)}, "estimators must be one of low, full"),
        ({"estimators": "low"}, "estimators must be a list"),
        ({"estimators": ()}, "at least one entry"),
        ({"estimators": ("rank9",)}, "rank9 needs a rank in 1..8"),
        ({"kinds": ("hopeful",)}, "kinds must be a list of entries out of"),
        ({"scales": (0.0,)}, "scales must be a list of positive numbers"),
        ({"scales": 1.0}, "scales must be a list of numbers"),
        ({"betas": (-1.0,)}, "betas must be a list of positive numbers"),
        ({"delta": 1.0}, "delta must lie between 0 and 1"),
        ({"ridge": 0.0}, "ridge must be positive"),
        ({"tau": 0.0}, "tau must be positive"),
        ({"ratio": 0.5}, "ratio at least 1"),
        ({"off_rank": -0.1}, "off_rank must be at least 0"),
        ({"power": "steep"}, "power must be a number"),
        ({"estimators": ("per_user",)}, "set users"),
        ({"users": 200, "n": 100}, "users must be at most n"),
        ({"users": 1, "estimators": ("user_low",)}, "at least 2 users"),
        ({"n": 1, "data_use": "split"}, "at least 2 answers"),
    ],
)
def test_bad_settings(keys, words):
    with pytest.raises(ValueError, match=words):
        LowRankSetting(**keys)


def test_a_wrong_dial_in_a_file_names_it(tmp_path):
    with pytest.raises(InputError, match="did you mean 'off_rank'"):
        load_spec(EXPERIMENTS / "low_rank" / "partial.yaml", ["off_rnk=0.1"])
    with pytest.raises(InputError, match="rank must be at most 6"):
        load_spec(EXPERIMENTS / "low_rank" / "candidates.yaml", ["rank=7"])


@pytest.mark.parametrize("text", ["1e-1", "[1e-1, 5e-2]"])
def test_a_number_with_an_exponent_and_no_dot_is_a_number(text, tmp_path):
    """YAML 1.1 reads a text, and the setting said that it must be a number."""
    file = EXPERIMENTS / "low_rank" / "partial.yaml"
    dotted = load_spec(file, [f"off_rank={text.replace('1e', '1.0e').replace('5e', '5.0e')}"])
    said = load_spec(file, [f"off_rank={text}"])
    assert (said.settings, said.grid) == (dotted.settings, dotted.grid)
    copied = tmp_path / "own.yaml"
    copied.write_text("experiment: low_rank\nsettings: {off_rank: 1e-1}\n")
    assert load_spec(copied).settings == {"off_rank": 0.1}
