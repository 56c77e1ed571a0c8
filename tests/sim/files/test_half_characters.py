"""Texts that end in half an emoji, as programs that count in UTF-16 cut them: refused where they are read."""

import json

import pytest

from sim.errors import InputError
from sim.files.candidate_files import read_candidates
from sim.files.item_files import read_items
from sim.files.preference_files import read_pairs

HALF = "good \ud83d"
ROW = {"prompt": "q", "chosen": "good", "rejected": "bad", "annotator_id": "p"}
SET = {"prompt": "q", "responses": ["good", "bad"], "choice": 0, "annotator_id": "p"}
CHAT = {**ROW, **{name: [{"role": "assistant", "content": name}] for name in ("chosen", "rejected")}}
TOOL = [{"type": "function", "function": {"name": HALF}}]


def said(text):
    return [{"role": "assistant", "content": text}]


@pytest.mark.parametrize(
    ("read", "row", "change"),
    [
        (read_pairs, ROW, {"prompt": HALF}), (read_pairs, ROW, {"chosen": HALF}), (read_pairs, ROW, {"rejected": HALF}),
        (read_pairs, ROW, {"annotator_id": HALF}), (read_pairs, ROW, {"group_id": HALF}),
        (read_pairs, CHAT, {"chosen": said(HALF)}), (read_pairs, CHAT, {"chosen": said([{"text": HALF}])}),
        (read_pairs, CHAT, {"tools": TOOL}), (read_pairs, CHAT, {"tools": json.dumps(TOOL)}),
        (read_pairs, SET, {"responses": ["bad", HALF]}), (read_pairs, SET, {"prompt": HALF}),
        (read_candidates, SET, {"prompt": HALF}), (read_candidates, SET, {"responses": [HALF, "bad"]}),
        (read_candidates, SET, {"responses": [said(HALF), said("bad")]}),
        (read_items, {"item": "a", "features": [1.0]}, {"item": HALF}),
    ],
)  # fmt: skip
def test_half_a_character_is_one_line(tmp_path, read, row, change):
    path = tmp_path / "a.jsonl"
    (field,) = change
    path.write_text(json.dumps(row) + "\n\n" + json.dumps({**row, **change}) + "\n")
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}, row 3, field '{field}': holds half a character (\\ud83d), ")


def test_columns_that_nobody_reads_may_hold_anything(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({**ROW, "note": HALF}) + "\n" + json.dumps({**ROW, "chosen": "good \U0001f44d"}) + "\n")
    assert read_pairs(path).items == ("good", "bad", "good \U0001f44d")
