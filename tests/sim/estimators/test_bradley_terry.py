"""Bradley-Terry fits against scikit-learn, and what happens on separable data."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from several_threads import on_threads
from sklearn.linear_model import LogisticRegression

from sim.compiled import newton_large
from sim.compiled.tiles import TILE
from sim.estimators.bradley_terry import (
    FitStatus,
    fit_bradley_terry,
    fit_bradley_terry_batch,
    fit_bradley_terry_blocks,
    is_separable,
    unit_scales,
)
from sim.streams import Stream


def _answers(n, d, seed, scale=1.0):
    stream = Stream(seed, "bradley-terry")
    theta = stream.child("theta").normals(d) * scale
    x = stream.child("x").normals((n, d))
    first = stream.child("choice").uniforms(n) < 1 / (1 + np.exp(-x @ theta))
    return np.where(first[:, None], x, -x)


def _sklearn(differences, weights, ridge):
    """The same problem as labelled logistic regression: half of the rows turned round."""
    label = np.arange(len(differences)) % 2
    x = np.where(label[:, None] == 1, differences, -differences)
    model = LogisticRegression(C=1 / ridge, fit_intercept=False, solver="newton-cholesky", tol=1e-12, max_iter=200)
    return model.fit(x, label, sample_weight=weights).coef_[0]


@pytest.mark.parametrize(("n", "d"), [(40, 1), (500, 8), (497, 7), (1200, 3), (512, 5)])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_scikit_learn(n, d, weighted):
    differences = _answers(n, d, seed=n + d)
    weights = Stream(3, role="weights").uniforms(n) if weighted else None
    fitted = fit_bradley_terry(differences, weights, ridge=0.1)
    assert fitted.status is FitStatus.CONVERGED
    assert fitted.theta == pytest.approx(_sklearn(differences, weights, 0.1), abs=1e-6)


def test_mass_scaled_is_the_mean_loss():
    differences, weights = _answers(300, 4, 1), Stream(4).uniforms(300)
    once = fit_bradley_terry(differences, weights, ridge=1e-2, mass_scaled=True).theta
    twice = fit_bradley_terry(differences, 7 * weights, ridge=1e-2, mass_scaled=True).theta
    assert once == pytest.approx(twice, abs=1e-8)
    assert once == pytest.approx(_sklearn(differences, weights, 1e-2 * weights.sum()), abs=1e-6)


def test_batch_equals_single_fits():
    differences = np.stack([_answers(250, 6, seed) for seed in range(9)])
    weights = Stream(5).uniforms((9, 250))
    batch = fit_bradley_terry_batch(differences, weights, ridge=0.05)
    for b in range(9):
        single = fit_bradley_terry(differences[b], weights[b], ridge=0.05)
        assert batch.theta[b] == pytest.approx(single.theta, abs=1e-10)
        assert batch.status[b] == FitStatus.CONVERGED


def test_large_fit_has_the_same_bits_for_any_number_of_threads():
    differences = _answers(60_000, 5, 11)
    fits = [fit_bradley_terry(differences, ridge=1e-3).theta for _ in on_threads(1, 2, 4)]
    assert all((fits[0] == other).all() for other in fits)
    assert fits[0] == pytest.approx(_sklearn(differences, None, 1e-3), abs=1e-6)


def _hard(case):
    """Large fits whose sixteenth is unlike the rest, or says little."""
    n, d = (40_000, 7) if case != "few a feature" else (4_500, 60)
    differences, weights = _answers(n, d, 8), None
    own = np.arange(n) // TILE % 16 == 0
    if case == "another sixteenth":
        differences[own] *= -1
    elif case == "of one answer":
        differences[own] = differences[0]
    elif case == "separable sixteenth":
        differences[own] = np.abs(differences[own])
    elif case == "no weight":
        weights = np.where(own, 0.0, Stream(6).uniforms(n))
    elif case == "sizes apart":
        differences *= 10.0 ** np.arange(-3, 4)
    elif case == "sorted":
        differences = differences[np.argsort(differences[:, 0])]
    return differences, weights


@pytest.mark.parametrize(
    "case",
    ["alike", "another sixteenth", "of one answer", "separable sixteenth", "no weight", "sizes apart", "sorted",
     "few a feature"],
)  # fmt: skip
def test_a_large_fit_equals_scikit_learn_wherever_it_begins(case):
    differences, weights = _hard(case)
    fitted = fit_bradley_terry(differences, weights, ridge=0.1, tolerance=1e-10)
    assert fitted.status is FitStatus.CONVERGED
    reference = _sklearn(differences, weights, 0.1)
    assert fitted.theta == pytest.approx(reference, abs=1e-6, rel=1e-5)
    assert not fitted.separable


@pytest.mark.parametrize(
    ("scale", "weight", "ridge"), [(1.0, 1.0, 1e-3), (1e3, 1.0, 1e-3), (1.0, 1e6, 1e-3), (1.0, 1.0, 1e-9)]
)
@pytest.mark.parametrize("by", ["tiles", "blocks"])
def test_a_feature_that_the_beginning_never_shows(monkeypatch, by, scale, weight, ridge):
    """There its Hessian is the ridge alone, and a step by it is endless: another one is made, and soon."""
    differences = _answers(40_000, 8, 8)
    differences[np.arange(40_000) // TILE % 16 == 0, 7] = 0.0
    differences[:, 7] *= scale
    passes, run = [], newton_large._parallel_pass

    def counted(*words):
        passes.append(words[3])
        return run(*words)

    monkeypatch.setattr(newton_large, "_parallel_pass", counted)
    if by == "tiles":
        fitted = fit_bradley_terry(differences, np.full(40_000, weight), ridge=ridge)
    else:
        blocks = [differences[lo : lo + TILE] for lo in range(0, 40_000, TILE)]
        fitted = fit_bradley_terry_blocks(blocks, ridge=ridge / weight)
    assert fitted.status is FitStatus.CONVERGED
    assert fitted.theta == pytest.approx(_sklearn(differences, None, ridge / weight), abs=1e-5, rel=1e-4)
    assert len(passes) <= (15 if by == "tiles" else 12 * len(blocks))


def test_a_large_fit_keeps_the_hessian_of_its_sixteenth(monkeypatch):
    """No pass over all answers makes another: what the sixteenth leaves, some gradients take away."""
    passes, run = [], newton_large._parallel_pass

    def counted(*words):
        passes.append((words[3], words[6]))
        return run(*words)

    monkeypatch.setattr(newton_large, "_parallel_pass", counted)
    fitted = fit_bradley_terry(_answers(400_000, 8, 8), ridge=0.1)
    assert fitted.status is FitStatus.CONVERGED
    assert [curved for every, curved in passes if every == 1] == [False] * (fitted.steps + 1)
    assert fitted.steps <= 6


def test_a_step_of_its_own_hessian_is_halved_not_made_again():
    """Two of very uneven weight, large against each other: from where the Hessian is all but flat a Newton step of a
    small decrement goes much too far. It was taken back, the same Hessian made, and the same step taken, for ever."""
    rng = np.random.default_rng(48)
    for _ in range(40):
        x = rng.normal(size=(6, 2)) * 10 ** rng.uniform(-1, 3, size=(6, 1))
        x = np.concatenate([x, -x[:3]])
        weights = 10 ** rng.uniform(-2, 5, size=9)
        passes = 0

        def sweep(theta, at_origin, curved, gradient, hessian, x=x, weights=weights):
            nonlocal passes
            passes += 1
            assert passes < 500, "endless"
            right = expit(x @ theta)
            gradient[:] = -x.T @ (weights * (1 - right))
            if curved:
                hessian[:] = (x * (weights * right * (1 - right))[:, None]).T @ x
            return -float(weights @ log_expit(x @ theta)), float(weights.sum())

        theta = np.zeros(2)
        goal = newton_large.Goal(ridge=1e-4, mass_scaled=False, tolerance=1e-9, max_steps=100)
        newton_large.newton_large(sweep, None, goal, theta)

        def loss(point, x=x, weights=weights):
            return -float(weights @ log_expit(x @ point)) + 0.5e-4 * float(point @ point)

        nearest = minimize(loss, theta, method="Nelder-Mead", options={"xatol": 1e-12, "fatol": 1e-12})
        assert loss(theta) <= nearest.fun + 1e-6 * weights.sum()


def test_a_large_fit_says_where_its_steps_ended():
    differences = _answers(40_000, 7, 8)
    for steps in (0, 1):
        fitted = fit_bradley_terry(differences, max_steps=steps, tolerance=0.0)
        assert (fitted.steps, fitted.status) == (steps, FitStatus.MAX_STEPS)
    assert (fit_bradley_terry(differences, max_steps=0).theta == 0).all()


@pytest.mark.parametrize(("odd", "message"), [(np.nan, "got nan at"), (np.inf, "got inf at")])
def test_a_batch_names_what_is_not_a_number(odd, message):
    differences = np.ones((5, 30, 9))
    differences[3, 2, 8] = odd
    with pytest.raises(ValueError, match=message):
        fit_bradley_terry_batch(differences)


def test_separable_data_is_said_and_the_fit_is_finite():
    differences = np.abs(_answers(50, 3, 2))
    fitted = fit_bradley_terry(differences, ridge=1e-3)
    assert fitted.separable
    assert is_separable(differences)
    assert np.isfinite(fitted.theta).all()
    assert fitted.status is FitStatus.CONVERGED
    noisy = _answers(400, 3, 2, scale=0.3)
    assert not fit_bradley_terry(noisy).separable
    assert not is_separable(noisy)


def test_bad_shapes_say_what_was_expected():
    with pytest.raises(ValueError, match=r"differences must not be empty"):
        fit_bradley_terry(np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"weights must be \(4,\)"):
        fit_bradley_terry(np.ones((4, 2)), np.ones(3))
    with pytest.raises(ValueError, match="ridge must be positive"):
        fit_bradley_terry(np.ones((4, 2)), ridge=0.0)


@pytest.mark.parametrize("unit", [0.3, 1e-6, 1e-9, 1e-60])
@pytest.mark.parametrize("n", [300, 70_000])
def test_a_unit_of_the_features_does_not_matter(unit, n):
    """With the ridge in units of their squares it is the same fit: the gradient at zero must not pass as none."""
    x = _answers(n, 4, 3)
    exact = fit_bradley_terry(x, ridge=1e-2, tolerance=1e-13).theta
    found = fit_bradley_terry(x * unit, ridge=1e-2 * unit**2)
    blocks = fit_bradley_terry_blocks(np.array_split(x * unit, 3), ridge=1e-2 * unit**2)
    for own in (found, blocks):
        # A gradient of at most 1e-8 an answer, features up to 2, where the curvature is at least .05 an answer.
        assert (own.theta * unit, own.status) == (pytest.approx(exact, abs=1e-6), FitStatus.CONVERGED)


def test_units_of_replicates_do_not_matter_either():
    """Each in a unit of its own, in one batch; the gradient at zero must not pass as none."""
    x, units = np.stack([_answers(300, 4, seed) for seed in range(5)]), np.array([1.0, 0.3, 1e-8, 1e-60, 1e8])
    plain = fit_bradley_terry_batch(x, ridge=1e-2)
    for b, unit in enumerate(units):
        exact = fit_bradley_terry(x[b], ridge=1e-2, tolerance=1e-13).theta
        found = fit_bradley_terry_batch(np.stack([x[b] * unit, x[b] * unit]), ridge=1e-2 * unit**2)
        assert (found.theta[1] * unit, found.status[1]) == (pytest.approx(exact, abs=1e-6), FitStatus.CONVERGED)
    mixed = fit_bradley_terry_batch(x * units[:, None, None], ridge=1e-30)
    for b, unit in enumerate(units):
        alone = fit_bradley_terry_batch(x[b : b + 1] * unit, ridge=1e-30)
        assert np.array_equal(mixed.theta[b], alone.theta[0])
    assert np.array_equal(plain.theta, fit_bradley_terry_batch(np.ascontiguousarray(x), ridge=1e-2).theta)
    late = np.concatenate([np.full((1, 80, 4), 1e-3), x[:1]], axis=1)
    assert unit_scales(late) == pytest.approx([1.0]), "an entry of 1 further down counts, too"
    assert unit_scales(np.zeros((2, 3, 4))).tolist() == [1.0, 1.0]
