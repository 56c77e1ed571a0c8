"""Collective Alignment 1: rankings with ties, for the world or for oneself."""

import pytest
from converting import made_of, put, same_in_every_form
from pandas import json_normalize

from sim.converters.converter import find_converter
from sim.errors import InputError


def assessed(who, world="B>A=C>D", personal=None):
    blocks = {"world": [{"rationale": "why", "ranking": world}], "personal": [], "unacceptable": []}
    if personal is not None:
        blocks["personal"] = [{"rationale": "why", "ranking": personal}]
    return {"annotator_id": who, "importance": "Very important", "representativeness": "", "subjectivity": "",
            "ranking_blocks": blocks}  # fmt: skip


def comparison(*assessments):
    return {
        "prompt_id": "p0", "prompt": {"id": "p0", "messages": [{"role": "user", "content": "q"}]},
        "responses": [{"response_index": x, "messages": [{"role": "assistant", "content": f"answer {x}"}]}
                      for x in "ABCD"],
        "metadata": {"assessments": list(assessments)},
    }  # fmt: skip


def test_row_by_row(tmp_path):
    rows = [comparison(assessed("x"), assessed("y", "D>C"))]
    made = made_of("collective-alignment", tmp_path, rows)
    assert made.kind == "rankings"
    assert made.rows[0] == {
        "prompt": [{"role": "user", "content": "q"}],
        "responses": [[{"role": "assistant", "content": f"answer {x}"}] for x in "ABCD"],
        "ranking": [2, 1, 2, 4], "annotator_id": "x",
    }  # fmt: skip
    assert made.rows[1]["ranking"] == [None, None, 2, 1]
    assert same_in_every_form("collective-alignment", tmp_path, rows)


def test_a_response_without_words_is_left_out(tmp_path):
    row = comparison(assessed("x"))
    row["responses"][2]["messages"][0]["content"] = ""
    made = made_of("collective-alignment", tmp_path, [row, comparison(assessed("y"))])
    assert (len(made), made.left_out) == (1, {"a response is empty": 1})


def test_the_personal_ranking(tmp_path):
    rows = [comparison(assessed("x", personal="A>B>C>D"), assessed("y"))]
    made = made_of("collective-alignment", tmp_path, rows, view="personal")
    assert [r["ranking"] for r in made.rows] == [[1, 2, 3, 4]]
    assert made.left_out == {"assessments without a personal ranking": 1}
    with pytest.raises(InputError, match="view: expected world or personal"):
        made_of("collective-alignment", tmp_path, rows, view="all")


def test_annotators_are_features(tmp_path):
    people = [{"annotator_id": "x", "demographics": {"age": "25-34", "country": "Chile"}, "assessments": []},
              {"annotator_id": "y", "demographics": {"age": "35-44", "country": "Chile"}, "assessments": []},
              ]  # fmt: skip
    files = [put(tmp_path, [comparison(assessed("x"), assessed("y"))]), put(tmp_path, people, "annotators.jsonl")]
    made = find_converter("collective-alignment").answers(files, "collective-alignment")
    assert [r["annotator_features"]["age: 25-34"] for r in made.rows] == [1.0, 0.0]
    assert [r["annotator_features"]["country: Chile"] for r in made.rows] == [1.0, 1.0]
    flat = [put(tmp_path, json_normalize([comparison(assessed("x"), assessed("y"))]).to_dict("records"), "flat.jsonl"),
            put(tmp_path, json_normalize(people).to_dict("records"), "people.csv")]  # fmt: skip
    assert find_converter("collective-alignment").answers(flat, "collective-alignment").rows == made.rows


@pytest.mark.parametrize("ranking", ["A>E", "A>A", "best is A"])
def test_a_bad_ranking_costs_no_other_one(tmp_path, ranking):
    rows = [comparison(assessed("x", ranking), assessed("y"))]
    with pytest.raises(InputError, match="row 1, field 'ranking': expected each of A, B, C, D once"):
        made_of("collective-alignment", tmp_path, rows)
    made = made_of("collective-alignment", tmp_path, rows, skip_bad=True)
    assert ([r["annotator_id"] for r in made.rows], made.left_out) == (["y"], {"bad row, field 'ranking'": 1})
