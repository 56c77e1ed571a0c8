"""PRISM: scores of all replies of a turn, or which went on; the survey as features."""

import pytest
from converting import made_of, printed, put, same_in_every_form
from pandas import json_normalize

from sim.converters.converter import find_converter
from sim.errors import InputError


def reply(turn, number, score, chosen):
    return {"turn": turn, "role": "model", "content": f"reply {turn}.{number}", "model_name": "m",
            "model_provider": "p", "score": score, "if_chosen": chosen, "within_turn_id": number}  # fmt: skip


def asked(turn):
    return {"turn": turn, "role": "user", "content": f"question {turn}", "model_name": None, "model_provider": None,
            "score": None, "if_chosen": None, "within_turn_id": None}  # fmt: skip


def talk(user="user0", history=None):
    history = history or [asked(0), reply(0, 0, 40, False), reply(0, 1, 90, True), reply(0, 2, 40, False),
                          asked(1), reply(1, 0, 70, True), reply(1, 1, 71, False)]  # fmt: skip
    return {"conversation_id": "c0", "user_id": user, "conversation_type": "unguided", "conversation_history": history}


def answered(user, age="25-34", values=80):
    return {
        "user_id": user, "age": age, "gender": "Female", "religion": {"self_described": "x", "simplified": "Christian"},
        "lm_familiarity": "Very familiar", "lm_usecases": {"creative_writing": 1, "other_text": "poems"},
        "stated_prefs": {"values": values, "fluency": 50, "other_text": None}, "self_description": "I am",
    }  # fmt: skip


def test_row_by_row(tmp_path):
    made = made_of("prism", tmp_path, [talk()])
    assert made.rows == [
        {"prompt": [{"role": "user", "content": "question 0"}], "responses": [f"reply 0.{j}" for j in range(3)],
         "scores": [40.0, 90.0, 40.0], "annotator_id": "user0"},
        {"prompt": [{"role": "user", "content": "question 0"}, {"role": "assistant", "content": "reply 0.1"},
                    {"role": "user", "content": "question 1"}], "responses": ["reply 1.0", "reply 1.1"],
         "scores": [70.0, 71.0], "annotator_id": "user0"},
    ]  # fmt: skip
    assert same_in_every_form("prism", tmp_path, [talk()])


def test_a_choice_among_all_stays_one(tmp_path):
    made = made_of("prism", tmp_path, [talk()], answer="choices")
    assert [(len(r["responses"]), r["choice"]) for r in made.rows] == [(3, 1), (2, 0)]


def test_the_survey_is_the_annotators_features(tmp_path):
    files = [put(tmp_path, [talk(), talk("user1")]), put(tmp_path, [answered("user0"), answered("user1", "55+", 0)],
             "survey.jsonl")]  # fmt: skip
    made = find_converter("prism").answers(files, "prism")
    first, second = made.rows[0]["annotator_features"], made.rows[2]["annotator_features"]
    assert (first["age: 25-34"], second["age: 25-34"]) == (1.0, 0.0)
    assert (first["stated_prefs: values"], second["stated_prefs: values"]) == (0.8, 0.0)
    assert first["religion.simplified: Christian"] == first["lm_usecases: creative_writing"] == 1.0
    assert not [name for name in first if "other_text" in name or "self_description" in name]
    files[1] = put(tmp_path, [answered("user0")], "part.jsonl")
    with pytest.raises(InputError, match="row 2, field 'user_id': user user1 is not in the survey"):
        find_converter("prism").answers(files, "prism")


@pytest.mark.parametrize("form", ["flat.jsonl", "flat.csv"])
def test_a_flat_survey_says_the_same(tmp_path, form):
    """Of columns religion.simplified and stated_prefs.values nothing was read, in silence."""
    told = [answered("user0"), answered("user1", "55+", 0)]
    flat = json_normalize(told).to_dict("records")
    assert "stated_prefs.values" in flat[0]
    talks = put(tmp_path, [talk(), talk("user1")])
    files = [put(tmp_path, told, "survey.jsonl"), put(tmp_path, flat, form)]
    first, second = (find_converter("prism").answers([talks, file], "prism").rows for file in files)
    assert first == second


def test_what_follows_an_unknown_choice_is_left_out(tmp_path):
    history = [asked(0), reply(0, 0, 40, False), reply(0, 1, None, False), asked(1), reply(1, 0, 70, True)]
    made = made_of("prism", tmp_path, [talk(history=history)])
    assert [r["scores"] for r in made.rows] == [[40.0]]
    assert made.left_out == {"turns after one without a chosen reply": 1}


def test_bad_rows_are_named(tmp_path):
    with pytest.raises(InputError, match="row 2, field 'role': expected user, model, got 'robot'"):
        made_of("prism", tmp_path, [talk(), talk(history=[asked(0) | {"role": "robot"}])])
    with pytest.raises(InputError, match="row 1, field 'conversation_history': expected a message of the user"):
        made_of("prism", tmp_path, [talk(history=[asked(0), asked(0)])])
    with pytest.raises(InputError, match="answer: expected ratings or choices"):
        made_of("prism", tmp_path, [talk()], answer="pairs")


def test_licence_and_losses_are_printed(tmp_path):
    said = printed(tmp_path, "prism", put(tmp_path, [talk()]), "--out", tmp_path / "o.parquet", "--answer", "choices")
    assert "2 choices of 1 annotator" in said
    assert "CC BY-NC 4.0" in said
    assert "self-descriptions" in said


def test_half_a_character_in_a_name_is_named(tmp_path):
    with pytest.raises(InputError, match="row 1, field 'user_id': holds half a character"):
        made_of("prism", tmp_path, [talk(user="u\ud83d")])
