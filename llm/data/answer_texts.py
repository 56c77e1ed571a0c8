"""Which answers of a table are texts that a language model can be trained on."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files.conversations import is_conversation
from sim.files.pair_table import PairTable
from sim.files.preference_files import place_of


def require_text(table: PairTable) -> None:
    """Refuse what is neither text nor a conversation: numbers, features, lists that were turned into text, empty
    responses."""
    if table.kind in ("vector", "number"):
        problem, fix = {
            "vector": ("is a list of numbers", "give the text"),
            "number": (f"is a number ({table.items[table.chosen[0]]}), perhaps a position in a list of answers",
                       "give the text of the answer"),
        }[table.kind]  # fmt: skip
        raise InputError(problem, field="chosen", fix=fix, **place_of(table, 0))
    listed = {j for j, text in enumerate(table.prompts) if table.prompt_kind == "text" and _holds_messages(text)}
    for row in (row for row, prompt in enumerate(table.prompt.tolist()) if prompt in listed):
        raise InputError("is a list of messages written as text", field="prompt", fix="write the list itself, as JSON",
                         **place_of(table, row))  # fmt: skip
    if table.kind == "conversation":
        return
    empty = {j for j, text in enumerate(table.items) if not text.strip()}
    listed = {j for j, text in enumerate(table.items) if _is_list(text)}
    columns = (("chosen", table.chosen), ("rejected", table.rejected))
    shown = [(field, row, item) for field, column in columns for row, item in enumerate(column.tolist())]
    if table.answers != "pairs":
        shown = [("responses", row, item) for row, item in zip(*map(np.ndarray.tolist, table.shown()), strict=True)]
    for field, row, item in shown:
        if item in empty:
            raise InputError("the response is empty", field=field, fix="drop the row", **place_of(table, row))
        if item in listed:
            raise InputError(
                    f"is a list written as text ({table.items[item][:40]}...)", field=field,
                    fix="write the response itself, not str(list)", **place_of(table, row),
                )  # fmt: skip


def _is_list(text: str) -> bool:
    return _parsed(text) is not None


def _holds_messages(text: str) -> bool:
    found = _parsed(text)
    return is_conversation(found) and all("role" in message for message in found)


def _parsed(text: str) -> Any:
    """The list or mapping that somebody turned into a text ("['a', 'b']"); None for any other text."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")) and not (text.startswith("{") and text.endswith("}")):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, list | dict) else None
    return None


def are_transcripts(table: PairTable) -> bool:
    """Whether the answers are whole transcripts: every one begins with its prompt, and goes on after it.

    One that happens to begin with its prompt's letters ("The", "Then it rained.") is an answer like the others.
    """
    rows, given = table.shown()
    asked = table.prompt[rows]
    if (table.kind == "conversation") != (table.prompt_kind == "conversation"):
        return False
    prompts: Sequence[Any] = table.prompts
    answers: Sequence[Any] = table.items
    if table.kind == "conversation":
        prompts, answers = ([json.loads(label) for label in labels] for labels in (prompts, answers))
    return all(
        len(answers[r]) > len(prompts[p]) > 0 and answers[r][: len(prompts[p])] == prompts[p]
        for p, r in set(zip(asked.tolist(), given.tolist(), strict=True))
    )
