"""Candidate responses to choose among: a prompt and a list of responses a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.files.answer_sources import read_row_set
from sim.files.conversations import conversation_text, is_conversation


@dataclass(frozen=True)
class Candidates:
    """prompts: texts or lists of messages.  responses: of each the candidates, texts or lists of messages."""

    prompts: tuple[Any, ...]
    responses: tuple[tuple[Any, ...], ...]
    source: str

    def __len__(self) -> int:
        return len(self.prompts)


def read_candidates(path: str | Path) -> Candidates:
    """Parquet, JSONL or CSV with columns `prompt` and `responses` (in CSV a JSON list).

    Errors: InputError with file, row and field.
    """
    found = read_row_set(path)
    return candidates_of(found.rows, found.where, str(path))


def candidates_of(rows: Sequence[Mapping[str, Any]], where: Any = None, source: str = "candidates") -> Candidates:
    """The same from mappings; where: the place of a row number (from 0), for messages."""
    prompts, responses = [], []
    for number, row in enumerate(rows):
        place = {"file": source, "row": number + 1} if where is None else where(number)
        prompts.append(_text(row.get("prompt", ""), {**place, "field": "prompt"}, empty=True))
        responses.append(_responses(row.get("responses"), {**place, "field": "responses"}))
    if not prompts:
        raise InputError("holds no candidates", file=source, fix="give rows with prompt and responses")
    return Candidates(tuple(prompts), tuple(responses), source)


def _responses(value: Any, where: Mapping[str, Any]) -> tuple[Any, ...]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InputError("is no list of responses", fix="write a JSON list", **where) from error
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) < 2:
        came = "nothing" if value is None else f"{len(value)}" if isinstance(value, list) else type(value).__name__
        raise InputError(f"expected a list of two responses or more, got {came}", fix="give the candidates", **where)
    return tuple(_text(one, where, empty=False) for one in value)


def _text(value: Any, where: Mapping[str, Any], *, empty: bool) -> Any:
    if is_conversation(value):
        return json.loads(conversation_text(value, dict(where)))
    if not isinstance(value, str) or (not empty and not value.strip()):
        raise InputError("expected a text or a list of messages", fix="fill it in", **where)
    return value
