"""How far shrunk rewards may be off: the spread of people is found, and bounds of default fits count it."""

import numpy as np
import pytest

import pluralign as pl
from sim.choice_sets import ChoiceSets
from sim.fitting.choose import _Search
from sim.fitting.head_errors import head_errors
from sim.fitting.method import Grid, Method, Problem
from sim.fitting.methods import find_method
from sim.fitting.spread import Shrunk, spread_of, spread_of_people
from sim.streams import Stream


def _linear(spread, ridge, n, rng, d=3):
    """(truth, estimate, information) of a linear model with unit noise, v ~ N(0, spread): all is known there."""
    rows = rng.normal(size=(6, d)) * np.array([1.0, 1.0, 3.0])
    information = rows.T @ rows
    truth = np.sqrt(spread) * rng.normal(size=(n, d))
    gradient = truth @ information + rng.normal(size=(n, 6)) @ rows
    return truth, np.linalg.solve(information + ridge * np.eye(d), gradient.T).T, information


@pytest.mark.parametrize("ridge", [0.1, 2.0, 50.0])
def test_the_spread_of_people_is_found_whatever_shrank_them(ridge):
    _, fitted, information = _linear(1.5, ridge, 4000, np.random.default_rng(0))
    assert spread_of(Shrunk(v, information, information, ridge) for v in fitted) == pytest.approx(1.5, rel=0.1)


def test_no_spread_is_found_where_people_are_alike():
    _, fitted, information = _linear(0.0, 1.0, 4000, np.random.default_rng(1))
    assert spread_of(Shrunk(v, information, information, 1.0) for v in fitted) < 0.03
    assert spread_of([]) == 0.0


@pytest.mark.parametrize(("answers", "d", "spread"), [(21, 16, 0.1), (21, 6, 1.0), (60, 4, 0.5)])
def test_the_spread_of_people_of_few_answers_is_found(answers, d, spread):
    """Laplace alone finds half of the first: 21 binary answers about 16 features leave no normal posterior."""
    found = []
    for seed in range(4):
        rng, people = np.random.default_rng(seed), []
        for _ in range(40):
            offset, v = rng.normal(size=answers), np.sqrt(spread) * rng.normal(size=d)
            rows = rng.normal(size=(answers, d)) - rng.normal(size=(answers, d))
            sign = np.where(rng.random(answers) < 1 / (1 + np.exp(-offset - rows @ v)), 1.0, -1.0)
            people.append(ChoiceSets(rows * sign[:, None], np.arange(answers + 1), np.zeros(answers, dtype=np.int64), 1,
                                     np.ones(answers), offset * sign))  # fmt: skip
        found.append(spread_of_people(people))
    assert np.mean(found) == pytest.approx(spread, rel=0.2)
    assert spread_of_people([]) == 0.0


def test_coordinates_that_no_answer_is_about_change_nothing():
    rng = np.random.default_rng(3)
    people = [ChoiceSets(rng.normal(size=(8, 5)), np.arange(9), np.zeros(8, dtype=np.int64), 1, np.ones(8), np.zeros(8))
              for _ in range(10)]  # fmt: skip
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0][:5]
    wide = [one.projected(turn, np.zeros(8)) for one in people]
    assert spread_of_people(wide) == pytest.approx(spread_of_people(people), rel=0.1)


def _answered(theta, answers, seed):
    rng, rows = np.random.default_rng(seed), []
    for i, own in enumerate(theta):
        for a, b in rng.normal(size=(answers, 2, theta.shape[1])):
            first, second = (a, b) if rng.random() < 1 / (1 + np.exp(-(a - b) @ own)) else (b, a)
            rows.append({"annotator_id": f"a{i}", "prompt": "p", "chosen": first.tolist(), "rejected": second.tolist()})
    return rows


def _right(report, theta, names):
    """Share of bounds at 1.645 standard errors in random directions that are right, of each of `names`."""
    errors, scale = head_errors(report.fits, report.prepared), report.prepared.scales.scale
    directions, found = np.random.default_rng(0).normal(size=(200, theta.shape[1])), []
    for name in names:
        i = report.prepared.table.annotators.index(name)
        fitted = report.model.theta[i] / scale
        error = np.sqrt(np.einsum("kd,de,ke->k", directions, errors.of(name) / np.outer(scale, scale), directions))
        found.append(directions @ fitted - 1.645 * error <= directions @ theta[int(name[1:])])
    return float(np.mean(found))


def _people(method, seed):
    """Two kinds of people, or each her own."""
    rng = np.random.default_rng(seed)
    if method == "personal":
        return 1.5 * rng.normal(size=(40, 4))
    one = rng.normal(size=3)
    return np.array([one, -one])[rng.integers(0, 2, 40)]


@pytest.mark.parametrize(("method", "populations"), [("cluster", 4), ("personal", 1)])
def test_bounds_of_a_default_fit_hold(method, populations, monkeypatch):
    """With the least ridges and the errors of before, far more are wrong: the cause is in these two."""
    tables = [(_people(method, seed), seed) for seed in range(populations)]

    def right():
        options, shares = {"n_types": 2} if method == "cluster" else {}, []
        for theta, seed in tables:
            report = pl.fit(_answered(theta, 60, seed), method=method, hold_out="answers", **options).report
            trained = [report.prepared.table.annotators[i] for i in report.prepared.trained]
            shares.append(_right(report, theta, trained))
        return np.mean(shares)

    now = right()
    monkeypatch.setattr("sim.fitting.methods.cluster._LOWER", ())
    monkeypatch.setattr("sim.fitting.methods.personal.LOWER", ())
    monkeypatch.setattr("sim.fitting.head_errors._likelier", lambda ridge, spread: ridge)
    before = right()
    assert now > 0.9
    assert before < now - 0.1


class _Best(Method):
    """Held-out answers like one ridge best."""

    name, best = "best", 1.0

    def fit_rows(self, prepared, rows, size, ridge, task):
        return ridge


@pytest.mark.parametrize(("best", "tried"), [
    (10.0, [3.0, 10.0]), (3.0, [3.0, 10.0, 1.0]), (0.3, [3.0, 10.0, 1.0, 0.3, 0.1]), (0.01, [3.0, 10.0, 1.0, 0.3, 0.1]),
])  # fmt: skip
def test_lower_ridges_are_tried_while_the_least_is_best(best, tried, monkeypatch):
    table = _answered(np.ones((4, 2)), 12, 0)
    prepared = pl.fit(table, method="pooled", hold_out="answers").report.prepared
    monkeypatch.setattr(
        "sim.fitting.choose.log_chances",
        lambda method, ridge, answers, table: np.full(len(answers), -abs(np.log(ridge / best))),
    )
    monkeypatch.setattr("sim.fitting.choose.common_reward", lambda method, model: np.zeros(2))
    search = _Search(prepared, Stream(0), lambda text: None)
    search.search(_Best(), Grid((0,), (3.0, 10.0), untried=3.0, lower=(1.0, 0.3, 0.1)))
    assert [candidate.ridge for candidate in search.tried] == tried


@pytest.mark.parametrize("method", ["personal", "shared", "cluster"])
def test_lower_ridges_go_down_from_the_grid(method):
    grid = find_method(method).grid(Problem(20, 5))
    falling = [min(grid.ridges), *grid.lower]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) == len(falling) > 3
