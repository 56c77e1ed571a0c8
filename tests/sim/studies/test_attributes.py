"""Two attributes, weighed differently by group."""

import numpy as np
import pytest

from sim.environments.two_attributes import two_attribute_world
from sim.streams import Stream
from sim.studies.experiments.attributes.experiment import run_attributes
from sim.studies.experiments.attributes.setting import AttributesSetting


def test_groups_weigh_two_attributes():
    """By the numbers of the world itself: rank two, orthogonal ends, shares, what temptation is worth to whom."""
    world = two_attribute_world(4, 7, Stream(3), norm=2.0, conflict=1.0, skew=2.0, temptation=3.0)
    assert np.linalg.matrix_rank(world.theta, tol=1e-12) == 2
    assert world.theta[0] == pytest.approx(2 * world.helpful)
    assert world.theta[-1] == pytest.approx(2 * world.safe)
    assert np.linalg.norm(world.theta, axis=1) == pytest.approx(np.full(4, 2.0))
    assert world.shares == pytest.approx(np.array([8, 4, 2, 1]) / 15)
    x, z = world.comparisons(20_000, Stream(4))
    assert x.mean(axis=0) == pytest.approx(world.shares, abs=0.02)
    for g, own in enumerate(world.theta):
        u = z[x[:, g] == 1] @ own
        # Of answers drawn by the model, the right ones are as many as their own chances say.
        assert (u > 0).mean() == pytest.approx((1 / (1 + np.exp(-np.abs(u)))).mean(), abs=0.03)
    targets = world.targets(4000, Stream(5))
    gap = targets.rewards[:, targets.exotic].mean(axis=1) - targets.rewards[:, ~targets.exotic].mean(axis=1)
    for g, sign in ((0, 1), (3, -1)):
        assert gap[targets.contexts[:, g] == 1].mean() == pytest.approx(sign * 6.0, abs=0.3)
    alike = two_attribute_world(4, 7, Stream(3), conflict=0.0)
    assert np.ptp(alike.theta, axis=0).max() < 1e-12


def test_one_reward_serves_the_largest_group_and_low_rank_all():
    """Paired over seeds; where all groups want the same (control) one reward is best."""

    def regrets(metric, **keys):
        found = {}
        for r in range(8):
            for row in run_attributes(AttributesSetting(n=2400, **keys), Stream(12, "test", r), {}):
                if row.metric == metric:
                    found.setdefault(row.method, []).append(row.value)
        return {method: np.array(values) for method, values in found.items()}

    worst = regrets("regret/worst")
    assert (worst["pooled/greedy"] > 1.0).all()
    assert worst["low/greedy"].mean() < 0.75 * worst["full/greedy"].mean()
    assert worst["low/greedy"].max() < 0.5
    assert worst["truth"].max() == 0.0
    assert regrets("regret/largest")["pooled/greedy"].mean() < 0.5
    shown = regrets("safe/smallest")
    assert shown["low/greedy"].mean() > shown["pooled/greedy"].mean() + 1.0
    same = regrets("regret/worst", conflict=0.0)
    assert same["pooled/greedy"].mean() < same["low/greedy"].mean() < same["full/greedy"].mean()


@pytest.mark.parametrize(("keys", "words"), [
    ({"groups": 1}, "groups and features"), ({"conflict": 3.0}, "right angles"), ({"delta": 1.0}, "delta"),
    ({"skew": 0.0}, "skew must be positive"),
])  # fmt: skip
def test_attribute_settings_refuse_nonsense(keys, words):
    with pytest.raises(ValueError, match=words):
        AttributesSetting(**keys)
