"""Prompts of a fit are known again, in the form they were written in."""

import json

import numpy as np

from sim.fitting.text_features.asked_prompts import asked_prompts, form_of, read_asked_prompts


def _label(prompt, response="r"):
    return json.dumps({"prompt": prompt, "response": response})


ASK = [{"role": "user", "content": "Tea?"}]


def test_prompts_are_known_by_their_content():
    found = asked_prompts([_label("p", "a"), _label("p", "b"), _label("é"), _label(ASK, [])])
    assert len(found.digests) == 3
    assert found.forms == ("messages", "text")
    asked = [_label("p", "c"), _label("P"), _label("é"), _label([dict(reversed(ASK[0].items()))]), _label("")]
    assert found.has(asked).tolist() == [True, False, True, True, False]
    assert [form_of(label) for label in asked] == ["text", "text", "text", "messages", "text"]


def test_they_are_kept_in_a_folder():
    found = asked_prompts([_label("p")])
    read = read_asked_prompts(found.arrays())
    assert np.array_equal(read.digests, found.digests)
    assert read.forms == ("text",)
    assert read_asked_prompts({}) is None
