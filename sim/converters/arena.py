"""Chatbot Arena and LMArena: two conversations, and which of them the person who led them voted for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sim.converters.answers import EVERYBODY, Item, LeftOut, Messages, Noted, divided, each, messages, pair_of
from sim.converters.converter import Converter
from sim.converters.records import Record
from sim.errors import InputError

_WINNERS = {"model_a": 0, "model_b": 1, "tie": -1, "tie (bothbad)": -1, "both_bad": -1}
_BAD = ("tie (bothbad)", "both_bad")
_VOTES = ("winner_model_a", "winner_model_b", "winner_tie")


def rows(files: Sequence[Path], both_bad: str, annotator: str) -> Iterator[Item]:
    """A pair a vote: what both conversations begin with is the prompt, the rest of each is a response.

    both_bad: tie, or leave_out.  annotator: the column that names the annotator; "": `judge` where there is one.
    """
    if both_bad not in ("tie", "leave_out"):
        raise InputError(f"both_bad: expected tie or leave_out, got '{both_bad}'", fix="use one of them")

    def answers(record: Record) -> Iterator[Item]:
        bad = record.value("winner") in _BAD
        if bad and both_bad == "leave_out":
            yield LeftOut("votes that both are bad")
            return
        first, second = _conversations(record)
        prompt, of_a, of_b = divided(first, second)
        if not prompt:
            yield LeftOut("the two conversations begin differently")
            return
        if bad:
            yield Noted("votes that both are bad, kept as ties")
        who = annotator or "judge"
        named = bool(annotator) or record.value("judge") is not None
        yield pair_of(of_a, of_b, _winner(record), prompt=prompt, annotator_id=record.name(who) if named else EVERYBODY)

    yield from each(files, answers, ("model_a", "model_b"))


def _winner(record: Record) -> int:
    if "winner" in record.fields:
        return int(record.one_of("winner", _WINNERS))
    votes = [record.number(name) for name in _VOTES]
    if sorted(votes) != [0, 0, 1]:
        raise record.bad(_VOTES[0], f"expected one vote of three, got {votes}")
    return (0, 1, -1)[votes.index(1)]


def _conversations(record: Record) -> tuple[Messages, Messages]:
    """Two lists of messages; the set of 55,000 votes has a list of prompts and two of responses."""
    if "conversation_a" in record.fields:
        first, second = (messages(record, name, record.value(name)) for name in ("conversation_a", "conversation_b"))
        return first, second
    asked = record.list("prompt")
    found = []
    for name in ("response_a", "response_b"):
        said = record.list(name)
        if len(said) != len(asked):
            raise record.bad(name, f"expected {len(asked)} responses, one a prompt, got {len(said)}")
        turns = [turn for pair in zip(asked, said, strict=True) for turn in pair]
        listed = [{"role": ("user", "assistant")[j % 2], "content": turn} for j, turn in enumerate(turns)]
        found.append(messages(record, name, listed))
    return found[0], found[1]


CONVERTER = Converter(
    rows,
    schema="Chatbot Arena votes: model_a, model_b, winner (model_a, model_b, tie, 'tie (bothbad)' or both_bad), "
    "conversation_a and conversation_b (lists of role and content), and judge where people are told apart; or "
    "prompt, response_a, response_b, winner_model_a, winner_model_b, winner_tie",
    licence="chatbot_arena_conversations: cc, as the head of its card says (its text says more); "
    "arena-human-preference-55k: Apache 2.0; for the others see their cards",
    loses="which models answered, language, time and moderation flags; images (rows with them are bad); both_bad is a "
    "tie; which turn the vote was cast at",
    options={"both_bad": "tie", "annotator": ""},
)
