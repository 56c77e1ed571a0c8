"""Errors of types: the observed likelihood's own scores and information, and limits that hold the truth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp

from sim.algorithms.em_log_linear import em_log_linear
from sim.answer_kinds.level_slopes import threshold_slopes
from sim.answer_kinds.levels import Levels
from sim.choice_sets import ChoiceSets
from sim.files.preference_files import table_of_rows
from sim.fitting.diagnostics import types
from sim.fitting.diagnostics.types import coefficient_errors
from sim.fitting.mixture_errors import Mixture, Scale, joint_errors, joint_information, type_errors_of
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings
from sim.fitting.type_model import TypeModel
from sim.fitting.with_levels import LevelModel
from sim.streams import Stream

N, PER, D, K = 30, 6, 2, 3
THETA = np.array([[1.0, -0.5], [-0.7, 0.9], [0.2, 0.1]])
SHARES = np.array([0.5, 0.3, 0.2])
STRENGTHS = Levels(np.zeros(0, np.int64), 3, True, False, ("a", "b", "c"))
KINDS = {
    "pairs": None,
    "strengths": STRENGTHS,
    "strengths and ties": replace(STRENGTHS, ties=True),
    "grades": replace(STRENGTHS, around_zero=False, n=4, names=("a", "b", "c", "d")),
    "a strength that nobody gave": replace(STRENGTHS, n=4, names=("a", "b", "c", "d")),
}


def _problem(levels, seed=0, n=N, per=PER, theta=THETA, shares=SHARES):
    """(rows, person, weights, levels) of answers by a mixture; the weights differ."""
    stream = Stream(seed, "mixture errors")
    x, who = stream.child("x").normals((n * per, D)), np.repeat(np.arange(n), per)
    kind = np.searchsorted(np.cumsum(shares)[:-1], stream.child("type").uniforms(n))
    noise = stream.child("noise").uniforms(len(x))
    z = (x * theta[kind][who]).sum(axis=1) + np.log(noise / (1 - noise))
    weights = 0.5 + stream.child("weight").uniforms(n)[who]
    if levels is None:
        return np.where((z > 0)[:, None], x, -x), who, weights, None
    if levels.around_zero:
        x, z = np.where((z > 0)[:, None], x, -x), abs(z)
    edges = [-0.6, 0.4, 1.2] if not levels.around_zero else [0.5, 1.4] if levels.ties else [0.8, 1.9]
    code = np.searchsorted(edges, z).astype(np.int64)
    return x, who, weights, replace(levels, code=np.minimum(code, 2) if levels.around_zero else code)


def _log_chance(theta, thresholds, x, levels):
    """log P of each answer under one type, by the definition."""
    z = x @ theta
    if levels is None:
        return log_expit(z)
    low, high = levels.bounds(thresholds)
    return np.log(expit(high - z) - expit(low - z))


def _parts(packed, k=K):
    theta, odds, thresholds = np.split(packed, [k * D, k * D + k - 1])
    logs = np.append(odds, 0.0)
    return theta.reshape(k, D), logs - logsumexp(logs), thresholds


def _by_person(packed, problem, k=K):
    """(observed log-likelihood (N,), responsibilities (N, K)), by the definition."""
    x, who, weights, levels = problem
    theta, log_shares, thresholds = _parts(packed, k)
    own = np.stack([weights * _log_chance(one, thresholds, x, levels) for one in theta], axis=1)
    joint = log_shares + np.stack([np.bincount(who, column) for column in own.T], axis=1)
    total = logsumexp(joint, axis=1)
    return total, np.exp(joint - total[:, None])


def _slopes(function, at, step=1e-5):
    return np.stack(
        [(function(at + step * e) - function(at - step * e)) / (2 * step) for e in np.eye(len(at))], axis=-1
    )


def _packed(levels, k=K):
    n = 0 if levels is None else levels.n_thresholds
    thresholds = np.array([-0.5, 0.5, 1.0])[:n] if levels is not None and not levels.around_zero else 0.6 + np.arange(n)
    return np.concatenate([THETA[:k].ravel(), np.log(SHARES[: k - 1] / SHARES[k - 1]), thresholds])


def _joint(packed, problem, ridge, centre, k=K):
    x, who, weights, levels = problem
    theta, log_shares, thresholds = _parts(packed, k)
    sets = ChoiceSets(x, np.arange(len(x) + 1), who, who.max() + 1, weights, np.zeros(len(x)))
    scale = None
    if levels is not None:
        events = levels.events(x, thresholds)
        sets = events.choices(who, who.max() + 1, weights)
        scale = Scale(threshold_slopes(levels, thresholds), who, weights)
    mixture = Mixture(theta, np.exp(log_shares), _by_person(packed, problem, k)[1], ridge, centre)
    return joint_information(mixture, sets, scale), mixture, sets, scale


@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_information_are_the_observed_likelihood_s(kind):
    """Louis' formula against finite differences of the observed log-likelihood, all parameters at once."""
    problem = _problem(KINDS[kind])
    levels, packed = problem[3], _packed(problem[3])
    joint = _joint(packed, problem, 0.0, np.zeros(D))[0]
    assert joint.scores == pytest.approx(_slopes(lambda at: _by_person(at, problem)[0], packed), abs=1e-7)

    def gradient(at):
        return _slopes(lambda inner: _by_person(inner, problem)[0].sum(), at, 1e-4)

    expected = -_slopes(gradient, packed, 1e-4)
    if levels is not None and len(levels.unseen()):

        def held(thresholds):
            return 0.5 * levels.share_of(thresholds, levels.unseen()).sum()

        part = -_slopes(lambda at: _slopes(held, at, 1e-4), packed[-levels.n_thresholds :], 1e-4)
        expected[-levels.n_thresholds :, -levels.n_thresholds :] += part
    assert joint.information == pytest.approx(expected, abs=2e-5 * np.abs(expected).max())
    known = joint.complete - joint.information
    assert np.linalg.eigvalsh(known)[-1] > 1.0, "who is of which type is not known"


