"""Prompts that are given to a finished run, as messages."""

from __future__ import annotations

import json

from llm.data.written_pairs import Messages, turns
from sim.errors import InputError, require_whole
from sim.files.conversations import conversation_text, messages_in


def messages_of(text: str) -> Messages:
    """A list of messages as JSON, or a text as one turn of the user (of a transcript, turn by turn)."""
    require_whole(text, {"field": "prompt"})
    found = messages_in(text)
    if found is not None:
        told: Messages = json.loads(conversation_text(found, {"field": "prompt"}))
        return told
    if not (made := turns(text)):
        raise InputError("the prompt is empty", field="prompt", fix="a chat begins with a user's turn")
    return made
