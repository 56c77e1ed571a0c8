"""Questions out of reviews: two passages that do not overlap, of different lengths, in random order."""

import numpy as np

from llm.base.plain_text import sentences
from llm.data.review_questions import questions_of_reviews
from sim.streams import Stream

REVIEWS = [" ".join(f"Sentence {r} number {j}." for j in range(12)) for r in range(300)]


def test_passages_are_the_reviews_own_and_do_not_overlap():
    found, read = questions_of_reviews(REVIEWS, 200, Stream(1))
    assert (len(found), read) == (200, 200)
    sizes, early = [], 0
    for number, (prompt, first, second) in enumerate(found):
        whole = sentences(REVIEWS[number])
        assert prompt == whole[0]
        parts = [sentences(text) for text in (first, second)]
        places = [[whole.index(part) for part in own] for own in parts]
        for own in places:
            assert own == list(range(own[0], own[-1] + 1))
            assert own[0] > 0
        assert not set(places[0]) & set(places[1])
        sizes += [len(own) for own in parts]
        early += places[0][0] < places[1][0]
    assert set(sizes) == {1, 2, 3, 4}
    assert 70 < early < 130
    assert questions_of_reviews(REVIEWS, 200, Stream(1))[0] == found
    assert questions_of_reviews(REVIEWS, 200, Stream(2))[0] != found


def test_every_place_is_reached():
    found, _ = questions_of_reviews(REVIEWS, 300, Stream(1))
    met = {word for _, first, second in found for text in (first, second) for word in text.split() if word[0].isdigit()}
    assert {f"{j}." for j in range(1, 12)} <= met


def test_short_and_repeated_reviews_are_passed_over():
    texts = ["Short. Very short.", REVIEWS[0], REVIEWS[0], "", REVIEWS[1]]
    found, read = questions_of_reviews(texts, 9, Stream(1))
    assert [prompt for prompt, _, _ in found] == ["Sentence 0 number 0.", "Sentence 1 number 0."]
    assert read == len(texts)
    same = " ".join(["Opening."] + ["Again."] * 9)
    kept = [questions_of_reviews([same], 1, Stream(seed))[0] for seed in range(30)]
    assert np.mean([bool(own) for own in kept]) < 1, "two passages that are the same say nothing"
