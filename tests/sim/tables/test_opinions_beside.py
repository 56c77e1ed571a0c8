"""Opinions of people beside heads': in the candidates' order, and refused where they are of something else."""

import numpy as np
import pytest

from sim.errors import InputError
from sim.files.candidate_files import candidates_of
from sim.files.opinion_files import opinions_of_rows
from sim.tables.opinions_beside import opinions_beside

ASKED = candidates_of([{"prompt": "p", "responses": ["a", "b", "c"]}, {"prompt": "q", "responses": ["d", "e"]}])


def _row(who, prompt, **chances):
    return {"annotator_id": who, "prompt_id": prompt, "candidates": list(chances), "probs": list(chances.values())}


GOOD = [
    _row("x", "p", c=0.5, a=0.2, b=0.3), _row("y", "p", c=0.1, a=0.1, b=0.8), _row("y", "q", d=0.4, e=0.6),
    _row("x", "q", d=1.0, e=0.0),
]  # fmt: skip


def _beside(rows, parties=("type_1",), asked=ASKED):
    return opinions_beside(asked, opinions_of_rows(rows, "opinions.jsonl"), parties, "opinions.jsonl")


def test_they_follow_candidates_and_people():
    names, tables = _beside(GOOD)
    assert names == ("x", "y")
    assert tables[0].tolist() == [[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]]
    assert tables[1].tolist() == [[1.0, 0.0], [0.4, 0.6]]


def test_messages_are_named_by_their_json():
    ask = [{"role": "user", "content": "Tea?"}]
    asked = candidates_of([{"prompt": ask, "responses": ["Yes.", "No."]}])
    name = '[{"role": "user", "content": "Tea?"}]'
    _, [table] = _beside([_row("x", name, **{"No.": 0.9, "Yes.": 0.1})], asked=asked)
    assert table == pytest.approx(np.array([[0.1, 0.9]]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([_row(who, "p", a=0.5, b=0.2, c=0.1, z=0.2) for who in "xy"] + GOOD[2:],
         "are over 'z', which is not among the candidates"),
        ([_row(who, "p", a=0.5, b=0.5) for who in "xy"] + GOOD[2:], "leave out candidate 'c'"),
        ([*GOOD, _row("x", "r", a=0.5, b=0.5)], "are on prompt 'r', which no candidates are for"),
        (GOOD[:2], "no opinions on prompt 'q'"),
        ([*GOOD, _row("z", "q", d=0.5, e=0.5)], "are also of annotator 'z', who has none on others"),
        (GOOD[:3], "have none of annotator 'x', who has some on others"),
        ([{**row, "annotator_id": {"x": "type_1"}.get(row["annotator_id"], "y")} for row in GOOD],
         "annotator 'type_1' is a party already"),
    ],
)  # fmt: skip
def test_others_are_refused_by_name(rows, message):
    with pytest.raises(InputError, match=f"opinions.jsonl.*{message}"):
        _beside(rows)


def test_equal_candidates_are_refused():
    asked = candidates_of([{"prompt": "p", "responses": ["a", "a"]}])
    with pytest.raises(InputError, match="candidate 'a' of prompt 'p' stands twice"):
        _beside([_row("x", "p", a=0.5, b=0.5)], asked=asked)
