"""Conversations in files: lists of messages with a role and a content, kept as one text that JSON gives back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sim.errors import InputError, require_whole, short
from sim.reading import load_json

ROLES = ("system", "developer", "user", "assistant", "tool")
# Columns that go to a chat template beside the messages.
RENDERING = ("tools", "chat_template_kwargs")


def is_conversation(value: Any) -> bool:
    """Whether it is a list of mappings, which may be a conversation and is nothing else."""
    return isinstance(value, list) and bool(value) and all(isinstance(message, dict) for message in value)


def conversation_text(messages: Any, where: dict[str, Any]) -> str:
    """The messages (a list of mappings) as JSON, fields of one order: equal conversations are equal texts.

    Fields without a value are left out: Arrow gives every message the fields of all.
    Errors: InputError where a message has no role, a role nobody knows, or no content, or holds half a character.
    """
    for number, message in enumerate(messages, start=1):
        if message.get("role") not in ROLES:
            raise InputError(
                f"message {number} has the role {short(message.get('role'))}",
                fix=f"use one of {', '.join(ROLES)}",
                **where,
            )
        content = message.get("content")
        if content is None and not message.get("tool_calls"):
            raise InputError(f"message {number} has no content", fix="fill it in or drop the row", **where)
        if content is not None and not isinstance(content, str) and not is_conversation(content):
            raise InputError(
                f"message {number} has the content {short(content)}",
                fix='give a text, or a list of {"type": "text", "text": ...}', **where,
            )  # fmt: skip
    require_whole(messages, where)
    told = [_filled(dict(sorted(message.items()))) for message in messages]
    return json.dumps(told, ensure_ascii=False)


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _filled(part) for name, part in value.items() if part is not None}
    return [_filled(part) for part in value] if isinstance(value, list) else value


def messages_in(text: str) -> list[dict[str, Any]] | None:
    """The messages that a cell of text holds as JSON; None where it is any other text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found = load_json(text)
    except (ValueError, RecursionError):
        return None
    return found if is_conversation(found) and all("role" in message for message in found) else None


class Forms:
    """Whether the prompts and the answers of a file are conversations: all of a column, or none of it."""

    def __init__(self) -> None:
        self._told: dict[str, bool] = {}

    def text(self, value: Any, column: str, where: dict[str, Any]) -> Any:
        """A conversation as its text, anything else as it is."""
        told = is_conversation(value)
        if self._told.setdefault(column, told) != told:
            here, before = ("a conversation", "none") if told else ("no conversation", "one")
            raise InputError(
                f"is {here}, and {before} in the cells before", fix="give all cells the same form", **where
            )
        if told:
            return conversation_text(value, where)
        if isinstance(value, str):
            require_whole(value, where)
        return value

    def any(self) -> bool:
        return any(self._told.values())

    def conversations(self, column: str) -> bool:
        return self._told.get(column, False)


def rendering_of(row: Mapping[str, Any], at: Any) -> str:
    """What a row gives the chat template beside its messages, as JSON; "" for nothing."""
    found = {}
    for name in RENDERING:
        value = row.get(name)
        if isinstance(value, str):
            try:
                value = load_json(value)
            except ValueError as error:
                raise InputError(
                    f"is not whole JSON ({error})", fix="mend it or drop the column", **at(name)
                ) from error
        if not value:
            continue
        if not isinstance(value, list if name == "tools" else dict):
            expected = "a list of tools" if name == "tools" else "an object name -> value"
            raise InputError(f"expected {expected}, got {short(value)}", fix="mend it or drop it", **at(name))
        require_whole(value, at(name))
        found[name] = _filled(value)
    return json.dumps(found, ensure_ascii=False) if found else ""
