"""The pool of trajectories, its pinned reference, and the hard families of the lower bounds."""

import numpy as np
import pytest

from sim.algorithms.maximin_policy import maximin_policy
from sim.environments.contextual_pool import ContextualPool
from sim.environments.trajectory_pool import LowerBoundFamily, TrajectoryPool, sign_answers, three_arms
from sim.estimators.confidence import Ellipsoid, answer_covariance
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
    [({"first": np.full(5, 0.2)}, r"first must be \(6,\)"), ({"second": UNIFORM * 2}, "second must be"),
     ({"reference": 6}, r"in 0\.\.5")],
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


def _contextual(seed=0, S=3, A=4, d=3):
    rng = np.random.default_rng(seed)
    laws = rng.dirichlet(np.ones(A), size=(2, S))
    return ContextualPool(
        rng.normal(size=(S, A, d)), rng.dirichlet(np.ones(S)), laws[0], laws[1], np.zeros(S, dtype=int)
    )


def test_contextual_answers_are_of_one_context_and_follow_its_laws():
    pool = _contextual()
    theta = np.array([[0.7, -0.5, 0.2]])
    rewards = pool.rewards(theta)[0]
    assert np.abs(rewards[:, 0]).max() == 0.0
    signed = pool.collect(theta, 120_000, Stream(1, "contextual"))[0]
    for s, a, b in ((0, 1, 2), (2, 3, 0)):
        difference = pool.features[s, a] - pool.features[s, b]
        won, lost = (np.isclose(signed, sign * difference).all(axis=1).mean() for sign in (1, -1))
        chance = 1 / (1 + np.exp(rewards[s, b] - rewards[s, a]))
        asked = pool.law[s] * (pool.first[s, a] * pool.second[s, b] + pool.first[s, b] * pool.second[s, a])
        assert won == pytest.approx(asked * chance, abs=5 * np.sqrt(asked / 120_000))
        assert lost == pytest.approx(asked * (1 - chance), abs=5 * np.sqrt(asked / 120_000))
    policy = np.full((3, 4), 0.25)
    assert pool.value(theta, policy)[0] == pytest.approx(float(pool.law @ rewards.mean(axis=1)))
    with pytest.raises(ValueError, match="first must be probabilities"):
        ContextualPool(pool.features, pool.law, pool.first * 2, pool.second)
    with pytest.raises(ValueError, match="law must be"):
        ContextualPool(pool.features, pool.law * 2, pool.first, pool.second)


def test_pessimism_in_contexts_is_a_cone_program_over_occupancies():
    cp = pytest.importorskip("cvxpy")
    pool, rng = _contextual(3), np.random.default_rng(1)
    ellipsoid = Ellipsoid(rng.normal(size=3), answer_covariance(rng.normal(size=(30, 3)), 0.01), 0.5)
    psi, context = pool.pinned.reshape(-1, 3), np.repeat(np.arange(3), 4)
    reference = (pool.law[:, None] * pool.second).ravel()
    found = maximin_policy(lambda w: psi @ ellipsoid.worst(w @ psi), reference, context=context, tolerance=1e-7)
    occupancy = cp.Variable(12)
    v = psi.T @ (occupancy - reference)
    root = np.linalg.cholesky(np.linalg.inv(ellipsoid.covariance))
    keeps = [cp.sum(occupancy[4 * s : 4 * s + 4]) == pool.law[s] for s in range(3)]
    problem = cp.Problem(
        cp.Maximize(ellipsoid.estimate @ v - np.sqrt(ellipsoid.radius) * cp.norm(root.T @ v)), [occupancy >= 0, *keeps]
    )
    problem.solve(solver="CLARABEL")
    assert found.value == pytest.approx(max(problem.value, 0.0), abs=1e-5)
    assert found.policy.reshape(3, 4).sum(axis=1) == pytest.approx(pool.law)
