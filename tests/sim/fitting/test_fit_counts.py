"""What a fit says of answers that it does not use, or not wholly: none is lost without a word."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from sim.counted import counted
from sim.errors import InputError
from sim.files.preference_files import table_of_rows
from sim.fitting.identified import one_binary_answer_each
from sim.fitting.prepare import prepare
from sim.fitting.report import fit
from sim.fitting.settings import FitSettings
from sim.fitting.splits import with_split
from sim.fitting.text import fit_text
from sim.streams import Stream

ITEMS = np.random.default_rng(0).normal(size=(20, 2)).round(3)
SMALL = FitSettings(n_types=1, ridge=0.1, restarts=1)


def _pair(draw, person):
    i, j = draw.choice(20, 2, replace=False)
    if draw.random() > 1 / (1 + np.exp(-2 * (ITEMS[i, 0] - ITEMS[j, 0]))):
        i, j = j, i
    return {
        "annotator_id": f"p{person}", "prompt": f"q{i % 4}", "chosen": f"i{i}", "rejected": f"i{j}",
        "chosen_features": ITEMS[i].tolist(), "rejected_features": ITEMS[j].tolist(),
    }  # fmt: skip


def _set(draw, person, kind, size=4):
    items = draw.choice(20, size, replace=False)
    utility = 2 * ITEMS[items, 0] + draw.gumbel(size=size)
    row = {"annotator_id": f"p{person}", "responses": [f"i{i}" for i in items], "features": ITEMS[items].tolist()}
    row["prompt"] = f"q{items[0] % 4}"
    ranks = [int(rank) + 1 for rank in (-utility).argsort().argsort()]
    if kind == "choices":
        return row | {"choice": int(utility.argmax())}
    if kind == "rankings":
        return row | {"ranking": ranks}
    return row | {"scores": [float(size - rank) for rank in ranks]}


def _table(kind, answers=200, people=15, size=4):
    draw = np.random.default_rng(1)
    rows = [_pair(draw, k % people) if kind == "pairs" else _set(draw, k % people, kind, size) for k in range(answers)]
    return table_of_rows(rows, kind)


def _told(table, settings=SMALL):
    found = fit(table, settings).as_json()
    return found, fit_text(found, "out")


@pytest.mark.parametrize("kind", ["pairs", "choices", "rankings", "ratings"])
@pytest.mark.parametrize("by", ["auto", "items", "answers", "prompts", "people"])
def test_every_answer_is_in_a_split_or_counted_with_why(kind, by):
    """Whatever the answers are and whatever is held out: what is on neither side is counted."""
    for people in (7, 40, 200):
        table = _table(kind, people=people)
        split = with_split(table, Stream(3), by)
        assert len(split) + sum(count for _, count in split.set_aside) == len(table)
        known = np.unique(split.annotator[split.rows_of("train")])
        assert np.isin(split.annotator[split.rows_of("test")], known).all()


@pytest.mark.parametrize("kind", ["pairs", "choices"])
def test_answers_set_aside_are_said(kind):
    settings = FitSettings(n_types=1, ridge=0.1, restarts=1, hold_out="items")
    found, text = _told(_table(kind), settings)
    counts = found["counts"]
    used = counts["train_pairs"] + sum(found["test"][users]["n_pairs"] for users in ("known_users", "unseen_users"))
    assert counts["set_aside_pairs"] == 200 - used > 0
    assert counts["set_aside"] == {"about both an item to train on and one to score by": 200 - used}
    assert f"{200 - used} of 200 answers set aside: about both" in text


def test_nothing_is_said_of_nothing():
    found, text = _told(_table("pairs"), FitSettings(n_types=1, ridge=0.1, restarts=1, hold_out="answers"))
    assert (found["counts"]["set_aside_pairs"], found["counts"]["set_aside"]) == (0, {})
    assert "set aside" not in text


@pytest.mark.parametrize("by", ["answers", "items", "people"])
def test_one_answer_each_trains_or_is_of_somebody_unseen(by):
    """Held out, it would be of nobody known and could not be scored."""
    table = _table("pairs", people=200)
    split = with_split(table, Stream(3), by)
    assert len(split) == 200
    assert not split.rows_of("test").any()


def test_held_out_prompts_train_nobody():
    table = _table("pairs", people=200)
    split = with_split(table, Stream(3), "prompts")
    assert not set(split.prompt[split.rows_of("train")]) & set(split.prompt[split.rows_of("test")])
    assert sum(count for _, count in split.set_aside) == 200 - len(split) > 0


@pytest.mark.parametrize("kind", ["choices", "rankings"])
def test_choices_fitted_as_pairs_are_said(kind):
    settings = FitSettings(n_types=1, ridge=0.1, restarts=1, likelihood="bradley-terry")
    found, text = _told(_table(kind), settings)
    train = found["counts"]["train_pairs"]
    # Out of four: three pairs of a choice, 3 + 2 + 1 of a ranking.
    pairs = train * (3 if kind == "choices" else 6)
    assert found["counts"]["fitted_as_pairs"] == pairs
    assert f"{kind} by bradley-terry: {train} training {kind} fitted as {pairs} pairs" in text
    assert "depend on each other" in text
    whole, plain = _told(_table(kind))
    assert whole["counts"]["fitted_as_pairs"] == 0
    assert "fitted as" not in plain


def test_equal_ranks_are_said():
    """Of [1, 1, 2, 3] the order of the first two is not used; unranked ones are no tie."""
    draw, rows = np.random.default_rng(1), []
    for k in range(200):
        row = _set(draw, k % 15, "rankings")
        rows.append(row | {"ranking": [[1, 1, 2, 3], [1, 2, None, None], [1, 2, 3, 3], [4, 3, 2, 1]][k % 4]})
    found, text = _told(table_of_rows(rows, "t"))
    assert found["counts"]["noted"] == {"rankings with equal ranks, among which no order is used": 100}
    assert "rankings with equal ranks, among which no order is used: 100" in text
    assert "equal ranks" not in _told(_table("rankings"))[1]


def test_comparisons_left_out_are_not_called_rows():
    draw = np.random.default_rng(1)
    rows = [_set(draw, k % 15, "ratings") | {"scores": [1.0, 1.0, 2.0, 3.0]} for k in range(200)]
    settings = FitSettings(n_types=1, ridge=0.1, restarts=1, likelihood="bradley-terry")
    found, text = _told(table_of_rows(rows, "t"), settings)
    assert found["counts"]["left_out"] == {"comparisons within ratings that tie": 200}
    assert "comparisons within ratings that tie, left out: 200" in text
    assert "rows" not in text


def test_ratings_all_of_whose_scores_tie_are_counted():
    draw = np.random.default_rng(1)
    rows = [
        _set(draw, k % 15, "ratings") | ({"scores": [1.0] * 4} if k % 4 == 0 else {"scores": [1.0, 2.0, 3.0, 4.0]})
        for k in range(200)
    ]
    settings = FitSettings(n_types=1, ridge=0.1, restarts=1, likelihood="bradley-terry", hold_out="answers")
    found, text = _told(table_of_rows(rows, "t"), settings)
    assert found["counts"]["left_out"] == {"comparisons within ratings that tie": 300}
    assert found["counts"]["noted"] == {"ratings without two scores that differ, left out": 50}
    assert "ratings without two scores that differ, left out: 50" in text


@pytest.mark.parametrize(
    ("number", "things", "said"),
    [
        (1, "annotators", "1 annotator"), (2, "annotators", "2 annotators"), (0, "people", "0 people"),
        (1, "people", "1 person"), (1, "held-out answers", "1 held-out answer"), (1, "choices", "1 choice"),
    ],
)  # fmt: skip
def test_one_is_singular(number, things, said):
    assert counted(number, things) == said


def test_one_annotator_reads_well():
    """No bare nan and no `1 people`: where there is no interval a mark stands, and why is said once."""
    _, text = _told(_table("pairs", people=1))
    assert "nan" not in text
    assert "1 people" not in text
    assert text.count("[-] no interval: it is over annotators, and needs two who are not the same") == 1
    assert "of 1 person" in text
    # A coin's score is everybody's: however many there are, they tell of no other. Shares have limits.
    known, _ = _told(_table("pairs", people=45))[1].split("unseen", 1)
    assert re.search(r"coin +log-likelihood -0\.6931 \[-\]", known)


def _grades(scores):
    draw = np.random.default_rng(1)
    items = draw.integers(20, size=len(scores))
    return table_of_rows(
        [
            {"annotator_id": f"p{k % 15}", "response": f"i{i}", "features": ITEMS[i].tolist(), "score": score}
            for k, (i, score) in enumerate(zip(items.tolist(), scores, strict=True))
        ],
        "t",
    )


@pytest.mark.parametrize("method", ["em-dpo", "pooled", "personal", "cluster"])
@pytest.mark.parametrize("n_types", [None, 2])
def test_one_score_for_everything_says_nothing(method, n_types):
    if n_types and method in ("pooled", "personal"):
        n_types = None
    with pytest.raises(InputError, match="every score is 3"):
        fit(_grades([3] * 120), FitSettings(method, n_types=n_types, restarts=1, ridge=0.1))


def test_two_scores_are_enough():
    found, text = _told(_grades([3, 4] * 60))
    assert found["counts"]["likelihood"] == "cumulative-logit"
    assert "levels 3, 4" in text


ALONE = "one answer, of two possible ones"


def _one_each(kind):
    """300 people with an answer each."""
    if kind == "ties":
        draw = np.random.default_rng(1)
        return table_of_rows([_pair(draw, k) | {"tie": k % 3 == 0} for k in range(300)], kind)
    if kind in ("two grades", "three grades"):
        scores = [k % (2 if kind == "two grades" else 3) for k in range(300)]
        table = _grades(scores)
        names = tuple(f"p{k}" for k in range(300))
        return replace(table, annotators=names, annotator=np.arange(300))
    if kind == "choices out of two":
        return _table("choices", 300, 300, size=2)
    return _table(kind, 300, 300)


@pytest.mark.parametrize(
    ("kind", "binary"),
    [
        ("pairs", True), ("choices out of two", True), ("two grades", True), ("choices", False), ("rankings", False),
        ("ratings", False), ("ties", False), ("three grades", False),
    ],
)  # fmt: skip
def test_answers_that_tell_no_types_apart(kind, binary):
    prepared = prepare(_one_each(kind), Stream(0))
    assert one_binary_answer_each(prepared) is binary


@pytest.mark.parametrize("method", ["em-dpo", "cluster-dpo", "cluster", "pal"])
def test_no_types_are_looked_for_where_nothing_identifies_them(method):
    report = fit(_one_each("pairs"), FitSettings(method, restarts=1, max_types=3))
    assert report.n_types == 1
    assert [ALONE in warning for warning in report.warnings].count(True) == 1
    assert any("nobody has two answers" in warning for warning in report.warnings)


def test_types_that_were_asked_for_are_said_to_be_nobodys():
    report = fit(_one_each("pairs"), FitSettings(n_types=2, restarts=1, ridge=0.1))
    assert report.n_types == 2
    assert any(ALONE in warning and "the 2 types asked for" in warning for warning in report.warnings)


@pytest.mark.parametrize("settings", [FitSettings("pooled"), FitSettings(n_types=1, ridge=0.1), FitSettings("dpo")])
def test_one_reward_for_all_needs_no_second_answer(settings):
    assert not any(ALONE in warning for warning in fit(_one_each("pairs"), settings).warnings)


def test_two_answers_each_are_enough_to_look_for_types():
    """Control: the search goes past one type."""
    report = fit(_table("pairs", 300, 100), FitSettings(restarts=1, max_types=2))
    assert max(candidate.size for candidate in report.fits.choice.tried) == 2
    assert not any(ALONE in warning for warning in report.warnings)


def test_people_held_out_want_no_more_answers_each():
    report = fit(_table("pairs"), FitSettings(n_types=1, ridge=0.1, restarts=1, hold_out="people"))
    assert not any("no held-out answers" in warning for warning in report.warnings)


def test_answers_set_aside_are_counted_where_features_are_made_of_texts():
    """There the split is made before the features are."""
    draw, words = np.random.default_rng(1), ["a dull plot", "a fine plot", "a fine cast", "a dull cast", "a weak end"]
    rows = []
    for k in range(300):
        first, second = draw.choice(5, 2, replace=False)
        rows.append({"annotator_id": f"p{k % 15}", "chosen": words[first], "rejected": words[second]})
    settings = FitSettings("pooled", features="words", hold_out="items")
    found, text = _told(table_of_rows(rows, "t"), settings)
    counts = found["counts"]
    used = counts["train_pairs"] + sum(found["test"][users]["n_pairs"] for users in ("known_users", "unseen_users"))
    assert counts["set_aside_pairs"] == 300 - used > 0
    assert f"{300 - used} of 300 answers set aside" in text
