"""OpenAssistant: rankings of sibling replies, from messages and from trees."""

import pytest
from converting import made_of, put, same_in_every_form

from sim.converters.converter import find_converter
from sim.errors import InputError


def message(own, parent, role, text, rank=None, **more):
    return {"message_id": own, "parent_id": parent, "user_id": f"u{own}", "message_tree_id": "m", "role": role,
            "text": text, "rank": rank, "lang": "en", **more}  # fmt: skip


FLAT = [
    message("m", None, "prompter", "q"),
    message("a", "m", "assistant", "second", 1),
    message("b", "m", "assistant", "first", 0),
    message("c", "m", "assistant", "unranked"),
    message("d", "b", "prompter", "thanks", 0),
    message("e", "b", "prompter", "more", 1),
    message("f", "e", "assistant", "x", 2),
    message("g", "e", "assistant", "y", 0),
]


def tree(own="m"):
    at = next(row for row in FLAT if row["message_id"] == own)
    return {key: at[key] for key in ("message_id", "parent_id", "role", "text", "rank")} | {
        "replies": [tree(row["message_id"]) for row in FLAT if row["parent_id"] == own]
    }


def test_row_by_row(tmp_path):
    made = made_of("oasst", tmp_path, FLAT)
    assert [(r["responses"], r["ranking"]) for r in made.rows] == [
        (["second", "first", "unranked"], [2, 1, None]), (["x", "y"], [3, 1])]  # fmt: skip
    assert made.rows[1]["prompt"] == [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": "first"},
        {"role": "user", "content": "more"},
    ]  # fmt: skip
    assert made.left_out == {"rankings of what people asked": 1}
    assert made.annotators == ("everybody",)
    assert same_in_every_form("oasst", tmp_path, FLAT)


def test_trees_hold_the_same(tmp_path):
    rows = [{"message_tree_id": "m", "tree_state": "ready_for_export", "prompt": tree()}]
    assert made_of("oasst", tmp_path, rows, file="trees.jsonl.gz").rows == made_of("oasst", tmp_path, FLAT).rows


def test_files_are_read_together(tmp_path):
    files = [put(tmp_path, FLAT[4:], "b.jsonl"), put(tmp_path, FLAT[:4], "a.jsonl")]
    assert len(find_converter("oasst").answers(files, "oasst")) == 2
    alone = find_converter("oasst").answers([put(tmp_path, [*FLAT[:4], FLAT[6], FLAT[7]], "c.jsonl")], "oasst")
    assert (len(alone), alone.left_out) == (1, {"messages whose thread is not in the files": 1})


def test_bad_rows_are_named(tmp_path):
    with pytest.raises(InputError, match="row 2, field 'role': expected prompter, assistant, got 'system'"):
        made_of("oasst", tmp_path, [FLAT[0], message("z", "m", "system", "t")])
    with pytest.raises(InputError, match="row 2, field 'message_id': message m was there before"):
        made_of("oasst", tmp_path, [FLAT[0], FLAT[0]])
    with pytest.raises(InputError, match="row 2, field 'rank': expected a whole number from 0"):
        made_of("oasst", tmp_path, [FLAT[0], message("z", "m", "assistant", "t", -1), *FLAT[2:4]])
    loop = [message("p", "q", "prompter", "t"), message("q", "p", "assistant", "t", 0)]
    assert made_of("oasst", tmp_path, [*FLAT, *loop]).left_out["messages whose thread is not in the files"] == 2


def test_licence(tmp_path):
    assert find_converter("oasst").licence == "Apache 2.0"
    assert "several reviewers" in find_converter("oasst").loses
