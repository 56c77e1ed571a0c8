"""Intervals over annotators: Student's where they are few, the bootstrap's above, wider where few differ."""

import numpy as np
import pytest
from scipy import stats

import pluralign as pl
from sim.estimators.bootstrap import (
    FEW,
    GAP,
    LOG_CHANCE,
    SHARE,
    annotator_interval,
    annotator_intervals,
    cluster_interval,
    half_over_people,
)
from sim.estimators.edge_limits import SpreadOverPeople, edge_limits
from sim.fitting.compare import ScoredAfter
from sim.fitting.scores import score
from sim.streams import Stream


def _student(by_person):
    return tuple(stats.ttest_1samp(by_person, 0.0).confidence_interval(0.95))


def test_of_few_they_are_students_and_of_many_the_bootstraps():
    values = np.random.default_rng(0).normal(size=(FEW, 4))
    who = np.repeat(np.arange(FEW), 4)
    assert annotator_interval(values.ravel(), who, Stream(1)) == cluster_interval(values.ravel(), who, Stream(1))
    few = values[: FEW - 1]
    found = annotator_interval(few.ravel(), who[: few.size], Stream(1))
    assert found == pytest.approx(_student(few.mean(axis=1)))
    assert half_over_people((few.mean(axis=1) - few.mean()) / len(few)) == pytest.approx((found[1] - found[0]) / 2)


def test_each_quantity_has_its_own_edges():
    who = np.arange(4)
    right, gap = np.array([1.0, 1.0, 1.0, 0.5]), np.array([1.0, 1.0, 1.0, -1.0])
    first, second = annotator_intervals([right, gap], who, Stream(0), within=[SHARE, GAP])
    assert (first[1], second) == (1.0, (-1.0, 1.0))
    assert annotator_interval(right, who, Stream(0)) == pytest.approx(_student(right))


def test_who_are_all_the_same_have_no_limits_of_what_has_no_edges():
    assert annotator_interval(np.full(6, 2 / 3), np.repeat([3, 8], 3), Stream(0)) is None
    assert annotator_interval(np.tile([1.0, 1.0, 0.0], 2), np.repeat([3, 8], 3), Stream(0)) is None
    assert annotator_interval(np.arange(6.0), np.zeros(6), Stream(0)) is None
    who = np.repeat(np.arange(FEW), 3)
    assert annotator_interval(np.full(3 * FEW, 0.5), who, Stream(0)) is None
    assert annotator_interval(np.full(3 * FEW, -0.5), who, Stream(0), within=LOG_CHANCE) is None


@pytest.mark.parametrize(("G", "right"), [(2, 2), (19, 19), (19, 0), (20, 20), (20, 19), (40, 3), (90, 88)])
def test_of_yes_and_no_where_few_differ_they_are_at_least_clopper_and_pearson_s(G, right):
    """20 who were all right had limits of 1 and 1."""
    values = np.repeat([1.0, 0.0], [right, G - right])
    exact = stats.binomtest(right, G).proportion_ci(0.95, "exact")
    limits = edge_limits(SpreadOverPeople.of(values, np.arange(G), G, None), *SHARE)
    assert limits == pytest.approx((exact.low, exact.high), abs=1e-9)
    found = annotator_interval(values, np.arange(G), Stream(0), within=SHARE)
    assert found[0] <= exact.low + 1e-9
    assert found[1] >= exact.high - 1e-9
    gap = annotator_interval(2 * values - 1, np.arange(G), Stream(0), within=GAP)
    assert gap == pytest.approx(tuple(2 * end - 1 for end in found), abs=1e-9)


def test_a_row_twice_and_weights_in_another_unit_change_no_limits():
    rng = np.random.default_rng(3)
    values, who = np.ones(90), np.repeat(np.arange(30), 3)
    values[[4, 50]] = 0.0
    weights = rng.integers(1, 4, 90)
    counted = annotator_interval(values, who, Stream(2), weights=weights.astype(float), within=SHARE)
    often = np.repeat(np.arange(90), weights)
    assert annotator_interval(values[often], who[often], Stream(2), within=SHARE) == pytest.approx(counted)
    assert annotator_interval(values, who, Stream(2), weights=0.01 * weights, within=SHARE) == pytest.approx(counted)
    one = annotator_interval(values[::3], who[::3], Stream(2), within=SHARE)
    assert annotator_interval(np.repeat(values[::3], 5), np.repeat(who[::3], 5), Stream(2), within=SHARE) == one


_RARE = [(20, 1, 0.95, 0), (20, 10, 0.99, 0), (40, 1, 0.95, 0), (60, 2, 0.97, 0), (25, 10, 0.95, 10), (20, 10, 0.97, 1)]


@pytest.mark.parametrize(("G", "m", "mean", "size"), _RARE)
def test_where_few_differ_the_limits_hold_the_truth(G, m, mean, size):
    """The bootstrap's held it .65, .85, .89, .84, .89 and .70 of the time; size: of the Beta law of people's chances,
    0: all have the same."""
    rng, inside = np.random.default_rng(1), 0
    who = np.repeat(np.arange(G), m)
    for _ in range(200):
        chance = rng.beta(size * mean, size * (1 - mean), G) if size else np.full(G, mean)
        right = (rng.random((G, m)) < chance[:, None]).astype(float)
        low, high = annotator_interval(right.ravel(), who, Stream(0), within=SHARE, draws=400)
        inside += low <= mean <= high
        assert low < high
    # Two standard errors of 200 below .95.
    assert inside >= 0.92 * 200


