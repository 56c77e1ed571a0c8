"""Candidate responses to choose among: a prompt and a list of responses a row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError, require_whole
from sim.files.answer_sources import read_row_set
from sim.files.conversations import conversation_text, is_conversation
from sim.files.number_tables import as_number
from sim.preferences import FloatArray
from sim.reading import load_json


@dataclass(frozen=True)
class Candidates:
    """prompts: texts or lists of messages.  responses: of each the candidates, texts or lists of messages.
    ref_logps: of each prompt (A,) log-probabilities of its candidates under a reference policy, or None."""

    prompts: tuple[Any, ...]
    responses: tuple[tuple[Any, ...], ...]
    source: str
    ref_logps: tuple[FloatArray, ...] | None = None

    def __len__(self) -> int:
        return len(self.prompts)


def read_candidates(path: str | Path) -> Candidates:
    """Parquet, JSONL or CSV with columns `prompt` and `responses` (in CSV a JSON list), and `ref_logps` (a list of
    numbers), in all rows or in none.

    Errors: InputError with file, row and field.
    """
    found = read_row_set(path)
    return candidates_of(found.rows, found.where, str(path))


def candidates_of(rows: Sequence[Mapping[str, Any]], where: Any = None, source: str = "candidates") -> Candidates:
    """The same from mappings; where: the place of a row number (from 0), for messages."""
    prompts, responses, reference = [], [], []
    for number, row in enumerate(rows):
        place = {"file": source, "row": number + 1} if where is None else where(number)
        prompts.append(_text(row.get("prompt", ""), {**place, "field": "prompt"}, empty=True))
        responses.append(_responses(row.get("responses"), {**place, "field": "responses"}))
        if row.get("ref_logps") is not None:
            reference.append(_logps(row["ref_logps"], len(responses[-1]), {**place, "field": "ref_logps"}))
        if len(reference) not in (0, len(prompts)):
            here = "has none" if row.get("ref_logps") is None else "has some"
            raise InputError(f"{here}, and other rows are not so", fix="give them in all rows, or in none",
                             **{**place, "field": "ref_logps"})  # fmt: skip
    if not prompts:
        raise InputError("holds no candidates", file=source, fix="give rows with prompt and responses")
    return Candidates(tuple(prompts), tuple(responses), source, tuple(reference) or None)


def _logps(value: Any, n: int, where: Mapping[str, Any]) -> FloatArray:
    if isinstance(value, str):
        try:
            value = load_json(value)
        except ValueError as error:
            raise InputError("is no list of numbers", fix="write a JSON list", **where) from error
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) != n:
        came = len(value) if isinstance(value, list) else type(value).__name__
        raise InputError(f"expected {n} numbers, one a response, got {came}", fix="give one a response", **where)
    found = [as_number(one) for one in value]
    if any(one is None or not np.isfinite(one) for one in found):
        raise InputError("expected finite log-probabilities", fix="leave out responses that cannot be", **where)
    return np.array(found, dtype=np.float64)


def _responses(value: Any, where: Mapping[str, Any]) -> tuple[Any, ...]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = load_json(value)
        except ValueError as error:
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
    require_whole(value, where)
    return value
