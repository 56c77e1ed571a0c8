"""Prompts that are given to a finished run, as messages, and what the chat template is given beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from llm.data.written_pairs import Messages, turns
from sim.errors import InputError, require_whole
from sim.files.conversations import RENDERING, conversation_text, messages_in, rendering_of
from sim.files.pair_table import PairTable
from sim.preferences import BoolArray


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


def common_rendering(table: PairTable, rows: BoolArray) -> dict[str, Any] | None:
    """`tools` and `chat_template_kwargs` as all of these rows have them, {} where none has any; None where rows
    differ."""
    if table.rendering is None:
        return {}
    told = [json.loads(table.rendering[number] or "{}") for number in np.unique(table.prompt[rows]).tolist()]
    return told[0] if all(own == told[0] for own in told) else None


def asked_rendering(common: Mapping[str, Any] | None, given: Mapping[str, str | None]) -> dict[str, Any]:
    """What prompts are asked with: what is given as JSON by name, and of the rest what the training answers had in
    common.  InputError where they had nothing in common, and nothing is given."""
    said = {name: text for name, text in given.items() if text is not None}
    if common is None and not said:
        raise InputError(
            "the training answers differ in tools or chat_template_kwargs, which the chat template is given",
            field="prompt", fix="say which, with --chat-template-kwargs JSON or --tools JSON ({} and [] are none)",
        )  # fmt: skip
    told = rendering_of(said, lambda name: {"field": f"--{name.replace('_', '-')}"})
    kept = {name: own for name, own in (common or {}).items() if name not in said}
    found = {**kept, **json.loads(told or "{}")}
    return {name: found[name] for name in RENDERING if name in found}
