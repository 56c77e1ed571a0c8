"""Mixed logit against quadrature, finite differences, brute force, planted coefficients and published numbers."""

import numpy as np
import pytest
from alone import in_python
from planted_choices import planted_choices
from real_files import real_file
from scipy.special import logsumexp
from several_threads import on_threads
from test_clustered_errors import of_table

from sim.compiled.simulated_logit import LANES, simulate
from sim.compiled.structs import PanelChoices
from sim.estimators.choice_panel import choice_panel, log_probabilities
from sim.estimators.clustered_errors import conditional_logit
from sim.estimators.mixed_logit import (
    MixedStatus,
    information_matrix,
    mixed_logit,
)
from sim.estimators.panel_draws import KINDS, normal_draws
from sim.estimators.simulated_likelihood import SimulatedLikelihood, free_entries
from sim.streams import Stream

MEAN, DEVIATIONS = np.array([1.0, -0.8, 0.5]), np.array([0.9, 0.6])


def _planted(seed=1, n_people=40, n_choices=5, factor=None, **more):
    factor = np.diag(DEVIATIONS) if factor is None else factor
    thetas = np.tile(MEAN, (n_people, 1))
    thetas[:, :2] += Stream(seed, role="theta").normals((n_people, 2)) @ factor.T
    return planted_choices(seed, n_people, n_choices, thetas, **more)[0]


def _likelihood(arrays, random, correlated, draws, weights=None, seed=0, **more):
    sets, people = choice_panel(**arrays, weights=weights).ordered()
    eps = normal_draws(sets.n_annotators, len(random), draws, Stream(seed), **more)
    return SimulatedLikelihood(sets, people, np.array(random), correlated, eps)


def _by_quadrature(arrays, parameters, random, correlated, weights=None, nodes=24):
    """(each person's log-likelihood (N,), E[theta_i | choices] (N, d)) by Gauss-Hermite on a grid of nodes."""
    sets = choice_panel(**arrays, weights=weights)
    d, q = sets.rows.shape[1], len(random)
    points, mass = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*[points] * q, indexing="ij")], axis=1)
    logs = np.log(np.stack([axis.ravel() for axis in np.meshgrid(*[mass / mass.sum()] * q, indexing="ij")])).sum(axis=0)
    factor = np.zeros((d, q))
    for value, a, b in zip(parameters[d:], *free_entries(q, correlated), strict=True):
        factor[random[a], b] = value
    thetas = parameters[:d] + grid @ factor.T
    own = np.zeros((len(thetas), sets.n_annotators))
    for at, theta in enumerate(thetas):
        np.add.at(own[at], sets.annotator, sets.weights * log_probabilities(theta, sets)[0])
    own += logs[:, None]
    total = logsumexp(own, axis=0)
    return total, np.exp(own - total).T @ thetas


@pytest.mark.parametrize(
    ("random", "correlated", "parameters"),
    [([1], False, [0.8, -0.5, 0.2, 0.9]), ([0, 2], False, [0.8, -0.5, 0.2, 0.9, 0.4]),
     ([0, 1], True, [0.8, -0.5, 0.2, 0.9, -0.5, 0.7])],
)  # fmt: skip
def test_equals_quadrature(random, correlated, parameters):
    arrays = _planted()
    weights = 0.5 + Stream(5).uniforms(len(arrays["annotator"]))
    exact, means = _by_quadrature(arrays, np.array(parameters), random, correlated, weights)
    simulated = _likelihood(arrays, random, correlated, 8192, weights)
    values, _, centres = simulated.by_person(np.array(parameters))
    assert values == pytest.approx(exact, abs=2e-3)
    assert values.sum() == pytest.approx(exact.sum(), abs=5e-3)
    assert centres == pytest.approx(means, abs=2e-3)


