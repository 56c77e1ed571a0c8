"""How sure a mixed logit is of what it estimates: coverage, the delta method, and what nothing is known of."""

import numpy as np
import pytest
from planted_choices import planted_choices
from scipy import stats
from scipy.optimize import minimize_scalar
from test_mixed_logit import DEVIATIONS, MEAN, _planted

from sim.estimators.mixed_logit import MixedStatus, mixed_logit
from sim.streams import Stream


def test_a_deviation_near_0_has_no_error_by_person():
    """There the score is 0 whatever is known: the sandwich's error is a small part of the curvature's, whose limits
    hold the truth."""
    true, held, sandwich, near = 0.1, [], [], 0
    for seed in range(24):
        thetas = np.tile([1.0, -0.8], (100, 1))
        thetas[:, 0] += true * Stream(seed, role="near").normals(100)
        arrays, _ = planted_choices(seed, 100, 6, thetas)
        fit = mixed_logit(**arrays, random=[0], draws=128, stream=Stream(seed))
        found, classical = fit.deviations[0], fit.deviation_errors()[0]
        place = len(fit.mean)
        error = np.sqrt(fit.clustered[place, place])
        held.append(abs(found - true) < 1.96 * classical)
        sandwich.append(abs(found - true) < 1.96 * error)
        if found < 2 * classical:
            near += 1
            assert np.isnan(fit.deviation_errors(fit.clustered)[0])
            assert np.isnan(fit.deviation_errors(fit.outer)[0])
        else:
            assert fit.deviation_errors(fit.clustered)[0] == pytest.approx(error)
    assert near > 12
    assert np.mean(held) > 0.9
    assert np.mean(sandwich) < 0.8


def test_a_deviation_of_exactly_0_is_not_certain():
    arrays = _planted()
    fit = mixed_logit(**arrays, random=[0], draws=64, start=np.append(MEAN, 0.0), max_steps=0)
    assert fit.deviations[0] == 0
    assert fit.deviation_errors()[0] != 0


def test_limits_of_means_are_those_of_as_many_people():
    arrays = _planted()
    fit = mixed_logit(**arrays, random=[0], draws=64)
    assert fit.people == 40
    expected = fit.mean + stats.t.ppf(0.975, 39) * np.sqrt(np.diag(fit.clustered)[:3])
    assert fit.mean_limits()[:, 1] == pytest.approx(expected)


def test_planted_coefficients_are_covered():
    """Means and deviations in 95% intervals, classical and clustered: 5 parameters, 8 replicates."""
    hits, truth = np.zeros(2), np.concatenate([MEAN, DEVIATIONS])
    for replicate in range(8):
        arrays = _planted(seed=20 + replicate, n_people=150, n_choices=8)
        fit = mixed_logit(**arrays, random=[0, 1], draws=128, stream=Stream(replicate))
        assert fit.status is MixedStatus.CONVERGED
        for number, covariance in enumerate((fit.covariance, fit.clustered)):
            found = np.concatenate([fit.mean, fit.deviations[:2]])
            error = np.concatenate([fit.mean_errors(covariance), fit.deviation_errors(covariance)[:2]])
            hits[number] += (np.abs(found - truth) < 1.96 * error).sum()
    # 40 intervals each, 38 expected; fewer than 34 has a probability below .01.
    assert (hits >= 34).all()


def test_errors_of_deviations_are_the_delta_methods():
    """|L_2| of a correlated fit by finite differences of its formula."""
    arrays = _planted(seed=9, n_people=100, n_choices=8, factor=np.array([[1.0, 0.0], [-0.8, 0.5]]))
    fit = mixed_logit(**arrays, random=[0, 1], correlated=True, draws=128)
    slope = np.zeros(6)
    for k in (4, 5):
        step = np.zeros(6)
        step[k] = 1e-6
        sides = [np.hypot(*(fit.parameters + sign * step)[4:]) for sign in (1, -1)]
        slope[k] = (sides[0] - sides[1]) / 2e-6
    assert fit.deviation_errors()[1] == pytest.approx(np.sqrt(slope @ fit.covariance @ slope), rel=1e-5)


def test_a_feature_in_one_persons_choices_alone():
    """At the optimum all scores of its coefficient are zero: they do not say how far a step may go."""
    arrays, _ = planted_choices(6, 30, 8, np.array([1.0, -0.8]) + [[1.0, 0.0]] * Stream(2).normals((30, 1)))
    own = np.repeat(arrays["annotator"] == 3, np.diff(arrays["starts"]))
    arrays["rows"][~own, 1] = 0.0
    found = mixed_logit(**arrays, random=[0], draws=64)
    assert found.status is MixedStatus.CONVERGED

    def loss(theta):
        own = np.array([found.mean[0], theta, found.factor[0, 0]])
        return -mixed_logit(**arrays, random=[0], draws=64, max_steps=0, start=own).log_likelihood

    assert minimize_scalar(loss, bounds=(-5, 5)).x == pytest.approx(found.mean[1], abs=1e-3)
    assert np.isfinite(found.mean_errors()).all()
    # Her own taste is no sign that people differ: a deviation of about 0, whose scores vanish with it.
    varied = mixed_logit(**arrays, random=[0, 1], draws=64)
    assert varied.status is MixedStatus.CONVERGED
    assert varied.deviations[1] < 0.05
