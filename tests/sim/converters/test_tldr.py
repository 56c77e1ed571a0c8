"""Summaries with human feedback: comparisons are pairs, axes are ratings."""

import pytest
from converting import made_of, printed, put, same_in_every_form
from pandas import json_normalize

from sim.errors import InputError


def comparison(choice, worker="w0", texts=("short", "long"), info=None):
    return {
        "info": info or {"id": "t0", "post": "A post.", "title": "t", "subreddit": "r"},
        "summaries": [{"text": text, "policy": "sup1", "note": None} for text in texts],
        "choice": choice, "worker": worker, "batch": "b1", "split": "train", "extra": {"confidence": 2},
    }  # fmt: skip


def scored(score, worker="w0"):
    axes = {"overall": score, "accuracy": 6, "coverage": 5, "coherence": 4}
    return {"info": {"id": "t0", "post": "A post."}, "summary": {"text": "short", "policy": "p", "axes": axes},
            "worker": worker, "batch": "b", "split": "test"}  # fmt: skip


def test_row_by_row(tmp_path):
    news = {"id": "n", "post": None, "article": "An article.", "title": "t"}
    rows = [comparison(1), comparison(0, "w1", info=news)]
    made = made_of("tldr", tmp_path, rows)
    assert made.rows == [
        {"prompt": "A post.", "chosen": "long", "rejected": "short", "annotator_id": "w0"},
        {"prompt": "An article.", "chosen": "short", "rejected": "long", "annotator_id": "w1"},
    ]
    assert same_in_every_form("tldr", tmp_path, rows)


def test_a_flat_table_is_read_as_the_nested_one(tmp_path):
    """As pandas' json_normalize writes it: info.post, summary.axes.overall."""
    for rows in ([comparison(1), comparison(0, "w1")], [scored(7), scored(None)]):
        nested, flat = (made_of("tldr", tmp_path, form) for form in (rows, json_normalize(rows).to_dict("records")))
        assert (flat.rows, flat.left_out) == (nested.rows, nested.left_out)


def test_axes_are_ratings(tmp_path):
    made = made_of("tldr", tmp_path, [scored(7), scored(None)])
    assert made.kind == "ratings"
    assert made.rows == [{"prompt": "A post.", "response": "short", "score": 7.0, "annotator_id": "w0"}]
    assert made.left_out == {"summaries without a score on overall": 1}
    assert [r["score"] for r in made_of("tldr", tmp_path, [scored(7)], axis="coverage").rows] == [5.0]


def test_both_parts_are_no_one_file(tmp_path):
    with pytest.raises(InputError, match="these files hold pairs and ratings; convert them one by one"):
        made_of("tldr", tmp_path, [comparison(0), scored(7)])


def test_left_out_and_bad_rows(tmp_path):
    rows = [comparison(0), comparison(1, texts=("same", "same")), comparison(2), comparison(1, texts=("", "b"))]
    with pytest.raises(InputError, match="row 3, field 'choice': expected 0, 1"):
        made_of("tldr", tmp_path, rows)
    made = made_of("tldr", tmp_path, rows, skip_bad=True)
    assert (len(made), made.left_out) == (
        1, {"both responses are the same": 1, "bad row, field 'choice'": 1, "a response is empty": 1},
    )  # fmt: skip


def test_licence_and_losses_are_printed(tmp_path):
    said = printed(tmp_path, "tldr", put(tmp_path, [comparison(0)]), "--out", tmp_path / "o.jsonl.gz")
    assert "none is named on the card" in said
    assert "extra.confidence" in said
