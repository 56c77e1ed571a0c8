"""Ideal points: the gradient, what does and does not change a fit, one prototype as a convex problem, a world found."""

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import approx_fprime

from sim.estimators import ideal_points
from sim.estimators.bradley_terry import fit_bradley_terry
from sim.estimators.ideal_points import bend, fit_ideal_points
from sim.estimators.prototypes import LOGIT_RIDGE, DescentStatus, fit_prototypes
from sim.streams import Stream


def sigmoid(u):
    return 1 / (1 + np.exp(-u))


class World:
    """Annotators who prefer what is nearer to a point of theirs in a plane of three features."""

    def __init__(self, people, each, seed):
        rng = np.random.default_rng(seed)
        self.x = rng.normal(size=(300, 3))
        self.map, points = 0.7 * rng.normal(size=(2, 3)), 1.2 * rng.normal(size=(3, 2))
        z = rng.dirichlet([0.4, 0.4, 0.4], size=people) @ points
        self.annotator = np.repeat(np.arange(people), each)
        n = people * each
        one = rng.integers(300, size=n)
        two = (one + 1 + rng.integers(299, size=n)) % 300
        squares = [((self.x[j] @ self.map.T - z[self.annotator]) ** 2).sum(axis=1) for j in (one, two)]
        margin = squares[1] - squares[0]
        first = rng.random(n) < sigmoid(margin)
        self.chosen, self.rejected = np.where(first, one, two), np.where(first, two, one)
        self.margin = np.where(first, margin, -margin)
        self.held = np.arange(n) % 3 == 0

    def answers(self, rows):
        return self.chosen[rows], self.rejected[rows], self.annotator[rows]

    def differences(self, rows):
        return self.x[self.chosen[rows]] - self.x[self.rejected[rows]]

    def log_likelihood(self, theta, common=None):
        """Mean of the held-out answers."""
        rows = self.held
        margin = (self.differences(rows) * theta[self.annotator[rows]]).sum(axis=1)
        if common is not None:
            margin = margin + common[self.chosen[rows]] - common[self.rejected[rows]]
        return -np.logaddexp(0, -margin).mean()


def problem(seed, n=30, people=4):
    """Answers about 12 items, with weights and offsets."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(12, size=n)
    return ideal_points._Problem(
        rng.normal(size=(12, 3)), chosen, (chosen + 1 + rng.integers(11, size=n)) % 12,
        rng.integers(people, size=n), rng.uniform(0.5, 1.5, n), rng.normal(size=n), 0.7,
    )  # fmt: skip


def parts(packed):
    """A (2, 3), three points and logits of four people."""
    return packed[:6].reshape(2, 3), packed[6:12].reshape(3, 2), packed[12:].reshape(4, 3)


def test_gradient_by_finite_differences():
    given, at = problem(0), np.random.default_rng(1).normal(size=24)
    loss, *gradients = ideal_points._loss(*parts(at), given)
    found = np.concatenate([g.ravel() for g in gradients])
    assert found == pytest.approx(approx_fprime(at, lambda p: ideal_points._loss(*parts(p), given)[0], 1e-6), abs=1e-4)
    # The loss itself, a row at a time.
    own, points, logits = parts(at)
    by_hand = 0.35 * (at[:12] ** 2).sum() + 0.5 * LOGIT_RIDGE * (at[12:] ** 2).sum()
    for j in range(30):
        w = np.exp(logits[given.number[j]])
        z = w / w.sum() @ points
        near = [np.sum((own @ given.x[item] - z) ** 2) for item in (given.chosen[j], given.rejected[j])]
        by_hand += given.v[j] * np.log1p(np.exp(-(given.o[j] + near[1] - near[0])))
    assert loss == pytest.approx(by_hand)


def test_a_rotation_of_the_space_is_not_seen():
    given, at = problem(2), np.random.default_rng(3).normal(size=24)
    own, points, logits = parts(at)
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(2, 2)))[0]
    assert ideal_points._loss(turn @ own, points @ turn.T, logits, given)[0] == pytest.approx(
        ideal_points._loss(own, points, logits, given)[0], rel=1e-12
    )


def test_items_that_are_moved_move_the_points_alone():
    world, moved = World(8, 30, 5), np.array([3.0, -2.0, 0.5])
    plain, shifted = (
        fit_ideal_points(x, *world.answers(~world.held), 8, 2, 2, Stream(0, "t"), restarts=1, max_rounds=25)
        for x in (world.x, world.x + moved)
    )
    assert shifted.loss == pytest.approx(plain.loss, rel=1e-9)
    assert shifted.map == pytest.approx(plain.map, abs=1e-6)
    assert shifted.weights == pytest.approx(plain.weights, abs=1e-6)
    assert shifted.points == pytest.approx(plain.points + plain.map @ moved, abs=1e-5)


def test_a_reward_is_a_line_and_a_common_bend():
    """-|A x - z|^2 up to |z|^2; and as A shrinks, with what is linear held, an inner product is left."""
    rng = np.random.default_rng(6)
    x, own, points = rng.normal(size=(7, 3)), rng.normal(size=(2, 3)), rng.normal(size=(3, 2))
    weights = rng.dirichlet(np.ones(3), size=4)
    for scale in (1.0, 1e-4):
        fit = ideal_points.IdealPointFit(scale * own, points / scale, weights, 0.0, np.zeros(1))
        z = weights @ fit.points
        squares = ((x[:, None] @ fit.map.T - z) ** 2).sum(axis=2)
        rewards = x @ fit.theta.T + bend(fit.map, x)[:, None]
        assert rewards - rewards[0] == pytest.approx(squares[0] - squares, rel=1e-6)
        assert fit.theta == pytest.approx(2 * weights @ points @ own)
    assert np.abs(bend(fit.map, x)).max() < 1e-6


def test_one_prototype_is_a_convex_problem():
    """Everybody's reward is <t, x> - x'Mx, and min |p|^2 over A'A = M, 2 A'p = t is (t/2)' M^-1 (t/2): by cvxpy."""
    world = World(6, 60, 7)
    chosen, rejected, annotator = world.answers(world.held)
    ridge = 4.0
    found = fit_ideal_points(
        world.x, chosen, rejected, annotator, 6, 1, 3, Stream(0, "t"), ridge=ridge, restarts=2, max_rounds=2000
    )
    assert found.weights == pytest.approx(np.ones((6, 1)))
    x = world.x - 0.5 * (world.x[chosen].mean(axis=0) + world.x[rejected].mean(axis=0))
    squares = np.einsum("ni,nj->nij", x, x).reshape(len(x), 9)
    bent, tilt = cp.Variable((3, 3), PSD=True), cp.Variable(3)
    margin = (x[chosen] - x[rejected]) @ tilt - (squares[chosen] - squares[rejected]) @ cp.vec(bent, order="F")
    penalty = 0.5 * ridge * (cp.trace(bent) + cp.matrix_frac(0.5 * tilt, bent))
    best = cp.Problem(cp.Minimize(cp.sum(cp.logistic(-margin)) + penalty)).solve()
    assert found.loss == pytest.approx(best, abs=1e-3)
    assert found.map.T @ found.map == pytest.approx(bent.value, abs=0.02)


