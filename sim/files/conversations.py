"""Conversations in files: lists of messages with a role and a content, kept as one text that JSON gives back."""

from __future__ import annotations

import json
from typing import Any

from sim.errors import InputError, short

ROLES = ("system", "developer", "user", "assistant", "tool")


def is_conversation(value: Any) -> bool:
    """Whether it is a list of mappings, which may be a conversation and is nothing else."""
    return isinstance(value, list) and bool(value) and all(isinstance(message, dict) for message in value)


def conversation_text(messages: Any, where: dict[str, Any]) -> str:
    """The messages (a list of mappings) as JSON, fields of one order: equal conversations are equal texts.

    Errors: InputError where a message has no role, a role nobody knows, or no content.
    """
    for number, message in enumerate(messages, start=1):
        if message.get("role") not in ROLES:
            raise InputError(
                f"message {number} has the role {short(message.get('role'))}",
                fix=f"use one of {', '.join(ROLES)}",
                **where,
            )
        if message.get("content") is None and not message.get("tool_calls"):
            raise InputError(f"message {number} has no content", fix="fill it in or drop the row", **where)
    told = [{name: value for name, value in sorted(message.items()) if value is not None} for message in messages]
    return json.dumps(told, ensure_ascii=False)