@pytest.mark.parametrize("kind", ["pairs", "grades"])
def test_the_slope_is_that_of_the_scores_with_a_ridge(kind):
    """A type's ridge is a part of the weight of its answers, which moves with the responsibilities."""
    problem = _problem(KINDS[kind])
    packed, ridge, centre = _packed(problem[3]), 0.3, np.array([0.3, -0.2])
    joint = _joint(packed, problem, ridge, centre)[0]

    def total(at):
        return _joint(at, problem, ridge, centre)[0].scores.sum(axis=0)

    assert joint.slope == pytest.approx(-_slopes(total, packed), abs=1e-5 * np.abs(joint.slope).max())


def _as_known(mixture, sets):
    """Errors of each type's answers alone, responsibilities and thresholds known."""
    found = []
    for theta, gamma in zip(mixture.theta, mixture.responsibilities.T, strict=True):
        one = mixture._replace(theta=theta[None], shares=np.ones(1), responsibilities=np.ones((len(gamma), 1)))
        found.append(type_errors_of(one, replace(sets, weights=sets.weights * gamma[sets.annotator]))[0])
    return np.array(found)


def _covered(errors, theta, truth):
    return float(np.mean(np.abs(theta - truth) < 1.96 * np.array(errors)))


def test_limits_hold_the_truth_where_nobody_is_surely_of_a_type():
    """Four answers each. With responsibilities as known the limits hold it about three times in four."""
    truth, shares, n = 1.5 * np.array([[1.0, 0.6], [-1.0, 0.4]]), np.array([0.6, 0.4]), 200
    joint, known, thetas = [], [], []
    for seed in range(80):
        x, who, _, _ = _problem(None, seed, n, 4, truth, shares)
        start = np.where((x @ truth.T).argmax(axis=1) == 0, 1.0, 0.0)
        split = np.bincount(who, start) / 4
        fitted = em_log_linear(
            x, who, n, 2, ridge=1e-3, start=np.stack([split, 1 - split], axis=1)[None], tolerance=1e-9, max_rounds=500
        )
        sets = ChoiceSets(x, np.arange(len(x) + 1), who, n, np.ones(len(x)), np.zeros(len(x)))
        mixture = Mixture(fitted.theta, fitted.mixture, fitted.responsibilities, 1e-3, np.zeros(2))
        joint.append(type_errors_of(mixture, sets))
        known.append(_as_known(mixture, sets))
        thetas.append(fitted.theta)
    assert _covered(joint, thetas, truth) > 0.91
    assert _covered(known, thetas, truth) < 0.8


