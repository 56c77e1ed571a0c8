"""Every judge on samples built to hold, to violate, and to say nothing."""

import numpy as np
import pytest
from statsmodels.stats.weightstats import DescrStatsW

from sim.streams import Stream
from theory.engine.judges import Equivalent, EveryDraw, Exactly, Frequency, MeanAtLeast, MeanAtMost, Slope
from theory.engine.verdicts import Verdict

HOLDS, VIOLATED, INCONCLUSIVE = Verdict.HOLDS, Verdict.VIOLATED, Verdict.INCONCLUSIVE
NOISE = Stream(1, "judges").normals(60)
# Without skewness, of which Student's test knows nothing.
EVEN = np.concatenate([NOISE, -NOISE])
GRID = np.geomspace(100, 10_000, 5)


def _rate(slope):
    return GRID**slope * (1 + 0.2 * Stream(2).normals((40, 5)).clip(-2, 2))


CASES = [
    (EveryDraw(1.0), np.zeros(100), HOLDS),
    (EveryDraw(1.0), np.append(np.zeros(99), 1.5), VIOLATED),
    (EveryDraw(1.0), np.append(np.zeros(99), np.nan), VIOLATED),
    (Exactly(0.0), np.zeros(1), HOLDS),
    (Exactly(0.0), np.array([np.nan]), VIOLATED),
    (Frequency(0.2, threshold=0.0), -np.ones(60), HOLDS),
    (Frequency(0.2, threshold=0.0), NOISE, VIOLATED),
    (Frequency(0.5, threshold=0.0), NOISE, INCONCLUSIVE),
    (MeanAtMost(1.0), NOISE, HOLDS),
    (MeanAtMost(-1.0), NOISE, VIOLATED),
    (MeanAtMost(float(NOISE.mean()) + 0.01), NOISE, INCONCLUSIVE),
    (MeanAtLeast(-1.0), NOISE, HOLDS),
    (MeanAtLeast(1.0), NOISE, VIOLATED),
    (MeanAtLeast(float(NOISE.mean()) - 0.01), NOISE, INCONCLUSIVE),
    (Equivalent(0.0, margin=0.5), NOISE, HOLDS),
    (Equivalent(2.0, margin=0.5), NOISE, VIOLATED),
    (Equivalent(float(NOISE.mean()) + 0.5, margin=0.5), NOISE, INCONCLUSIVE),
]


@pytest.mark.parametrize(("judge", "values", "expected"), CASES)
def test_verdicts(judge, values, expected):
    judgement = judge.judge(values, None, Stream(3))
    assert judgement.verdict is expected
    assert not judgement.interval[0] > judgement.interval[1]
    if expected is not INCONCLUSIVE:
        assert judgement.p_value <= 0.05


@pytest.mark.parametrize(
    ("judge", "slope", "expected"),
    [
        (Slope(-0.4), -0.5, HOLDS),
        (Slope(-0.4), -1.0, HOLDS),
        (Slope(-0.4), -0.2, VIOLATED),
        (Slope(-0.4, lowest=-0.6), -1.0, VIOLATED),
        (Slope(-0.5), -0.5, INCONCLUSIVE),
    ],
)
def test_slopes(judge, slope, expected):
    assert judge.judge(_rate(slope), GRID, Stream(4)).verdict is expected


def test_equivalence_is_two_one_sided_tests():
    margin = 0.3
    p = DescrStatsW(EVEN).ttost_mean(-margin, margin)[0]
    judgement = Equivalent(0.0, margin=margin).judge(EVEN, None, Stream(5))
    assert (judgement.verdict is HOLDS) == (p < 0.05)
    if judgement.verdict is HOLDS:
        assert judgement.p_value == pytest.approx(p)


def test_one_sided_p_value_by_hand():
    from scipy import stats

    expected = stats.ttest_1samp(EVEN, 0.2, alternative="less").pvalue
    assert MeanAtMost(0.2).judge(EVEN, None, Stream()).p_value == pytest.approx(expected)


def test_no_violation_in_n_draws_is_an_upper_bound():
    judgement = EveryDraw(0.0).judge(-np.ones(200), None, Stream())
    assert judgement.interval[0] == 0
    assert judgement.interval[1] == pytest.approx(1 - 0.025 ** (1 / 200))
    assert judgement.p_value == pytest.approx(0.95**200)