def test_limits_of_what_has_no_edges_are_student_s_too_where_few_differ():
    values = np.zeros(30)
    values[7] = 1.0
    low, high = annotator_interval(values, np.arange(30), Stream(1))
    drawn = cluster_interval(values, np.arange(30), Stream(1))
    student = _student(values)
    assert (low, high) == pytest.approx((min(drawn[0], student[0]), max(drawn[1], student[1])))
    assert low < drawn[0]


def test_what_a_fit_reports():
    """Scores, and gains of new annotators after answers of theirs."""
    rng = np.random.default_rng(2)
    values, who = -rng.exponential(size=(5, 6)), np.repeat(np.arange(5), 6)
    found = score(values.ravel(), who, Stream(0))
    assert found.log_likelihood_interval == pytest.approx(_student(values.mean(axis=1)))
    names = {"pooled": np.full(30, -0.7), "own": values.ravel()}
    row = ScoredAfter(5, who, names, {name: own > -0.7 for name, own in names.items()})
    after = row.summary("pooled", Stream(0), Stream(0)).by_method
    assert after["own"].gain_over_pooled_interval == pytest.approx(_student(values.mean(axis=1) + 0.7))
    assert after["pooled"].gain_over_pooled_interval is None


@pytest.fixture(scope="module")
def few():
    """Eleven people of two known groups."""
    rng, rows = np.random.default_rng(3), []
    for i in range(11):
        for _ in range(30):
            a, b = rng.normal(size=(2, 2))
            first, second = (a, b) if rng.random() < 1 / (1 + np.exp(-(a - b)[i % 2])) else (b, a)
            rows.append({"annotator_id": f"a{i}", "prompt": "p", "chosen": first.tolist(), "rejected": second.tolist(),
                         "group_id": "xy"[i % 2]})  # fmt: skip
    return rows


def test_everywhere_in_a_fit(few):
    """Limits over so few are symmetric about the mean, which no percentiles are."""
    plain = {key: value for key, value in few[0].items() if key != "group_id"}
    told = [
        pl.fit(few, method="group-dpo", hold_out="answers").as_dict()["by_group"],
        pl.fit([{**plain, **{key: row[key] for key in plain}} for row in few], method="personal", folds=2).as_dict(),
    ]
    checked = 0

    def walk(node):
        nonlocal checked
        if isinstance(node, list):
            for one in node:
                walk(one)
        if not isinstance(node, dict):
            return
        for name, value in node.items():
            limits = node.get(f"{name}_interval")
            # No logarithm of a chance is above 0: there its limits end.
            if name in ("log_likelihood", "gain_over_pooled") and limits is not None and limits[1] != 0.0:
                assert (limits[0] + limits[1]) / 2 == pytest.approx(value, abs=1e-9)
                checked += 1
            walk(value)

    walk(told)
    assert checked > 20


@pytest.mark.parametrize("sizes", [[200] + [5] * 7, [300] + [10] * 14, [100 // (1 + k) for k in range(10)]])
def test_one_person_of_most_answers_leaves_limits_that_hold(sizes):
    """Her answers are never far from their mean: they held .21, .41 and .90."""
    who, rng = np.repeat(np.arange(len(sizes)), sizes), np.random.default_rng(3)
    held = 0
    for _ in range(300):
        values = rng.normal(size=len(sizes))[who] + rng.normal(size=len(who))
        low, high = annotator_interval(values, who, Stream(0))
        held += low <= 0.0 <= high
    assert held >= 300 * 0.95 - 2 * np.sqrt(300 * 0.05 * 0.95)


def test_weights_and_answers_of_one_person_are_alike_to_the_limits():
    values, who = np.random.default_rng(1).normal(size=8), np.arange(8)
    weighed = annotator_interval(values, who, Stream(0), weights=np.r_[30.0, np.ones(7)])
    often = np.repeat(who, [30] + [1] * 7)
    assert weighed == pytest.approx(annotator_interval(values[often], often, Stream(0)))


@pytest.mark.parametrize("G", [2, 3, 9])
def test_degrees_of_freedom_are_those_of_the_quadratic_form(G):
    """s^2 = x' A x of independent x_i with mean m: mean tr A, variance 2 tr A^2."""
    share, moved = np.random.default_rng(G).dirichlet(np.ones(G)), np.random.default_rng(0).normal(size=G)
    from_mean = np.eye(G) - np.outer(np.ones(G), share)
    own = (from_mean @ from_mean.T).diagonal()
    A = from_mean.T @ np.diag(share**2 / own) @ from_mean
    assert np.trace(A) == pytest.approx((share**2).sum())  # the variance of the mean: unbiased
    nu = np.trace(A) ** 2 / np.trace(A @ A)
    expected = stats.t(nu).ppf(0.975) * np.sqrt((moved**2 / own).sum())
    assert half_over_people(moved, 1.0, share) == pytest.approx(expected)
    assert half_over_people(moved, 1.0, np.full(G, 1 / G)) == pytest.approx(half_over_people(moved))


@pytest.mark.parametrize("heavy", [1e3, 1e6, 1e9, 1e12])
@pytest.mark.parametrize("G", [2, 8])
def test_one_person_who_is_nearly_all_leaves_one_degree_of_freedom(heavy, G):
    """Beside her the others count as one draw each: s^2 is the squared distance from them, (x_1 - mean of the others)^2
    over 1 + 1 / (G - 1). How far she is from the mean of all has 1e-16 of rounding in a part in `heavy`."""
    values = np.random.default_rng(5).normal(size=G)
    spread = SpreadOverPeople.of(values, np.arange(G), G, np.r_[heavy, np.ones(G - 1)])
    expected = stats.t(1).ppf(0.975) * abs(values[0] - values[1:].mean()) / np.sqrt(1 + 1 / (G - 1))
    found = half_over_people(spread.moved, abs(spread.mean), spread.share)
    assert found == pytest.approx(expected, rel=30 / heavy + 1e-15 * heavy)
