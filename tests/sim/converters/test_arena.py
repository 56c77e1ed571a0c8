"""Chatbot Arena: votes with ties, turns and roles kept."""

import json

import pytest
from converting import made_of, printed, put, same_in_every_form

from sim.errors import InputError


def vote(winner, judge="arena_user_0", turns=1, **more):
    def talk(first):
        listed = []
        for turn in range(turns):
            listed += [{"role": "user", "content": f"question {turn}"},
                       {"role": "assistant", "content": f"{first} {turn}"}]  # fmt: skip
        return listed

    return {
        "question_id": "e473", "model_a": "m3", "model_b": "m6", "winner": winner, "judge": judge,
        "conversation_a": talk("short"), "conversation_b": talk("long"), "turn": turns, "anony": True,
        "language": "English", "tstamp": 1.0, **more,
    }  # fmt: skip


def test_conversations_that_say_nothing_are_left_out(tmp_path):
    silent, asked = vote("model_a"), vote("model_b", turns=2)
    silent["conversation_a"][1]["content"] = ""
    # Something was said in one of two turns.
    asked["conversation_b"][3]["content"] = ""
    made = made_of("arena", tmp_path, [silent, asked])
    assert (len(made), made.left_out) == (1, {"a response is empty": 1})


def test_what_is_left_out_is_not_counted_as_kept(tmp_path):
    """A tie of two conversations that are the same was said to be kept as one."""
    same = vote("both_bad", conversation_a=vote("tie")["conversation_b"])
    silent = vote("both_bad")
    silent["conversation_b"][1]["content"] = ""
    odd = vote("both_bad", judge=[1])
    made = made_of("arena", tmp_path, [same, silent, odd, vote("both_bad")], skip_bad=True)
    assert (len(made), made.noted) == (1, {"votes that both are bad, kept as ties": 1})
    assert made.left_out == {
        "both responses are the same": 1, "a response is empty": 1, "bad row, field 'judge'": 1}  # fmt: skip


def test_row_by_row(tmp_path):
    rows = [vote("model_a"), vote("model_b", "arena_user_1"), vote("tie"), vote("tie (bothbad)")]
    made = made_of("arena", tmp_path, rows)
    short, long = ([{"role": "assistant", "content": f"{text} 0"}] for text in ("short", "long"))
    prompt = [{"role": "user", "content": "question 0"}]
    assert made.kind == "pairs"
    assert [(r["chosen"], r["rejected"], r["tie"], r["annotator_id"]) for r in made.rows] == [
        (short, long, False, "arena_user_0"), (long, short, False, "arena_user_1"),
        (short, long, True, "arena_user_0"), (short, long, True, "arena_user_0"),
    ]  # fmt: skip
    assert all(r["prompt"] == prompt for r in made.rows)
    assert made.noted == {"votes that both are bad, kept as ties": 1}
    assert made.notes == ()
    assert same_in_every_form("arena", tmp_path, rows)


def test_turns_and_roles_are_kept(tmp_path):
    row = made_of("arena", tmp_path, [vote("model_a", turns=2)]).rows[0]
    assert row["prompt"] == [{"role": "user", "content": "question 0"}]
    assert row["chosen"] == [
        {"role": "assistant", "content": "short 0"}, {"role": "user", "content": "question 1"},
        {"role": "assistant", "content": "short 1"},
    ]  # fmt: skip


def test_votes_that_both_are_bad_can_be_left_out(tmp_path):
    made = made_of("arena", tmp_path, [vote("model_a"), vote("both_bad")], both_bad="leave_out")
    assert (len(made), made.left_out) == (1, {"votes that both are bad": 1})
    with pytest.raises(InputError, match="both_bad: expected tie or leave_out, got 'never'"):
        made_of("arena", tmp_path, [vote("tie")], both_bad="never")


def test_the_set_of_55000(tmp_path):
    row = {
        "id": 1, "model_a": "x", "model_b": "y", "prompt": json.dumps(["one", "two"]),
        "response_a": json.dumps(["a1", "a2"]), "response_b": json.dumps(["a1", "b2"]),
        "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0,
    }  # fmt: skip
    made = made_of("arena", tmp_path, [row, {**row, "winner_model_b": 0, "winner_tie": 1}], file="train.csv.gz")
    assert [part["content"] for part in made.rows[0]["prompt"]] == ["one", "a1", "two"]
    assert (made.rows[0]["chosen"], made.rows[0]["tie"]) == ([{"role": "assistant", "content": "b2"}], False)
    assert made.rows[1]["tie"]
    assert {r["annotator_id"] for r in made.rows} == {"everybody"}
    assert "only pooled methods make sense" in made.notes[0]


def test_parts_of_text_and_another_annotator(tmp_path):
    parts = [{"role": "user", "content": "q"}, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}]
    row = vote("model_a", evaluation_session_id="s1", conversation_a=parts)
    row["conversation_b"] = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]
    made = made_of("arena", tmp_path, [row], annotator="evaluation_session_id")
    assert (made.rows[0]["annotator_id"], made.rows[0]["chosen"][0]["content"]) == ("s1", "a")


def test_equal_conversations_are_no_comparison(tmp_path):
    row = vote("model_a")
    made = made_of("arena", tmp_path, [row, row | {"conversation_b": row["conversation_a"]}])
    assert (len(made), made.left_out) == (1, {"both responses are the same": 1})


def test_bad_rows_are_named_or_left_out(tmp_path):
    rows = [vote("model_a"), vote("model_c"), vote("tie", conversation_a=[{"content": "no role"}])]
    with pytest.raises(InputError, match=r"rows.jsonl, row 2, field 'winner': expected model_a, .* got 'model_c'"):
        made_of("arena", tmp_path, rows)
    made = made_of("arena", tmp_path, rows, skip_bad=True)
    assert made.left_out == {"bad row, field 'winner'": 1, "bad row, field 'conversation_a'": 1}


def test_licence_losses_and_counts_are_printed(tmp_path):
    file = put(tmp_path, [vote("tie"), vote("tie (bothbad)"), vote("oops")])
    said = printed(tmp_path, "arena", file, "--out", tmp_path / "out.parquet", "--skip-bad")
    for part in ("2 pairs of 1 annotator, 2 of them ties", "left out 1: bad row, field 'winner'",
                 "votes that both are bad, kept as ties: 1", "Apache 2.0", "which models answered"):  # fmt: skip
        assert part in said
