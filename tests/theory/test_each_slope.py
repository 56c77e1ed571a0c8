"""Judges of several quantities at once, and the claims that need them: none hides behind the others."""

import copy
from dataclasses import replace
from itertools import cycle, product

import numpy as np
import pytest

from sim.algorithms.aggregation import aggregate
from sim.streams import Stream
from theory.engine.checks import check_theorem
from theory.engine.columns import EachEveryDraw, EachSlope
from theory.engine.judges import Slope
from theory.engine.registry import find
from theory.engine.required import require_measurement
from theory.engine.theorem import Measurement, Setting
from theory.engine.verdicts import Verdict
from theory.multi_party import fairness
from theory.personalization import aggregation, axioms
from theory.personalization.lower_bounds import hardest, squared_length

GRID = np.array([10.0, 100.0, 1000.0])


def _rates(*slopes, n=30):
    """Values whose means fall with these slopes, 5 % apart."""
    noise = 1.0 + 0.05 * np.random.default_rng(3).standard_normal((n, 3, len(slopes)))
    return noise * GRID[None, :, None] ** np.array(slopes)


@pytest.mark.parametrize(
    ("slopes", "verdict", "shown"),
    [((-1.0, -1.1, -0.9), Verdict.HOLDS, None), ((-1.0, -0.2, -1.1), Verdict.VIOLATED, -0.2),
     ((-1.0, -2.0), Verdict.VIOLATED, -2.0), ((-1.0, -0.8), Verdict.INCONCLUSIVE, -0.8)],
)  # fmt: skip
def test_every_rate_must_be_its_own(slopes, verdict, shown):
    bound, values = EachSlope(-0.8, lowest=-1.45), _rates(*slopes)
    found = bound.judge(values, GRID, Stream(0))
    assert found.verdict is verdict
    if shown is not None:
        assert found.measured == pytest.approx(shown, abs=0.03)
        place = slopes.index(shown)
        assert np.array_equal(bound.column(values, GRID), values[..., place])
    one = [Slope(-0.8, lowest=-1.45).judge(values[..., k], GRID, Stream(0)).p_value for k in range(len(slopes))]
    if verdict is not Verdict.VIOLATED:
        assert found.p_value == max(one)
    else:
        assert found.p_value == min(1.0, len(slopes) * one[slopes.index(shown)])


def test_the_share_attained_is_that_of_the_looser_inequality():
    values = np.array([[0.2, 0.9], [0.3, 0.99]])
    assert EachEveryDraw(1.0).attained(values) == pytest.approx(0.3)
    assert EachEveryDraw(1.0).judge(values, None, Stream(0)).verdict is Verdict.HOLDS
    assert EachEveryDraw(0.95).judge(values, None, Stream(0)).verdict is Verdict.VIOLATED


def test_columns_stand_behind_the_grids_points():
    theorem = find("aggregate-rate")
    bound = EachSlope(-0.8)
    require_measurement(theorem, Setting(2), bound, Measurement(np.ones((2, 3, 7)), GRID))
    with pytest.raises(ValueError, match="one a grid point"):
        require_measurement(theorem, Setting(2), bound, Measurement(np.ones((2, 4, 7)), GRID))


def test_one_of_seven_aggregates_that_does_not_converge_is_seen(monkeypatch):
    """At alpha = 0 one of twenty annotators is left out of what was learned: a hundredth of the sum of the errors."""

    learned = cycle([True, False])  # whose aggregate is asked for, in turn

    def forgetful(rewards, alpha):
        return aggregate(rewards[1:] if alpha == 0.0 and next(learned) else rewards, alpha)

    monkeypatch.setattr(aggregation, "aggregate", forgetful)
    theorem = _few(find("aggregate-rate"), 12)
    setting = theorem.SETTINGS["as_corrected"].setting
    measured = theorem.measure(setting, Stream(0, cell="aggregate-rate"))
    found = theorem.bound(setting).judge(measured.values, measured.grid, Stream(0))
    assert found.verdict is Verdict.VIOLATED
    assert found.measured > -0.6
    summed = Slope(-0.8, lowest=-1.45).judge(measured.values.sum(axis=-1), measured.grid, Stream(0))
    assert summed.measured < -0.9, "their sum still falls"


def test_a_limit_of_transfers_seven_times_too_small_leaves_the_band(monkeypatch):
    own = fairness.party_norms
    monkeypatch.setattr(fairness, "party_norms", lambda *given: 0.15 * own(*given))
    check = check_theorem(find("pigou-dalton-approx"), "quick", seed=0)[-1]
    assert check.verdict is Verdict.HOLDS
    assert not check.as_expected


def test_the_first_lipschitz_inequality_alone_loosened_leaves_the_band(monkeypatch):
    theorem = copy.copy(find("aggregate-lipschitz"))
    draw = theorem.draw
    monkeypatch.setattr(theorem, "draw", lambda *given: draw(*given) * np.array([1.0 / 3.0, 1.0]))
    (check,) = check_theorem(theorem, "quick", seed=0)
    assert check.measured <= 1.0
    assert not check.tight


def test_the_leximin_limit_asks_the_library(monkeypatch):
    def refuse(*_):
        raise AssertionError("asked")

    monkeypatch.setattr(axioms, "power_sign", refuse)
    theorem = find("leximin-limit")
    with pytest.raises(AssertionError, match="asked"):
        theorem.draw(theorem.SETTINGS["as_corrected"].setting, Stream(0))


def test_how_many_hard_instances_lie_in_the_theorems_class():
    """|theta_w|^2 = (k / 3)((1/k + 2D)^2 + (1/k + D)^2 + (2/k + 3D)^2), by hand."""
    lengths = []
    for k, Np, Lambda in product((9, 36), (3000, 12_000, 48_000), (2, 4, 8)):
        family = hardest(k, Lambda, Np, True)
        D = family.margin
        lengths.append(squared_length(family))
        by_hand = k / 3 * ((1 / k + 2 * D) ** 2 + (1 / k + D) ** 2 + (2 / k + 3 * D) ** 2)
        assert lengths[-1] == pytest.approx(by_hand)
    assert sum(one <= 1.0 for one in lengths) == 7
    assert max(lengths) == pytest.approx(47.6, abs=0.1)


def _few(theorem, replicates):
    theorem = copy.copy(theorem)
    theorem.SETTINGS = {
        name: replace(variant, setting=replace(variant.setting, replicates=replicates))
        for name, variant in theorem.SETTINGS.items()
    }
    return theorem