@pytest.mark.parametrize("correlated", [False, True])
def test_scores_are_those_of_finite_differences(correlated):
    arrays = _planted()
    weights = Stream(5).uniforms(len(arrays["annotator"]))
    weights[:20] = 0.0
    weights[20:60] = 1.0
    simulated = _likelihood(arrays, [0, 2], correlated, LANES + 13, weights)
    parameters = np.array([0.8, -0.5, 0.2, 0.9, *([-0.3] if correlated else []), 0.4])
    scores = simulated.by_person(parameters)[1]
    for k, step in enumerate(1e-5 * np.eye(len(parameters))):
        up, down = simulated.by_person(parameters + step)[0], simulated.by_person(parameters - step)[0]
        assert scores[:, k] == pytest.approx((up - down) / 2e-5, abs=2e-8)
    value, gradient = simulated.value(parameters)
    assert gradient == pytest.approx(scores.sum(axis=0))
    information = information_matrix(simulated, parameters)
    for k, step in enumerate(1e-4 * np.eye(len(parameters))):
        up, down = simulated.value(parameters + step)[0], simulated.value(parameters - step)[0]
        assert information[k, k] == pytest.approx((2 * value - up - down) / 1e-8, rel=1e-4)


def _kernel(which, simulated, mean, factor):
    (N, q, _), d = simulated.draws.shape, len(mean)
    values, scores, centres = np.empty(N), np.empty((N, d + d * q)), np.empty((N, q))
    sets = simulated.sets
    choices = PanelChoices(sets.rows, sets.starts, simulated.people, sets.weights)
    which(choices, mean, factor, simulated.draws, values, scores, centres)
    return values, scores, centres


def test_kernel_equals_its_own_python_function_and_brute_force():
    arrays = _planted(n_people=6)
    weights = Stream(5).uniforms(len(arrays["annotator"]))
    simulated = _likelihood(arrays, [0, 1], False, LANES + 3, weights)
    factor = Stream(6).normals((3, 2))
    compiled = _kernel(simulate, simulated, MEAN, factor)
    for ours, python in zip(compiled, _kernel(in_python(simulate), simulated, MEAN, factor), strict=True):
        assert ours == pytest.approx(python, rel=1e-12, abs=1e-14)
    for i in range(6):
        eps = simulated.draws[i]
        logs = [
            (simulated.sets.weights * log_probabilities(MEAN + factor @ own, simulated.sets)[0])[
                simulated.sets.annotator == i
            ].sum()
            for own in eps.T
        ]
        assert compiled[0][i] == pytest.approx(logsumexp(logs) - np.log(eps.shape[1]), abs=1e-12)
        chance = np.exp(logs - logsumexp(logs))
        assert compiled[2][i] == pytest.approx(eps @ chance, abs=1e-12)


@pytest.mark.parametrize("size", [0.1, 1e3])
def test_many_choices_a_person_and_huge_margins_are_finite(size):
    """2,000 sets of four: the product of the denominators passes 10^280 and is taken apart; margins reach 10^4."""
    rows = size * Stream(3).normals((6000, 2))
    sets = {"rows": rows, "starts": np.arange(0, 6001, 3), "annotator": np.zeros(2000, dtype=int)}
    simulated = _likelihood(sets, [0], False, 3)
    parameters = np.array([1.0, -1.0, 2.0])
    values, scores, _ = simulated.by_person(parameters)
    panel = choice_panel(**sets)
    thetas = [np.array([1.0 + 2.0 * eps, -1.0]) for eps in simulated.draws[0, 0]]
    logs = [log_probabilities(theta, panel)[0].sum() for theta in thetas]
    assert values[0] == pytest.approx(logsumexp(logs) - np.log(3), rel=1e-12)
    assert np.isfinite(scores).all()


def test_the_same_bits_for_any_number_of_threads():
    arrays = _planted()
    simulated = _likelihood(arrays, [0, 1], False, 100)
    found = [simulated.value(np.array([1.0, -0.8, 0.5, 0.9, 0.6])) for _ in on_threads(1, 2)]
    assert all(found[0][0] == value and (found[0][1] == gradient).all() for value, gradient in found)


