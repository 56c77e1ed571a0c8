"""UltraFeedback: binarized pairs with their messages, or all completions with their scores."""

import pytest
from converting import made_of, printed, put, same_in_every_form, without

from sim.errors import InputError


def talk(answer):
    return [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]


def binarized(better=8.0, worse=5.0, **more):
    return {"prompt": "q", "prompt_id": "p0", "chosen": talk("good"), "rejected": talk("bad"), "messages": talk("good"),
            "score_chosen": better, "score_rejected": worse, **more}  # fmt: skip


def raw(*scores):
    return {"source": "s", "instruction": "q", "models": ["m"], "completions": [
        {"model": "m", "response": f"answer {j}", "overall_score": score, "fine-grained_score": j / 2, "critique": "c"}
        for j, score in enumerate(scores)]}  # fmt: skip


def test_row_by_row(tmp_path):
    rows = [binarized(annotator_id="a0"), binarized(6.0, 6.0, annotator_id="a1")]
    made = made_of("ultrafeedback", tmp_path, rows)
    assert made.rows == [
        {"prompt": "q", "chosen": talk("good"), "rejected": talk("bad"), "tie": tie, "annotator_id": who}
        for tie, who in ((False, "a0"), (True, "a1"))
    ]
    assert made.notes == ()
    assert same_in_every_form("ultrafeedback", tmp_path, rows)


def test_a_reply_without_words_is_left_out_though_the_question_stands_before_it(tmp_path):
    made = made_of("ultrafeedback", tmp_path, [binarized(), binarized(chosen=talk("")), binarized(rejected=talk(" "))])
    assert (len(made), made.left_out) == (1, {"a response is empty": 2})


def test_as_published_nobody_is_named(tmp_path):
    made = made_of("ultrafeedback", tmp_path, [binarized()])
    assert made.annotators == ("everybody",)
    assert "only pooled methods" in made.notes[0]


def test_the_cleaned_set(tmp_path):
    row = without(binarized(), "score_chosen", "score_rejected") | {"chosen-rating": 4.0, "rejected-rating": 4.0}
    assert made_of("ultrafeedback", tmp_path, [row]).ties == 1


def test_the_raw_set_is_ratings(tmp_path):
    made = made_of("ultrafeedback", tmp_path, [raw(7.0, None, 3.0), raw()])
    assert made.rows == [
        {"prompt": "q", "responses": ["answer 0", "answer 2"], "scores": [7.0, 3.0], "annotator_id": "everybody"}
    ]
    assert made.left_out == {"no completion with the score overall_score": 1}
    assert made_of("ultrafeedback", tmp_path, [raw(7.0, 1.0)], score="fine-grained_score").rows[0]["scores"] == [0, 0.5]


def test_bad_rows_are_named(tmp_path):
    bad = binarized(chosen=[{"role": "user", "text": "q"}])
    with pytest.raises(InputError, match="row 2, field 'chosen': a message's content is no text"):
        made_of("ultrafeedback", tmp_path, [binarized(), bad])
    with pytest.raises(InputError, match=r"field 'score_chosen': the chosen response has the lower score \(2 and 5\)"):
        made_of("ultrafeedback", tmp_path, [binarized(2.0)])


def test_licence_and_losses_are_printed(tmp_path):
    said = printed(tmp_path, "ultrafeedback", put(tmp_path, [binarized()]), "--out", tmp_path / "o.parquet")
    for part in ("MIT", "The scores are a model's", "one stands for all"):
        assert part in said
