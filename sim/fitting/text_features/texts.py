"""The text of an item, and the text a reader is shown."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sim.errors import InputError
from sim.files.conversations import is_conversation
from sim.files.pair_table import ItemKind, PairTable
from sim.printable import printable

_SHOWN = 100


def require_texts(table: PairTable, features: str) -> None:
    """Refuse items that are numbers or vectors: numbers that stand for items say nothing of them."""
    if table.kind in ("number", "vector"):
        came = {"number": "numbers", "vector": "lists of numbers"}[table.kind]
        raise InputError(
            f"features: {features} are made of texts, and the answers here are {came}", file=table.source,
            field="chosen", fix="give the responses as texts, or fit the file's own columns (features='columns')",
        )  # fmt: skip


def response_texts(labels: Iterable[str], kind: ItemKind) -> list[str]:
    """The text of each item.

    The response alone is the item, whatever it answers: the same response under two prompts is one item, and what two
    responses owe to their common prompt would for the most part cancel in the difference of their features. Of a
    conversation that is what follows the last turn of the user (all of it, where nothing does).
    """
    return [_of_conversation(label) if kind == "conversation" else label for label in labels]


def readable_texts(labels: Iterable[str], kind: ItemKind) -> list[str]:
    """The same for a reader: of a prompt with its response the response."""
    return [_of_answered(label) for label in labels] if kind == "answered" else response_texts(labels, kind)


def _of_answered(label: str) -> str:
    response = json.loads(label)["response"]
    return response if isinstance(response, str) else "\n".join(map(_content, response))


def _of_conversation(label: str) -> str:
    try:
        messages = json.loads(label)
    except ValueError:
        return label
    if not is_conversation(messages):
        return label
    last = max((number for number, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    return "\n".join(_content(message) for message in (messages[last + 1 :] or messages))


def _content(message: dict[str, object]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def shown_text(text: str, most: int = _SHOWN) -> str:
    """One line of at most `most` characters, which no terminal obeys."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 3].rstrip() + "..."
