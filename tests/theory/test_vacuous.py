"""VACUOUS is said where no value could break the bound, and nowhere else."""

from dataclasses import dataclass, replace

import pytest

from theory.engine.checks import check_theorem
from theory.engine.judges import Equivalent, EveryDraw, Exactly, Frequency, MeanAtLeast, MeanAtMost
from theory.engine.theorem import Control, Setting, Theorem, Variant
from theory.engine.verdicts import Verdict


@dataclass(frozen=True)
class Uniform(Setting):
    """Uniform on [low, high]."""

    replicates: int = 100
    low: float = 0.0
    high: float = 1.0


class Toy(Theorem[Uniform]):
    claim_id, paper, source, statement = "toy", "toys", "toys", "A toy."

    def __init__(self, judge, setting, broken, largest):
        self.judge, self.broken, self.largest = judge, broken, largest
        self.SETTINGS = {"as_stated": Variant(setting)}

    def bound(self, setting):
        return self.judge

    def draw(self, setting, stream):
        return setting.low + (setting.high - setting.low) * float(stream.uniforms(1)[0])

    def largest_possible(self, setting):
        return self.largest

    def control(self, setting):
        return (Control("broken", replace(setting, low=self.broken[0], high=self.broken[1])),)


HALF, LITTLE = Uniform(), Uniform(high=0.05)
NOT_VACUOUS = [
    # A mean of at least 1 of values that are at most 1: draws of a half contradict it.
    (MeanAtLeast(1.0), HALF, (0.0, 0.1), 1.0, Verdict.VIOLATED),
    (MeanAtLeast(0.4), HALF, (0.0, 0.1), 0.3, Verdict.HOLDS),
    # More than .01 in at most a tenth of the draws, of which four fifths are above: .01 is within reach of .05.
    (Frequency(0.1, threshold=0.01), LITTLE, (0.02, 0.05), 0.05, Verdict.VIOLATED),
    (Equivalent(0.5, 0.1), HALF, (0.0, 0.1), 0.5, Verdict.HOLDS),
    # Draws above what is said to be the largest: a claim that is contradicted is not one that nothing can contradict.
    (EveryDraw(0.2), HALF, (0.0, 1.0), 0.1, Verdict.VIOLATED),
]
VACUOUS = [
    (EveryDraw(1.0), HALF, (0.0, 0.1), 1.0),
    (Exactly(1.0), Uniform(1), (0.0, 0.1), 1.0),
    (MeanAtMost(1.0), HALF, (0.0, 0.1), 1.0),
    (Frequency(0.1, threshold=0.05), LITTLE, (0.02, 0.05), 0.05),
]


@pytest.mark.parametrize(("judge", "setting", "broken", "largest", "expected"), NOT_VACUOUS)
def test_a_bound_that_a_value_can_break_is_not_vacuous(judge, setting, broken, largest, expected):
    (found,) = check_theorem(Toy(judge, setting, broken, largest), "quick", 0)
    assert found.verdict is expected
    assert (found.witness is not None) == (expected is Verdict.VIOLATED)


@pytest.mark.parametrize(("judge", "setting", "broken", "largest"), VACUOUS)
def test_a_bound_that_no_value_can_break_is(judge, setting, broken, largest):
    (found,) = check_theorem(Toy(judge, setting, broken, largest), "quick", 0)
    assert found.verdict is Verdict.VACUOUS
