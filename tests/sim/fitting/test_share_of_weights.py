"""How much of an annotator's answers counts as independent is told by their weights: a row of weight 2 is the row
twice, one whose weight goes to 0 is no row, and weights of 1 are none."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import pluralign as pl
from sim.fitting.splits import independent_share

_PEOPLE, _ITEMS, _ANSWERS = 8, 9, 16
_FITS = [
    ("dpo", "pairs", {}), ("personal", "pairs", {}), ("em-dpo", "pairs", {"n_types": 2, "restarts": 2}),
    ("personal", "rankings", {}), ("personal", "ratings", {}), ("dpo", "choices", {}),
]  # fmt: skip


def _rows(kind="pairs", people=_PEOPLE, seed=0):
    """Films: everybody meets the same few again and again, in answers of weight 1 that all train."""
    rng = np.random.default_rng(seed)
    size = 2 if kind == "pairs" else 3
    values, rows = rng.normal(size=(_ITEMS, 2)), []
    for i in range(people):
        taste = np.array([1.5 if i % 2 else -1.5, 0.5])
        for _ in range(_ANSWERS):
            shown = rng.choice(_ITEMS, size, replace=False)
            gain = values[shown] @ taste + rng.gumbel(size=size)
            order, names = np.argsort(-gain), [f"film {j}" for j in shown]
            features = [dict(zip("xy", values[j].tolist(), strict=True)) for j in shown]
            row = {"annotator_id": f"a{i}", "weight": 1.0, "split": "train"}
            if kind == "pairs":
                row |= {"chosen": names[order[0]], "rejected": names[order[1]],
                        "chosen_features": features[order[0]], "rejected_features": features[order[1]]}  # fmt: skip
            else:
                row |= {"responses": names, "features": features}
                row |= {
                    "rankings": {"ranking": (np.argsort(order) + 1).tolist()},
                    "ratings": {"scores": np.round(2 * gain).tolist()},
                    "choices": {"choice": int(order[0])},
                }[kind]
            rows.append(row)
    return rows


def _more(rows, weight):
    """Nine further copies of every row of half of the people, and their answers the wrong way round about films that
    nobody else meets."""
    half = [row for row in rows if row["annotator_id"] < f"a{_PEOPLE // 2}"]
    more = [{**row, "weight": weight} for row in half for _ in range(9)]
    if "chosen" in rows[0]:
        more += [
            {**row, "weight": weight, "chosen": f"new {k}", "rejected": f"newer {k}",
             "chosen_features": row["rejected_features"], "rejected_features": row["chosen_features"]}
            for k, row in enumerate(half)
        ]  # fmt: skip
    return [*rows, *more]


def _fitted(rows, method, options):
    found = pl.fit(rows, method=method, ridge=0.1, **options)
    asked = [row for row in _rows() if row["annotator_id"] in ("a0", "a1", f"a{_PEOPLE - 1}")]
    return found.as_dict()["counts"]["effective_train_pairs"], found.predict(asked).value


@pytest.mark.parametrize(("method", "kind", "options"), _FITS)
def test_rows_that_weigh_nearly_nothing_are_no_rows(method, kind, options):
    rows = _rows(kind)
    effective, chances = _fitted(rows, method, options)
    assert effective < 0.8 * len(rows) * (1 if kind in ("pairs", "choices") else 2), "here the share matters"
    nearly, close = _fitted(_more(rows, 1e-6), method, options)
    assert nearly == pytest.approx(effective, abs=0.01)
    np.testing.assert_allclose(close, chances, atol=2e-4)


@pytest.mark.parametrize(("method", "kind", "options"), _FITS)
def test_a_row_of_weight_two_is_the_row_twice(method, kind, options):
    rows = _rows(kind)
    heavy = [{**row, "weight": 2.0 if k % 3 else 1.0} for k, row in enumerate(rows)]
    twice = [row for k, row in enumerate(rows) for _ in range(2 if k % 3 else 1)]
    (one, weighted), (other, repeated) = (_fitted(own, method, options) for own in (heavy, twice))
    assert one == pytest.approx(other, rel=1e-12)
    np.testing.assert_allclose(weighted, repeated, atol=2e-4)


@pytest.mark.parametrize("kind", ["pairs", "rankings"])
def test_answers_of_somebody_new_count_by_their_weights(kind):
    fit = pl.fit(_rows(kind), method="personal", ridge=0.1)
    own = [{**row, "annotator_id": "n"} for row in _rows(kind, people=1, seed=1)]
    asked = [{**row, "annotator_id": "n"} for row in _rows(people=1, seed=2)]

    def chances(rows):
        return fit.assign(rows).predict(asked).value

    plain = chances(own)
    np.testing.assert_allclose(chances(_more(own, 1e-6)), plain, atol=2e-4)
    heavy, twice = ([{**row, "weight": 2.0} for row in own], [row for row in own for _ in range(2)])
    np.testing.assert_allclose(chances(heavy), chances(twice), atol=1e-6)


def test_a_saved_fit_assigns_arrays_by_their_weights():
    """The same of bare arrays, where a weight of 0 is allowed."""
    fit = pl.fit(_rows(), method="personal", ridge=0.1).usable
    own = _rows(people=1, seed=1)
    first, second = (
        np.array([list(r[side].values()) for r in own]) for side in ("chosen_features", "rejected_features")
    )

    def theta(weights, copies):
        rows = np.repeat(np.arange(len(own)), copies)
        assigned = fit.assign(first[rows], second[rows], ["n"] * len(rows), weights=weights)
        return assigned.fit.predict_proba(first, second, "n")

    ones = np.ones(len(own))
    beside = [np.concatenate([[1.0], np.full(9, w)]) for w in (0.0, 1e-6)]
    plain = theta(ones, 1)
    for weights in beside:
        np.testing.assert_allclose(theta(np.tile(weights, len(own)), 10), plain, atol=1e-4)
    np.testing.assert_allclose(theta(2 * ones, 1), theta(None, 2), atol=1e-6)


def test_dpo_is_the_logistic_regression_that_the_docs_tell():
    """scikit-learn's, without an intercept, C = 1 / (ridge * sum of weights), on docs/bring_your_data.md's weights."""
    rng, rows = np.random.default_rng(3), _rows()
    rows = [
        {**row, "weight": float(rng.integers(1, 3))} for row in rows if rng.random() < 0.3 or row["annotator_id"] < "a3"
    ]
    given = np.array([row["weight"] for row in rows])
    sides = [np.array([list(row[side].values()) for row in rows]) for side in ("chosen_features", "rejected_features")]
    counted = given.copy()
    for person in {row["annotator_id"] for row in rows}:
        own = np.array([row["annotator_id"] == person for row in rows])
        items = {row[side] for row in rows if row["annotator_id"] == person for side in ("chosen", "rejected")}
        counted[own] *= min(1.0, (len(items) - 1) / given[own].sum())
    assert np.ptp(counted / given) > 0.3
    scale = np.sqrt(np.cov(np.concatenate(sides).T, aweights=np.tile(given, 2), ddof=0).diagonal())
    x, n = (sides[0] - sides[1]) / scale, len(rows)

    def chances(weights):
        model = LogisticRegression(C=1 / (0.1 * weights.sum()), fit_intercept=False, tol=1e-10)
        model.fit(np.concatenate([x, -x]), np.repeat([1, 0], n), np.tile(weights, 2) / 2)
        return model.predict_proba(x)[:, 1]

    found = pl.fit(rows, method="dpo", ridge=0.1).predict(rows).value
    np.testing.assert_allclose(found, chances(counted), atol=1e-6)
    assert np.abs(found - chances(given)).max() > 0.003


def _answers(seed, n=40):
    rng = np.random.default_rng(seed)
    chosen, step = rng.integers(0, 7, n), rng.integers(1, 7, n)
    return rng.integers(0, 4, n), chosen, (chosen + step) % 7, rng


def test_without_weights_it_is_items_less_one_over_answers_bit_by_bit():
    for seed in range(20):
        who, chosen, rejected, _ = _answers(seed)
        expected = []
        for person in range(5):
            own = who == person
            items = set(chosen[own]) | set(rejected[own])
            expected.append(min(1.0, (len(items) - 1) / own.sum()) if own.any() else 0.0)
        assert independent_share(who, chosen, rejected, 5, 7).tolist() == expected
        assert independent_share(who, chosen, rejected, 5, 7, np.ones(40)).tolist() == expected


def _by_levels(weights, chosen, rejected):
    """N of one annotator, as the integral over t of (items whose answers weigh more than t) - 1."""
    mass = [weights[(chosen == j) | (rejected == j)].sum() for j in range(7)]
    steps = sorted({0.0, 1.0, *(min(1.0, m) for m in mass)})
    return sum((b - a) * max(sum(m > a for m in mass) - 1, 0) for a, b in pairwise(steps))


@given(st.integers(0, 10**6), st.sampled_from([1e-6, 0.05, 0.3, 1.0, 20.0]))
def test_share_of_any_weights(seed, size):
    who, chosen, rejected, rng = _answers(seed, n=20)
    weights = size * rng.exponential(size=20)
    found = independent_share(who, chosen, rejected, 4, 7, weights)
    for person in range(4):
        own = who == person
        if own.any():
            total = weights[own].sum()
            expected = min(total, _by_levels(weights[own], chosen[own], rejected[own]))
            assert found[person] * total == pytest.approx(expected, rel=1e-12)
    # Whole weights are repetitions, to the last bit.
    whole = rng.integers(0, 4, 20)
    again = np.repeat(np.arange(20), whole)
    repeated = independent_share(who[again], chosen[again], rejected[again], 4, 7)
    np.testing.assert_array_equal(independent_share(who, chosen, rejected, 4, 7, whole.astype(float)), repeated)

    # One answer more never makes all of somebody's answers weigh less, and about two items twice its weight at most.
    def together(n):
        share = independent_share(who[:n], chosen[:n], rejected[:n], 4, 7, weights[:n])
        return share * np.bincount(who[:n], weights[:n], 4)

    grown = together(20) - together(19)
    assert (grown >= -1e-12 * size).all()
    assert (grown <= 2 * weights[19] + 1e-9 * size).all()
