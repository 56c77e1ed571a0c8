"""A row of weight w is the row w times: in splits, choices, scores and intervals; and an answer given twice is held out
with its repetition."""

import numpy as np
import pytest

import pluralign as pl
from sim.estimators.bootstrap import cluster_interval
from sim.files.pair_table import SPLITS
from sim.files.preference_files import table_of_rows
from sim.fitting.common_rewards import choose_pooled, choose_strengths
from sim.fitting.compare import ScoredAfter
from sim.fitting.prepare import prepare
from sim.fitting.scores import longer_wins
from sim.fitting.splits import hold_out, questions_of, with_split
from sim.streams import Stream
from sim.weighted_means import column_deviations, column_means, mean_of

# What counts rows of the file: how many there are, and how many somebody new has given.
_OF_ROWS = ("n_pairs", "few_shot", "new_users")
_PARTS = ("test", "baselines", "differences", "against_pooled", "selection", "cross_validation")


def _rows(people=24, answers=12, seed=0, kind="pairs"):
    """Designed alternatives, so that each answer counts whole; every answer with a weight of 1, 2 or 3, and answers of
    a larger weight the surprising ones, so that an unweighted mean is another."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(people):
        taste = np.array([1.5 if i % 2 else -1.5, 0.5]) * (1 + 0.2 * rng.normal())
        for _ in range(answers):
            values = np.round(rng.normal(size=(2 if kind == "pairs" else 3, 2)), 2)
            order = np.argsort(-(values @ taste + rng.gumbel(size=len(values))))
            names = [", ".join(f"{n} {v:g}" for n, v in zip("xy", own, strict=True)) for own in values]
            features = [dict(zip("xy", own.tolist(), strict=True)) for own in values]
            wrong = values[order[0]] @ taste < values[order[1]] @ taste
            weight = 3 if wrong and rng.random() < 0.7 else int(rng.integers(1, 3))
            context = [float(i % 2), float(np.sin(i))]
            row = {"annotator_id": f"a{i:02d}", "weight": weight, "annotator_features": context}
            if kind == "pairs":
                row |= {"chosen": names[order[0]], "rejected": names[order[1]],
                        "chosen_features": features[order[0]], "rejected_features": features[order[1]]}  # fmt: skip
            else:
                row |= {"responses": names, "features": features, "choice": int(order[0])}
            rows.append(row)
    return rows


def _repeated(rows):
    return [{**row, "weight": 1} for row in rows for _ in range(row["weight"])]


def _table(rows):
    return table_of_rows(rows, "rows")


def _same(one, other, where=""):
    """Equal but for what counts rows."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            if name not in _OF_ROWS:
                _same(one[name], other[name], f"{where}/{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for number, (a, b) in enumerate(zip(one, other, strict=True)):
            _same(a, b, f"{where}/{number}")
    elif isinstance(one, float) and isinstance(other, float):
        assert one == pytest.approx(other, rel=2e-4, abs=2e-6), where
    else:
        assert one == other, where


@pytest.mark.parametrize(("method", "kind", "options"), [
    ("personal", "pairs", {"restarts": 2}), ("dpo", "pairs", {}),
    ("em-dpo", "pairs", {"n_types": 2, "folds": 2, "restarts": 2}), ("pooled", "choices", {"restarts": 2}),
    ("low-rank", "pairs", {}),
])  # fmt: skip
def test_weight_is_repetition_in_all_that_is_scored(method, kind, options):
    rows = _rows(kind=kind)
    if method != "low-rank":
        rows = [{k: v for k, v in row.items() if k != "annotator_features"} for row in rows]

    def told(own):
        return pl.fit(own, method=method, **options).report.as_json()

    weighted, repeated = told(rows), told(_repeated(rows))
    seen = [part for part in _PARTS if part in weighted]
    assert {"test", "baselines"} <= set(seen)
    for part in seen:
        _same(weighted[part], repeated[part], part)
    plain = told([{**row, "weight": 1} for row in rows])
    one, other = (found["test"]["known_users"]["log_likelihood"] for found in (weighted, plain))
    assert abs(one - other) > 0.01, "here it matters"


def _tables():
    rows = [{k: v for k, v in row.items() if k != "annotator_features"} for row in _rows(seed=1)]
    return _table(rows), _table(_repeated(rows))


def test_scores_after_some_answers():
    rng = np.random.default_rng(6)
    scores, who, weights = {n: -rng.random(40) for n in "ab"}, rng.integers(0, 8, 40), rng.integers(1, 4, 40)
    right = {n: (own > -0.5).astype(float) for n, own in scores.items()}

    def after(own, counted):
        parts = ({name: values[own] for name, values in each.items()} for each in (scores, right))
        return ScoredAfter(5, who[own], *parts, counted)

    halves = [after(own, weights[own].astype(float)) for own in (slice(0, 15), slice(15, 40))]
    again = after(np.repeat(np.arange(40), weights), None)
    found, expected = (
        own.summary("a", Stream(1), Stream(2)).as_json() for own in (ScoredAfter.together(halves), again)
    )
    _same(found, expected)


def test_scales_are_those_of_the_answers_as_they_count():
    weighted, repeated = (prepare(table, Stream(0)) for table in _tables())
    assert weighted.scales.mean == pytest.approx(repeated.scales.mean, rel=1e-12)
    assert weighted.scales.scale == pytest.approx(repeated.scales.scale, rel=1e-12)
    assert weighted.train.sum() < repeated.train.sum()


def test_ridges_of_what_is_common_and_the_longer_response():
    (one, a), (two, b) = ((prepare(table, Stream(0)), table) for table in _tables())
    fold = np.arange(a.n_annotators) % 3
    for choose in (choose_pooled, choose_strengths):
        first, second = choose(one, fold), choose(two, fold)
        assert first.ridge == second.ridge
        assert first.held_out == pytest.approx(second.held_out, rel=1e-5)
    assert b.annotators == a.annotators
    assert set(np.exp(longer_wins(one).known_users).round(12)) == set(np.exp(longer_wins(two).known_users).round(12))


def test_means_by_hand():
    values, weights = np.array([1.0, 4.0, 10.0]), np.array([1.0, 2.0, 1.0])
    again = np.array([1.0, 4.0, 4.0, 10.0])
    assert mean_of(values, weights) == pytest.approx(4.75)
    assert mean_of(values, None) == values.mean() == mean_of(values, np.full(3, 0.1))
    two = np.stack([values, -values], axis=1)
    assert column_means(two, weights) == pytest.approx([4.75, -4.75])
    assert column_deviations(two, weights) == pytest.approx([again.std()] * 2)


def test_intervals_of_weighted_answers():
    rng = np.random.default_rng(2)
    values, who, weights = rng.normal(size=60), rng.integers(0, 9, 60), rng.integers(1, 4, 60).astype(float)
    again = np.repeat(np.arange(60), weights.astype(int))
    found = cluster_interval(values, who, Stream(1), weights=weights)
    assert found == pytest.approx(cluster_interval(values[again], who[again], Stream(1)), rel=1e-12)
    assert cluster_interval(values, who, Stream(1), weights=np.full(60, 2.0)) == cluster_interval(
        values, who, Stream(1)
    )


def _held_by_row(table, rows, share, stream):
    """As it was drawn before: row by row."""
    drawn = stream.uniforms(len(table)) < share
    return rows & ~drawn, rows & drawn


def test_without_repetitions_the_split_is_that_of_rows():
    table = _tables()[0]
    whole = np.ones(len(table), dtype=np.bool_)
    for found, expected in zip(
        hold_out(table, whole, 0.3, Stream(3), "answers"), _held_by_row(table, whole, 0.3, Stream(3)), strict=True
    ):
        assert np.array_equal(found, expected)


def _pair(who, one, other, prompt="p"):
    return {"annotator_id": who, "prompt": prompt, "chosen": [float(one)], "rejected": [float(other)]}


def test_questions():
    """The same two items, whichever was taken; another prompt or annotator is another question."""
    table = _table([
        _pair("b", 1, 2), _pair("a", 1, 2), _pair("b", 2, 1), _pair("b", 1, 3), _pair("b", 1, 2, "q"), _pair("b", 1, 2),
    ])  # fmt: skip
    index, count = questions_of(table)
    assert index.tolist() == [0, 1, 0, 2, 3, 0]
    assert count == 4
    sets = _table([
        {"annotator_id": "a", "responses": [[float(x)] for x in offered], "choice": choice}
        for offered, choice in (((1, 2, 3), 0), ((3, 1, 2), 1), ((1, 2), 0), ((1, 2, 3), -1), ((2, 1), 1))
    ])  # fmt: skip
    assert questions_of(sets)[0].tolist() == [0, 0, 1, 0, 1]
    grades = _table([
        {"annotator_id": "a", "response": [float(x)], "score": score} for x, score in ((1, 1), (2, 2), (1, 3))
    ])  # fmt: skip
    assert questions_of(grades)[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("by", ["answers", "auto"])
def test_what_is_answered_twice_is_on_one_side(by):
    rng = np.random.default_rng(4)
    rows = [_pair(f"a{i}", *rng.permutation(6)[:2]) for i in range(8) for _ in range(40)]
    table = with_split(_table(rows), Stream(5), by)
    index, count = questions_of(table)
    known = table.split != SPLITS.index("unseen")
    assert count < len(table)
    for number in range(count):
        assert len(set(table.split[known & (index == number)])) <= 1
    share = (table.split[known] == SPLITS.index("test")).mean()
    assert 0.2 < share < 0.4
