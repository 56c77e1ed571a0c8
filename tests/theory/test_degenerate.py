"""A random claim whose replicates are all the same has drawn nothing, and no certainty comes of it."""

import numpy as np
import pytest

from theory.engine.checks import check_theorem
from theory.engine.judges import Equivalent, EveryDraw, MeanAtMost, Slope
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict


class Toy(Theorem[Setting]):
    """One number, whatever the stream."""

    claim_id, paper, source, statement = "toy", "toys", "toys", "A toy."
    SETTINGS = {"as_stated": Variant(Setting(100))}

    def __init__(self, judge, value, constant=False):
        self.judge, self.value = judge, value
        type(self).constant = constant

    def bound(self, setting):
        return self.judge

    def draw(self, setting, stream):
        return self.value if setting.replicates == 100 else 9.0

    def grid(self, setting):
        return np.array([1.0, 10.0, 100.0]) if isinstance(self.judge, Slope) else None

    def control(self, setting):
        return (Control("nine", Setting(99)),)


@pytest.mark.parametrize("judge", [EveryDraw(1.0), MeanAtMost(1.0), Equivalent(0.5, 0.1)])
def test_one_number_a_hundred_times_is_no_evidence(judge):
    (found,) = check_theorem(Toy(judge, 0.5), "quick", 0)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.p_value == 1.0
    assert "nothing was drawn" in found.note


def test_a_mean_of_zeros_is_none_either_and_violations_that_are_all_zero_are():
    assert check_theorem(Toy(MeanAtMost(1.0), 0.0), "quick", 0)[0].verdict is Verdict.INCONCLUSIVE
    assert check_theorem(Toy(EveryDraw(1.0), 0.0), "quick", 0)[0].verdict is Verdict.HOLDS


def test_one_counter_example_is_enough_however_often_it_comes():
    assert check_theorem(Toy(EveryDraw(0.4), 0.5), "quick", 0)[0].verdict is Verdict.VIOLATED


def test_a_claim_may_say_that_it_is_constant():
    assert check_theorem(Toy(EveryDraw(1.0), 0.5, constant=True), "quick", 0)[0].verdict is Verdict.HOLDS


def test_a_share_outside_its_band_is_not_as_expected():
    toy = Toy(EveryDraw(1.0), 0.5, constant=True)
    for band, expected in (((0.4, 0.6), True), ((0.6, 0.9), False), ((0.1, 0.4), False)):
        toy.SETTINGS = {"as_stated": Variant(Setting(100), attained=band)}
        (found,) = check_theorem(toy, "quick", 0)
        assert found.verdict is Verdict.HOLDS
        assert found.attained == 0.5
        assert found.as_expected is expected