def test_the_order_of_the_choices_does_not_matter():
    arrays = _planted()
    order = Stream(8).permutation(len(arrays["annotator"]))
    sizes = np.diff(arrays["starts"])
    pieces = np.split(arrays["rows"], arrays["starts"][1:-1])
    turned = {
        "rows": np.concatenate([pieces[e] for e in order]),
        "starts": np.concatenate([[0], np.cumsum(sizes[order])]),
        "annotator": arrays["annotator"][order],
    }
    parameters = np.array([1.0, -0.8, 0.5, 0.9])
    once = _likelihood(arrays, [0], False, 64).by_person(parameters)
    again = _likelihood(turned, [0], False, 64).by_person(parameters)
    assert all(a == pytest.approx(b, rel=1e-12, abs=1e-13) for a, b in zip(once, again, strict=True))


def test_without_random_coefficients_it_is_the_conditional_logit():
    arrays = _planted()
    weights = 0.5 + Stream(5).uniforms(len(arrays["annotator"]))
    logit = conditional_logit(**arrays, weights=weights)
    fit = mixed_logit(**arrays, weights=weights, random=(), tolerance=1e-12)
    assert fit.status is MixedStatus.CONVERGED
    assert fit.mean == pytest.approx(logit.theta, abs=1e-6)
    assert fit.log_likelihood == pytest.approx(logit.log_likelihood, abs=1e-9)
    assert fit.doubled == pytest.approx(logit.log_likelihood, abs=1e-9)
    assert fit.mean_errors() == pytest.approx(logit.errors, rel=1e-5)
    assert fit.mean_errors(fit.clustered) == pytest.approx(logit.clustered_errors, rel=1e-5)
    assert fit.outer == pytest.approx(np.linalg.inv(fit.scores.T @ fit.scores), rel=1e-6)
    assert (fit.deviations == 0).all()
    assert np.isnan(fit.deviation_errors()).all()


def test_deviations_of_zero_are_the_conditional_logit():
    arrays = _planted()
    logit = conditional_logit(**arrays)
    simulated = _likelihood(arrays, [0, 1], False, 64)
    value, gradient = simulated.value(np.concatenate([logit.theta, [0.0, 0.0]]))
    assert value == pytest.approx(logit.log_likelihood, abs=1e-9)
    assert gradient[:3] == pytest.approx(0, abs=1e-3)


def test_the_maximum_is_that_of_the_quadrature():
    """No parameter nearby is better under the exact likelihood than what was found, beyond the simulation's noise."""
    arrays = _planted(seed=2, n_people=60)
    fit = mixed_logit(**arrays, random=[0, 1], draws=2048, stream=Stream(3))
    assert fit.status is MixedStatus.CONVERGED

    def exact(parameters):
        return _by_quadrature(arrays, parameters, [0, 1], False)[0].sum()

    best = exact(fit.parameters)
    assert fit.log_likelihood == pytest.approx(best, abs=0.05)
    assert abs(fit.doubled - fit.log_likelihood) < 0.1
    error = np.sqrt(np.diag(fit.covariance))
    for k, step in enumerate(np.diag(0.3 * error)):
        drop = [best - exact(fit.parameters + sign * step) for sign in (-1, 1)]
        assert min(drop) > 0, k
        # A parabola: half of .3^2, over the others' best, is more where the parameters are correlated.
        assert min(drop) > 0.5 * 0.3**2 * 0.7


