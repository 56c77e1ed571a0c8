"""HH-RLHF: transcripts become messages."""

import pytest
from converting import made_of, printed, put, same_in_every_form
from real_files import real_file

from sim.converters.converter import find_converter
from sim.errors import InputError

ROW = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: A joke\n\nplease\n\nAssistant: Why not",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: A joke\n\nplease\n\nAssistant: No",
}


def test_row_by_row(tmp_path):
    made = made_of("hh", tmp_path, [ROW])
    assert made.rows == [{
        "prompt": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."},
                   {"role": "user", "content": "A joke\n\nplease"}],
        "chosen": [{"role": "assistant", "content": "Why not"}],
        "rejected": [{"role": "assistant", "content": "No"}], "annotator_id": "everybody",
    }]  # fmt: skip
    assert same_in_every_form("hh", tmp_path, [ROW])


def test_where_they_part_earlier_the_turns_stay_in_the_responses(tmp_path):
    row = {"chosen": "\n\nHuman: Hi\n\nAssistant: One\n\nHuman: Go on\n\nAssistant: Two",
           "rejected": "\n\nHuman: Hi\n\nAssistant: Other"}  # fmt: skip
    made = made_of("hh", tmp_path, [row, ROW])
    assert [part["role"] for part in made.rows[0]["chosen"]] == ["assistant", "user", "assistant"]
    # One goes on where the other ends: neither response is empty.
    longer = {"chosen": "\n\nHuman: Hi\n\nAssistant: One", "rejected": row["chosen"]}
    assert [len(made_of("hh", tmp_path, [longer]).rows[0][side]) for side in ("prompt", "chosen", "rejected")] == [
        1, 1, 3]  # fmt: skip


def test_left_out_and_bad_rows(tmp_path):
    rows = [ROW, {**ROW, "rejected": ROW["chosen"]}, {"chosen": "\n\nHuman: a\n\nAssistant: b",
            "rejected": "\n\nHuman: c\n\nAssistant: d"}, {**ROW, "chosen": "Hello"}]  # fmt: skip
    with pytest.raises(InputError, match="row 4, field 'chosen': expected a transcript"):
        made_of("hh", tmp_path, rows)
    assert made_of("hh", tmp_path, rows, skip_bad=True).left_out == {
        "both responses are the same": 1, "the two transcripts begin differently": 1, "bad row, field 'chosen'": 1,
    }  # fmt: skip


def test_a_side_that_says_nothing_is_left_out(tmp_path):
    asked = "\n\nHuman: Hi\n\nAssistant:"
    rows = [{"chosen": f"{asked} ", "rejected": f"{asked} No"}, {"chosen": f"{asked} One\n\nHuman:",
            "rejected": f"{asked} Two"}, {"chosen": f"{asked} One\n\nHuman: \n\nHuman:", "rejected": f"{asked} One"},
            {"chosen": f"{asked} One\n\nHuman: Go on\n\nAssistant:", "rejected": f"{asked} Two"}]  # fmt: skip
    made = made_of("hh", tmp_path, rows)
    assert made.left_out == {"a response is empty": 1, "both responses are the same": 1}
    assert [[part["content"] for part in row["chosen"]] for row in made.rows] == [["One"], ["One", "Go on", ""]]


def test_licence_is_printed(tmp_path):
    said = printed(tmp_path, "hh", put(tmp_path, [ROW]), "--out", tmp_path / "o.parquet")
    assert "licence  MIT" in said
    assert "one stands for all" in said


def test_the_published_file():
    made = find_converter("hh").answers([real_file("hh/harmless_base_test.jsonl.gz")], "hh")
    assert len(made) + sum(made.left_out.values()) == 2312
    # As many have a side whose last turn, said by the assistant, is empty: zgrep -cP 'Assistant: ?"[,}]'.
    assert made.left_out == {"a response is empty": 4}
    assert all(row["prompt"][-1]["role"] == "user" for row in made.rows)
