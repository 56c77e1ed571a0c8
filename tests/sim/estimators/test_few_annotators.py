"""Intervals over annotators: Student's where they are few, none where a few are all the same, the bootstrap's above."""

import numpy as np
import pytest
from scipy import stats

import pluralign as pl
from sim.estimators.bootstrap import (
    FEW,
    GAP,
    SHARE,
    annotator_interval,
    annotator_intervals,
    cluster_interval,
    half_over_people,
)
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


def test_a_few_who_are_the_same_have_no_limits():
    assert annotator_interval(np.full(6, 2 / 3), np.repeat([3, 8], 3), Stream(0)) is None
    assert annotator_interval(np.tile([1.0, 1.0, 0.0], 2), np.repeat([3, 8], 3), Stream(0)) is None
    assert annotator_interval(np.arange(6.0), np.zeros(6), Stream(0)) is None
    who = np.repeat(np.arange(FEW), 3)
    assert annotator_interval(np.full(3 * FEW, 0.5), who, Stream(0)) == (0.5, 0.5), "so many are no chance"


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