def test_a_planted_correlation_is_found():
    factor = np.array([[1.0, 0.0], [-0.8, 0.5]])
    arrays = _planted(seed=9, n_people=250, n_choices=10, factor=factor)
    fit = mixed_logit(**arrays, random=[0, 1], correlated=True, draws=256)
    assert fit.status is MixedStatus.CONVERGED
    assert fit.factor @ fit.factor.T == pytest.approx(factor @ factor.T, abs=0.4)
    assert (np.diag(fit.factor) >= 0).all()
    assert fit.deviations[:2] == pytest.approx(np.sqrt(np.diag(factor @ factor.T)), abs=0.25)
    assert (fit.deviation_errors()[:2] > 0).all()
    independent = mixed_logit(**arrays, random=[0, 1], draws=256)
    assert fit.log_likelihood > independent.log_likelihood + 10
    assert fit.logit_log_likelihood < independent.log_likelihood


def test_scaling_a_feature_scales_its_coefficient():
    arrays = _planted()
    scaled = {**arrays, "rows": arrays["rows"] * [1e-3, 1.0, 1e4]}
    once, again = (mixed_logit(**a, random=[0, 1], draws=64, tolerance=1e-10) for a in (arrays, scaled))
    assert again.log_likelihood == pytest.approx(once.log_likelihood, abs=1e-6)
    assert again.mean * [1e-3, 1.0, 1e4] == pytest.approx(once.mean, rel=1e-3)
    assert again.mean_errors() * [1e-3, 1.0, 1e4] == pytest.approx(once.mean_errors(), rel=1e-3)


