"""OpenAssistant conversations: the replies to a message, ranked by the people who reviewed them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sim.converters.answers import EVERYBODY, Item, LeftOut, Messages, each
from sim.converters.converter import Converter
from sim.converters.records import Record
from sim.errors import InputError
from sim.files.answer_checks import check_answer

_ROLES = {"prompter": "user", "assistant": "assistant"}


def rows(files: Sequence[Path]) -> Iterator[Item]:
    """A ranking a message with two or more ranked replies of the assistant: the thread up to it is the prompt."""
    flat: dict[str, Record] = {}

    def answers(record: Record) -> Iterator[Item]:
        if "prompt" in record.fields:
            yield from _tree(record)
        else:
            yield from _collect(record, flat)

    yield from each(files, answers, ("message_tree_id",))
    children: dict[str, list[Record]] = {}
    for record in flat.values():
        if record.value("parent_id") is not None:
            children.setdefault(record.name("parent_id"), []).append(record)
    for parent, replies in children.items():
        thread = _thread(parent, flat)
        yield LeftOut("messages whose thread is not in the files") if thread is None else _ranking(thread, replies)


def _collect(record: Record, flat: dict[str, Record]) -> Iterator[Item]:
    """Keep a message of a flat file until all are read; yields nothing but an error."""
    own = record.name("message_id")
    record.one_of("role", _ROLES)
    record.text("text")
    if own in flat:
        raise record.bad("message_id", f"message {own} was there before")
    flat[own] = record
    yield from ()


def _thread(own: str, flat: dict[str, Record]) -> list[Record] | None:
    """The messages from the first to this one; None where one is missing, or answers itself."""
    thread: list[Record] = []
    at: str | None = own
    while at is not None:
        record = flat.get(at)
        if record is None or len(thread) > len(flat):
            return None
        thread.append(record)
        at = record.name("parent_id") if record.value("parent_id") is not None else None
    return thread[::-1]


def _tree(record: Record) -> Iterator[Item]:
    """The rankings of a whole tree: a message holds its replies."""
    waiting: list[list[Record]] = [[record.inner("prompt", 0, record.value("prompt"))]]
    while waiting:
        thread = waiting.pop(0)
        replies = [
            thread[-1].inner("replies", number, reply)
            for number, reply in enumerate(thread[-1].list("replies", least=0) if thread[-1].value("replies") else [])
        ]
        if replies:
            yield _ranking(thread, replies)
        waiting += [[*thread, reply] for reply in replies]


def _ranking(thread: Sequence[Record], replies: Sequence[Record]) -> Item:
    """Replies that are ranked, and those beside them that are not; the set counts ranks from 0."""
    try:
        ranked = [reply for reply in replies if reply.value("rank") is not None]
        if len(ranked) < 2:
            return LeftOut("messages with fewer than two ranked replies")
        if {reply.value("role") for reply in replies} != {"assistant"}:
            return LeftOut("rankings of what people asked")
        prompt: Messages = [{"role": part.one_of("role", _ROLES), "content": part.text("text")} for part in thread]
        row: dict[str, Any] = {
            "prompt": prompt, "responses": [reply.text("text") for reply in replies],
            "ranking": [_rank(reply) for reply in replies], "annotator_id": EVERYBODY,
        }  # fmt: skip
        if "" in row["responses"]:
            return LeftOut("a response is empty")
        check_answer(row, replies[0].at())
    except InputError as error:
        return error
    return row


def _rank(reply: Record) -> int | None:
    if reply.value("rank") is None:
        return None
    rank = reply.number("rank")
    if not rank.is_integer() or rank < 0:
        raise reply.bad("rank", f"expected a whole number from 0, got {rank:g}")
    return int(rank) + 1


CONVERTER = Converter(
    rows,
    schema="OpenAssistant messages (message_id, parent_id, message_tree_id, role prompter or assistant, text, rank) of "
    "all splits together, or its trees (message_tree_id, prompt with replies in replies)",
    licence="Apache 2.0",
    loses="a rank is what several reviewers agreed on, who are not published; labels, languages, review results, and "
    "the rankings of what people asked",
)
