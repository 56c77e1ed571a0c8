"""The pool of trajectories, its pinned reference, and the hard families of the lower bounds."""

import numpy as np
import pytest

from sim.environments.trajectory_pool import LowerBoundFamily, TrajectoryPool, sign_answers, three_arms
from sim.populations.shared_representation import clustered_heads, shared_population
from sim.streams import Stream
from theory.personalization.lower_bounds import bayes_risk, hardest

FEATURES = np.random.default_rng(0).normal(size=(6, 3))
UNIFORM = np.full(6, 1 / 6)


def test_a_reference_pins_every_reward():
    pool = TrajectoryPool(FEATURES, UNIFORM, np.eye(6)[2], reference=2)
    theta = np.random.default_rng(1).normal(size=(4, 3))
    rewards = pool.rewards(theta)
    assert np.abs(rewards[:, 2]).max() == 0.0
    free = TrajectoryPool(FEATURES, UNIFORM, UNIFORM).rewards(theta)
    assert rewards - free == pytest.approx(np.broadcast_to(-free[:, [2]], (4, 6)))
    with pytest.raises(ValueError, match="constants of their own"):
        pool.rewards(theta, shifts=np.ones(4))


def test_answers_follow_bradley_terry():
    pool = TrajectoryPool(FEATURES, UNIFORM, np.eye(6)[2], reference=2)
    theta = np.array([[0.8, -0.4, 0.3]])
    chance = 1 / (1 + np.exp(-pool.rewards(theta)[0]))
    wins, losses = pool.count_answers(theta, 60_000, Stream(1, "counts"))
    share = wins[0] / (wins[0] + losses[0])
    other = np.arange(6) != 2
    assert share[other] == pytest.approx(chance[other], abs=4 * 0.5 / np.sqrt(10_000))
    signed = pool.collect(theta, 60_000, Stream(1, "rows"))[0]
    for a in np.flatnonzero(other):
        difference = FEATURES[a] - FEATURES[2]
        won = np.isclose(signed, difference).all(axis=1).sum()
        lost = np.isclose(signed, -difference).all(axis=1).sum()
        assert won / (won + lost) == pytest.approx(chance[a], abs=4 * 0.5 / np.sqrt(9000))


def test_signs_keep_shapes_and_streams():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    theta = np.random.default_rng(1).normal(size=(2, 3, 4))
    signed = sign_answers(x, theta, Stream(1))
    assert (np.abs(signed) == np.abs(x)).all()
    assert np.array_equal(signed, sign_answers(x, theta, Stream(1)))
    sure = sign_answers(x, 1e6 * theta, Stream(1))
    assert (np.einsum("bijd,bid->bij", sure, theta) > 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"first": np.full(5, 0.2)}, "first must be 6"), ({"second": UNIFORM * 2}, "second must be"),
     ({"reference": 6}, "from 0 to 5")],
)  # fmt: skip
def test_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrajectoryPool(**{"features": FEATURES, "first": UNIFORM, "second": UNIFORM, **change})


def test_layouts_break_what_they_say():
    diverse = shared_population(40, 10, 3, Stream(0))
    assert diverse.diversity > 0.3
    assert np.linalg.matrix_rank(diverse.theta) == 3
    assert np.linalg.norm(diverse.theta, axis=1) == pytest.approx(np.full(40, 1.5))
    assert np.linalg.matrix_rank(shared_population(40, 10, 3, Stream(0), layout="line").theta) == 1
    assert np.linalg.matrix_rank(shared_population(40, 10, 3, Stream(0), layout="deficient").theta) == 2
    assert np.linalg.matrix_rank(shared_population(40, 10, 3, Stream(0), layout="independent").theta) == 10
    heads = clustered_heads(6, 3, Stream(0), spread=0.0)
    assert heads[0] == pytest.approx(heads[3])
    assert heads[0] @ heads[1] == pytest.approx(-1.125)


def test_bayes_risk_against_simulation():
    family = LowerBoundFamily(9, 4.0, 0.15)
    n1 = round(3000 * family.first_probability / 3)
    rng = np.random.default_rng(0)
    positive = rng.random(200_000) < 0.5
    chance = 1 / (1 + np.exp(-family.first_rewards(positive)))
    wins = rng.binomial(n1, chance)
    low, high = (1 / (1 + np.exp(-family.first_rewards(np.array([w]))))[0] for w in (False, True))
    ratio = wins * np.log(high / low) + (n1 - wins) * np.log((1 - high) / (1 - low))
    wrong = ((ratio > 0) != positive).mean()
    assert bayes_risk(family, 3000) == pytest.approx(family.margin * wrong, rel=0.02)
    best = hardest(9, 4.0, 3000, True)
    for factor in (0.8, 1.25):
        assert bayes_risk(LowerBoundFamily(9, 4.0, best.margin * factor), 3000) < bayes_risk(best, 3000)


def test_family_and_arms():
    with pytest.raises(ValueError, match="multiple of 3"):
        LowerBoundFamily(10, 2.0, 0.1)
    family = LowerBoundFamily(9, 4.0, 0.1)
    assert family.first_rewards(np.array([True, False])) - family.second_reward == pytest.approx([0.1, -0.1])
    assert family.first_probability == pytest.approx(1 / 8)
    psi, theta = three_arms()
    assert (psi @ theta).tolist() == [0.0, 0.5, -0.5]