def test_conditional_means_are_closer_than_the_mean():
    stream = Stream(4, role="theta")
    thetas = np.tile(MEAN, (80, 1))
    thetas[:, 0] += 1.5 * stream.normals(80)
    arrays, _ = planted_choices(4, 80, 15, thetas)
    fit = mixed_logit(**arrays, random=[0], draws=256, n_annotators=81)
    error = np.abs(fit.conditional_means[:80, 0] - thetas[:, 0]).mean()
    assert error < 0.6 * np.abs(thetas[:, 0] - thetas[:, 0].mean()).mean()
    assert fit.conditional_means[80] == pytest.approx(fit.mean, abs=0.05)
    assert (fit.conditional_means[:, 1:] == fit.mean[1:]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_draws_are_standard_normal_and_keyed(kind):
    draws = normal_draws(20, 3, 512, Stream(1), kind=kind)
    assert draws.shape == (20, 3, 512)
    assert draws.mean(axis=(0, 2)) == pytest.approx(0, abs=0.03)
    assert np.cov(draws.transpose(1, 0, 2).reshape(3, -1)) == pytest.approx(np.eye(3), abs=0.05)
    assert (draws == normal_draws(20, 3, 512, Stream(1), kind=kind)).all()
    assert (draws != normal_draws(20, 3, 512, Stream(2), kind=kind)).mean() > 0.9
    mirrored = normal_draws(20, 3, 512, Stream(1), kind=kind, antithetic=True)
    assert (mirrored[:, :, :256] == -mirrored[:, :, 256:]).all()
    assert mirrored.shape == draws.shape
    if kind == "sobol":
        # Each block is evenly spread for itself: its mean is far closer to zero than chance's 1 / sqrt(512).
        assert np.abs(draws.mean(axis=2)).max() < 0.01


def test_a_deviation_has_no_sign():
    arrays = _planted()
    once = mixed_logit(**arrays, random=[0, 1], draws=64)
    start = once.parameters * [1, 1, 1, -1, 1]
    turned = mixed_logit(**arrays, random=[0, 1], draws=64, start=start)
    assert (turned.factor[np.diag_indices(2)] > 0).all()
    # The draws are mirrored in one direction, so that the maximum moves a little.
    assert turned.deviations == pytest.approx(once.deviations, abs=0.1)
    assert turned.log_likelihood == pytest.approx(once.log_likelihood, abs=0.5)


def test_ways_to_end():
    arrays = _planted()
    assert mixed_logit(**arrays, random=[0], draws=16, max_steps=1).status is MixedStatus.MAX_STEPS
    with pytest.raises(ValueError, match="rows must not be separable"):
        mixed_logit(**{**arrays, "rows": np.abs(arrays["rows"])}, random=[0])
    with pytest.raises(ValueError, match="draws must be even"):
        mixed_logit(**arrays, random=[0], draws=15, antithetic=True)


def test_electricity():
    """mlogit's vignette has -3952.5 at 100 Halton draws; with more draws a person it rises to -3881 at 4,096."""
    arrays = of_table(real_file("choices/electricity.csv.gz"))
    fit = mixed_logit(**arrays, random=range(6), draws=256)
    assert fit.status is MixedStatus.CONVERGED
    assert -3915 < fit.log_likelihood < -3870
    assert abs(fit.doubled - fit.log_likelihood) < 25
    assert fit.mean == pytest.approx([-1.01, -0.24, 2.3, 1.67, -9.7, -9.9], rel=0.12)
    assert fit.deviations == pytest.approx([0.22, 0.41, 1.84, 1.25, 2.5, 1.57], rel=0.15)
    assert (fit.mean_errors(fit.clustered) > fit.mean_errors()).all()


@pytest.mark.parametrize("correlated", [False, True])
def test_a_turned_column_is_at_the_optimum_too(correlated):
    """g' B g of what is returned, B the inverse of the scores' outer product: draws are not symmetric, so that under
    the same ones the optimum turned round was none, and lost .05 to .4 nats."""
    factor = np.array([[0.3, 0.0], [0.2, 0.3]])
    for seed in range(1, 9):
        arrays = _planted(seed, 30, 4, factor=factor)
        found = mixed_logit(**arrays, random=[0, 1], correlated=correlated, draws=16, stream=Stream(seed))
        assert found.status is MixedStatus.CONVERGED
        slope = found.scores.sum(axis=0)
        assert slope @ found.outer @ slope <= 2e-6
        assert (np.diag(found.factor) >= 0).all()


def _alike(n_people):
    """Everybody has the same twelve choices and takes the same alternatives."""
    arrays, _ = planted_choices(5, 1, 12, np.array([[1.0, -1.0]]), sizes=(3,))
    return {
        "rows": np.tile(arrays["rows"], (n_people, 1)), "starts": np.arange(12 * n_people + 1) * 2,
        "annotator": np.repeat(np.arange(n_people), 12),
    }  # fmt: skip


@pytest.mark.parametrize(("choices", "message"), [
    (_alike(4), r"random must not have the columns \[0, 1\]: nobody's choices pull"),
    ({"rows": [[1.0], [-1.0], [2.0], [-2.0]], "starts": np.arange(5), "annotator": [0, 0, 1, 1]}, r"columns \[0\]"),
    (_alike(1), r"two or more people with choices .* \(got 1\); give more"),
])  # fmt: skip
def test_how_nobody_differs_is_refused(choices, message):
    every = range(np.shape(choices["rows"])[1])
    for start in (None, np.full(2 * len(every), 0.5)):
        with pytest.raises(ValueError, match=message):
            mixed_logit(**choices, random=every, start=start)
    # The same for all is the conditional logit, in which gradients that cancel are no obstacle.
    found, logit = mixed_logit(**choices, random=[]), conditional_logit(**choices)
    assert (found.mean, found.log_likelihood) == (
        pytest.approx(logit.theta, abs=1e-4),
        pytest.approx(logit.log_likelihood),
    )
    assert found.mean_errors() == pytest.approx(logit.errors, rel=1e-3)
    assert found.status is MixedStatus.CONVERGED


def test_the_conditional_mean_of_who_made_no_choice_is_the_mean():
    arrays, _ = planted_choices(7, 20, 6, np.array([1.0, -0.8]) + Stream(3).normals((20, 2)))
    found = mixed_logit(
        **arrays, random=[0, 1], draws=16, kind="pseudo", weights=np.where(arrays["annotator"] == 4, 0.0, 1.0)
    )
    np.testing.assert_array_equal(found.conditional_means[4], found.mean)
    assert (np.abs(np.delete(found.conditional_means, 4, axis=0) - found.mean).max(axis=1) > 1e-3).all()
