"""A public set is recognised by its columns, and hints do not mislead."""

import pytest
from test_arena import vote
from test_collective_alignment import assessed, comparison
from test_community_alignment import talk
from test_dices import row as dices
from test_helpsteer3 import row as helpsteer3
from test_hh import ROW as HH
from test_multipref import ROW as MULTIPREF
from test_oasst import FLAT, tree
from test_prism import talk as prism
from test_shp import row as shp
from test_tldr import comparison as tldr
from test_tldr import scored
from test_ultrafeedback import binarized, raw

from sim.errors import InputError
from sim.files.preference_files import table_of_rows
from sim.files.recognise import recognise

SETS = [
    ("arena", vote("tie")), ("community-alignment", talk("a", "a")),
    ("collective-alignment", comparison(assessed("x"))),
    ("multipref", MULTIPREF), ("tldr", tldr(0)), ("tldr", scored(7)), ("helpsteer3", helpsteer3(1)),
    ("ultrafeedback", binarized()), ("ultrafeedback", raw(1.0)), ("oasst", FLAT[1]), ("prism", prism()),
    ("oasst", {"message_tree_id": "m", "tree_state": "ready", "prompt": tree()}), ("dices", dices(1, "No")),
    ("prism", {"utterance_id": "u", "interaction_id": "i", "user_id": "x", "score": 1, "if_chosen": True}),
    ("collective-alignment", {"prompt_id": "p", "annotator_id": "x", "ranking_blocks": {"world": []}}),
    ("prism", {"user_id": "x", "stated_prefs": {}, "lm_usecases": {}}),
    ("collective-alignment", {"annotator_id": "x", "demographics": {}}),
    ("shp", shp(1)), ("hh", HH), ("choices", {"choice": True, "id": 1, "alt": 1, "pf": 7, "chid": 1}),
    ("choices", {"id": 1, "choice": "choice1", "price1": 1, "price2": 2}),
    ("movielens", {"userId": 1, "movieId": 1, "rating": 3.0, "timestamp": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row"), SETS)
def test_each_set_is_recognised(name, row):
    assert recognise(tuple(row), row) == name


@pytest.mark.parametrize("row", [
    {"prompt": "q", "chosen": "a", "rejected": "b"}, {"chosen": "a", "rejected": "b"}, {"id": 1, "choice": 1}, {},
    {"prompt": "q", "responses": ["a"], "metadata": {}},
])  # fmt: skip
def test_others_are_not(row):
    assert recognise(tuple(row), row) is None


@pytest.mark.parametrize(("name", "row"), [pair for pair in SETS if "annotator_id" not in pair[1]])
def test_the_reader_names_the_converter(name, row):
    with pytest.raises(InputError, match=f"pluralign convert {name} .* --out ANSWERS"):
        table_of_rows([row], "t.jsonl")


@pytest.mark.parametrize(("row", "said"), [
    ({"choice": 1, "rejected": "b", "annotator_id": 1}, "pluralign convert columns FILE --chosen COLUMN"),
    ({"if_chosen": True, "rejected": "b", "annotator_id": 1}, "pluralign convert columns FILE --chosen COLUMN"),
    ({"chosn": 1, "rejected": "b", "annotator_id": 1}, "rename 'chosn'"),
    ({"chosn": "a", "rejected": "b", "annotator_id": 1}, "rename 'chosn'"),
    ({"chosen": "a", "rejected": "b", "annotator_ids": 1}, "rename 'annotator_ids'"),
    ({"chosen": "a", "rejected": "b", "rater": 1}, "convert columns FILE --annotator COLUMN"),
])  # fmt: skip
def test_hints_do_not_mislead(row, said):
    with pytest.raises(InputError, match=said) as caught:
        table_of_rows([row], "t.jsonl")
    assert ("rename" in str(caught.value)) == ("rename" in said)
