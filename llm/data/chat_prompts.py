"""Prompts that are given to a finished run, as messages."""

from __future__ import annotations

import json
from pathlib import Path

from llm.base.folder_format import read_stamped
from llm.data.data_settings import DataSettings
from llm.data.tokeniser import CHAT_NOTE
from llm.data.written_pairs import Messages, turns
from sim.errors import InputError
from sim.files.conversations import conversation_text, messages_in


def trained_on_conversations(run: str | Path, settings: DataSettings) -> bool:
    """Whether a run's prompts were turns of a conversation, by its settings or by what it noted of its data."""
    path = Path(run) / "run.json"
    notes = read_stamped(path, "run `pluralign llm train` again").get("notes", ()) if path.is_file() else ()
    return settings.chat or CHAT_NOTE in notes


def messages_of(text: str) -> Messages:
    """A list of messages as JSON, or a text as one turn of the user (of a transcript, turn by turn)."""
    found = messages_in(text)
    if found is not None:
        told: Messages = json.loads(conversation_text(found, {"field": "prompt"}))
        return told
    if not (made := turns(text)):
        raise InputError("the prompt is empty", field="prompt", fix="a chat begins with a user's turn")
    return made
