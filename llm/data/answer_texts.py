"""Which answers of a table are texts that a language model can be trained on."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files.conversations import is_conversation
from sim.files.pair_table import PairTable
from sim.files.preference_files import place_of


def require_text(table: PairTable) -> list[str]:
    """Refuse what is neither text nor a conversation: numbers, features, lists that were turned into text, empty
    responses.  Returns what a reader should know of the rest."""
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
        return []
    empty = {j for j, text in enumerate(table.items) if not text.strip()}
    columns = (("chosen", table.chosen), ("rejected", table.rejected))
    shown = [(field, row, item) for field, column in columns for row, item in enumerate(column.tolist())]
    if table.answers != "pairs":
        shown = [("responses", row, item) for row, item in zip(*map(np.ndarray.tolist, table.shown()), strict=True)]
    parsed = {item: found for item in {item for *_, item in shown} if (found := _parsed(table.items[item])) is not None}
    turned = _turned_into_text(table, parsed, all_are=all(item in parsed for *_, item in shown))
    for field, row, item in shown:
        if item in empty:
            raise InputError("the response is empty", field=field, fix="drop the row", **place_of(table, row))
        if item in turned:
            raise InputError(
                f"is a {turned[item]} written as text ({table.items[item][:40]}...)", field=field,
                fix="write the response itself, not str(list)", **place_of(table, row),
            )  # fmt: skip
    rows = len({row for _, row, item in shown if item in parsed})
    return [f"{rows} rows have responses that are JSON: they are taken as the texts they are"] if rows else []


def _turned_into_text(table: PairTable, parsed: Mapping[int, Any], *, all_are: bool) -> dict[int, str]:
    """Item -> what it is, of those that somebody's program turned into a text; parsed: item -> what its text holds.

    JSON may be what the prompt asked for: it is the response, unless it is a message, or every response of the file
    is a list of texts or of numbers (all_are: whether all hold something).  A list in Python's quotes is str(list).
    """
    found = {}
    all_lists = all_are and all(map(_is_plain_list, parsed.values()))
    all_python = all_are and not any(_is_json(table.items[item]) for item in parsed)
    for item, value in parsed.items():
        if isinstance(value, list):
            if all_lists or _are_messages(value) or not _is_json(table.items[item]):
                found[item] = "list"
        elif all_python or _are_messages([value]):
            found[item] = "mapping"
    return found


def _is_plain_list(value: Any) -> bool:
    """Whether it is a list of texts, or of numbers: several responses in one cell, or features."""
    return isinstance(value, list) and (
        all(isinstance(part, str) for part in value) or all(isinstance(part, int | float) for part in value)
    )


def _are_messages(value: Any) -> bool:
    return is_conversation(value) and all("role" in message and "content" in message for message in value)


def _holds_messages(text: str) -> bool:
    found = _parsed(text)
    return is_conversation(found) and all("role" in message for message in found)


def _parsed(text: str) -> Any:
    """The list or mapping that a text writes out ("['a', 'b']"), in JSON or as Python; None for any other text."""
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


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def are_transcripts(table: PairTable) -> bool:
    """Whether the answers are texts that are whole transcripts: every one begins with its prompt, and goes on after it.

    One that happens to begin with its prompt's letters ("The", "Then it rained.") is an answer like the others.
    """
    if "conversation" in (table.kind, table.prompt_kind):
        return False
    rows, given = table.shown()
    shown = set(zip(table.prompt[rows].tolist(), given.tolist(), strict=True))
    pairs = ((table.prompts[p], table.items[r]) for p, r in shown)
    return all(len(answer) > len(prompt) > 0 and answer.startswith(prompt) for prompt, answer in pairs)