def test_finds_a_world_of_ideal_points_and_an_inner_product_does_not():
    world = World(40, 60, 0)
    rows = ~world.held
    found = fit_ideal_points(world.x, *world.answers(rows), 41, 3, 3, Stream(0, "t"), ridge=5.0, restarts=2)
    truth = -np.logaddexp(0, -world.margin[world.held]).mean()
    own = world.log_likelihood(found.theta, bend(found.map, world.x))
    assert truth - 0.05 < own < truth + 0.03
    differences, annotator = world.differences(rows), world.annotator[rows]
    for ridge in (1.0, 10.0, 100.0):
        inner = fit_prototypes(differences, annotator, 40, 3, Stream(0, "t"), ridge=ridge, restarts=1)
        assert world.log_likelihood(inner.theta) < own - 0.1
    pooled = fit_bradley_terry(differences, ridge=1.0).theta
    assert world.log_likelihood(np.tile(pooled, (40, 1))) < own - 0.1
    gram = found.map.T @ found.map
    assert np.linalg.norm(gram - world.map.T @ world.map) < 0.25 * np.linalg.norm(gram)
    assert found.weights[40] == pytest.approx(np.full(3, 1 / 3))
    assert (np.diff(found.losses) >= 0).all()


def test_a_descent_that_is_cut_says_so():
    """Of both forms: it is at the same place as SciPy's own that is cut there, and settles where it may go on."""
    world = World(8, 60, 3)
    answers, x = world.answers(~world.held), world.x
    differences, annotator = world.differences(~world.held), world.annotator[~world.held]
    for fit in (
        lambda rounds: fit_ideal_points(x, *answers, 8, 2, 2, Stream(0, "t"), restarts=1, max_rounds=rounds),
        lambda rounds: fit_prototypes(differences, annotator, 8, 2, Stream(0, "t"), restarts=1, max_rounds=rounds),
    ):
        cut, whole, before = fit(20), fit(5000), fit(18)
        assert (cut.status, cut.rounds) == (DescentStatus.MAX_ROUNDS, 20)
        assert cut.late == pytest.approx(before.loss - cut.loss, rel=1e-9)
        assert cut.late > 1e-3
        assert "raise max_rounds" in cut.status.message
        assert whole.status is DescentStatus.CONVERGED
        assert whole.loss < cut.loss - 1e-3
        assert whole.late < cut.late
