"""Which answers of a table are texts that a language model can be trained on."""

from __future__ import annotations

import ast
import json

import numpy as np

from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.files.preference_files import place_of


def require_text(table: PairTable) -> None:
    """Refuse what is no text: numbers, features, messages, lists that were turned into text, empty responses."""
    if table.kind != "text":
        problem, fix = {
            "conversation": ("is a conversation (a list of messages)",
                             "give prompt and answers as texts, as the model's chat template renders them"),
            "vector": ("is a list of numbers", "give the text"),
            "number": (f"is a number ({table.items[table.chosen[0]]}), perhaps a position in a list of answers",
                       "give the text of the answer"),
        }[table.kind]  # fmt: skip
        raise InputError(problem, field="chosen", fix=fix, **place_of(table, 0))
    empty = {j for j, text in enumerate(table.items) if not text.strip()}
    listed = {j for j, text in enumerate(table.items) if _is_list(text)}
    for field, column in (("chosen", table.chosen), ("rejected", table.rejected)):
        for row, item in enumerate(column.tolist()):
            if item in empty:
                raise InputError("the response is empty", field=field, fix="drop the row", **place_of(table, row))
            if item in listed:
                raise InputError(
                    f"is a list written as text ({table.items[item][:40]}...)", field=field,
                    fix="write the response itself, not str(list)", **place_of(table, row),
                )  # fmt: skip


def _is_list(text: str) -> bool:
    """Whether a text is a list or mapping that somebody turned into text: "['a', 'b']"."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")) and not (text.startswith("{") and text.endswith("}")):
        return False
    for parse in (json.loads, ast.literal_eval):
        try:
            return isinstance(parse(text), list | dict)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return False


def are_transcripts(table: PairTable) -> bool:
    """Whether the answers are whole transcripts: every one begins with its prompt, and goes on after it.

    One that happens to begin with its prompt's letters ("The", "Then it rained.") is an answer like the others.
    """
    asked = np.concatenate([table.prompt, table.prompt])
    given = np.concatenate([table.chosen, table.rejected])
    prompts, texts = table.prompts, table.items
    return all(
        prompts[p] != "" and texts[r].startswith(prompts[p]) and len(texts[r]) > len(prompts[p])
        for p, r in set(zip(asked.tolist(), given.tolist(), strict=True))
    )