def test_limits_hold_the_truth_where_thresholds_are_fitted():
    """Strong tastes: the scale of margins and thresholds is known worse than the margins at given thresholds."""
    truth, n = np.array([[3.0, 1.8]]), 100
    joint, known, thetas = [], [], []
    for seed in range(80):
        x, who, _, levels = _problem(STRENGTHS, seed, n, 10, truth, np.ones(1))

        def loss(free, x=x, levels=levels):
            chances = _log_chance(free[:2], levels.unpacked(free[2:]), x, levels)
            return 0.5e-4 * len(x) * float(free[:2] @ free[:2]) - chances.sum()

        found = minimize(loss, np.concatenate([truth[0], levels.packed(np.array([0.8, 1.9]))])).x
        thresholds, ones = levels.unpacked(found[2:]), np.ones(len(x))
        sets = levels.events(x, thresholds).choices(who, n, ones)
        mixture = Mixture(found[None, :2], np.ones(1), np.ones((n, 1)), 1e-4, np.zeros(2))
        joint.append(type_errors_of(mixture, sets, Scale(threshold_slopes(levels, thresholds), who, ones)))
        known.append(_as_known(mixture, sets))
        thetas.append(found[None, :2])
    assert _covered(joint, thetas, truth) > 0.91
    assert _covered(known, thetas, truth) < 0.88


def test_of_types_that_are_one_nothing_is_known():
    """Nobody's answers pull two equal types apart, which is no certainty; of the third they tell all the same."""
    truth, n = np.array([[1.5, 0.0], [-1.5, 0.5]]), 200
    x, who, _, _ = _problem(None, n=n, per=10, theta=truth, shares=np.array([0.5, 0.5]))
    fitted = em_log_linear(x, who, n, 2, ridge=0.01, tolerance=1e-12, max_rounds=2000, stream=Stream(0, "two"))
    sets = ChoiceSets(x, np.arange(len(x) + 1), who, n, np.ones(len(x)), np.zeros(len(x)))
    two = Mixture(fitted.theta, fitted.mixture, fitted.responsibilities, 0.01, np.zeros(D))
    split = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.4]])
    three = two._replace(
        theta=fitted.theta[[0, 1, 1]], shares=fitted.mixture @ split, responsibilities=fitted.responsibilities @ split
    )
    errors = type_errors_of(three, sets)
    assert np.isnan(errors[1:]).all()
    assert errors[0] == pytest.approx(type_errors_of(two, sets)[0], rel=1e-3)


def _report(method, strength, **settings):
    """A fit of two types of people who answer eight times each, some by a strength."""
    x, who, _, levels = _problem(STRENGTHS, 3, 40, 8, THETA[:2] * 2, np.array([0.6, 0.4]))
    rows = [
        {"annotator_id": f"a{i}", "chosen": f"c{j}", "rejected": f"r{j}", "split": "train",
         "chosen_features": own.tolist(), "rejected_features": [0.0, 0.0],
         **({"strength": int(level) + 1} if strength else {})}
        for j, (i, own, level) in enumerate(zip(who, x, levels.code, strict=True))
    ]  # fmt: skip
    return fit(table_of_rows(rows, "answers.jsonl"), FitSettings(method, n_types=2, restarts=2, **settings))


@pytest.mark.parametrize("strength", [False, True])
def test_a_fit_tells_the_joint_errors(strength):
    """Against finite differences of the scores at what the fit found."""
    report = _report("em-dpo", strength, ridge=0.01)
    model, prepared = report.model, report.prepared
    assert isinstance(model, LevelModel if strength else TypeModel)
    thresholds = model.thresholds if strength else np.zeros(0)
    prepared = prepared.at(thresholds) if strength else prepared
    answers = prepared.answers(prepared.train)
    problem = answers.differences, answers.annotator, answers.weights, answers.levels
    odds = np.log(model.mixture[:1] / model.mixture[1])
    packed = np.concatenate([model.theta.ravel(), odds, thresholds])

    def total(at):
        return _joint(at, problem, 0.01, report.fits.centre, 2)[0].scores.sum(axis=0)

    joint = _joint(packed, problem, 0.01, report.fits.centre, 2)[0]
    assert np.abs(total(packed)).max() < 0.05
    expected = joint_errors(joint._replace(slope=-_slopes(total, packed)), model.mixture)[: 2 * D].reshape(2, D)
    told = [{trait.feature: trait.standard_error for trait in group.strongest_features} for group in report.groups]
    found = [[own[name] for name in prepared.feature_names] for own in told]
    assert np.array(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("limit", ["_MOST", "_MOST_SCORES"])
def test_of_many_parameters_each_type_s_are_its_own(monkeypatch, limit):
    """As if it were known who is of which type: smaller errors."""
    report = _report("em-dpo", False, ridge=0.01)
    inner = report.model
    joint = coefficient_errors(inner, report.fits.centre, report.prepared)
    monkeypatch.setattr(types, limit, 3)
    alone = coefficient_errors(inner, report.fits.centre, report.prepared)
    assert alone.shape == joint.shape
    assert alone.mean() < joint.mean()
