"""Items that are responses to their prompts: what a reward r(x, y) is of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from llm.data.answer_texts import require_text
from llm.data.transcripts import with_own_prompts
from llm.data.written_pairs import PairWriter, WrittenPair
from sim.errors import InputError
from sim.files.atomic import Json
from sim.files.pair_table import PairTable
from sim.preferences import IntArray


def answered(table: PairTable, chat: bool = False) -> PairTable:
    """The same answers about items that are pairs of prompt and response, each a JSON object (`item_label`).

    A response under two prompts is two items.  Prompt and response come apart as `llm train` has it (`PairWriter`):
    texts, or messages where they are conversations or `chat` makes them so.
    Errors: InputError where the items are no texts, or stand for none of the responses, or are graded alone.
    """
    if table.kind == "answered":
        return table
    if table.grade is not None:
        raise InputError(
            "responses are graded alone, which compares none with another", file=table.source, field="score",
            fix="give several responses of one prompt in a row (responses, scores)",
        )  # fmt: skip
    if table.offered is not None and table.offered.none >= 0:
        raise InputError(
            "somebody took none of the responses, which a reward of responses does not explain", file=table.source,
            field="choice", fix="leave these choices out",
        )  # fmt: skip
    require_text(table)
    table, _ = with_own_prompts(table, chat)
    n_items = len(table.items)
    parts = [table.prompt * n_items + table.chosen, table.prompt * n_items + table.rejected]
    if table.offered is not None:
        own = table.offered
        asked = table.prompt[own.answer]
        parts += [asked * n_items + own.taken, np.repeat(asked, np.diff(own.starts)) * n_items + own.others]
    codes, place = np.unique(np.concatenate(parts), return_inverse=True)
    found = np.split(place.ravel(), np.cumsum([len(part) for part in parts])[:-1])
    labels = _labels(table, codes, PairWriter(table, chat), found)
    changed = replace(
        table, items=labels, features=None, feature_names=(), chosen=found[0], rejected=found[1], kind="answered"
    )
    if table.offered is None:
        return changed
    return replace(changed, offered=replace(table.offered, taken=found[2], others=found[3]))


def _labels(table: PairTable, codes: IntArray, writer: PairWriter, found: list[IntArray]) -> tuple[str, ...]:
    n_items = len(table.items)
    labels: list[str] = [""] * len(codes)
    if table.offered is not None:
        row_of = dict(zip(table.prompt[::-1].tolist(), range(len(table) - 1, -1, -1), strict=True))
        for number, code in enumerate(codes.tolist()):
            written = writer.alone(row_of[code // n_items], code % n_items)
            labels[number] = item_label(written.prompt, written.chosen, written.options)
        return tuple(labels)
    for row, numbers in enumerate(zip(found[0].tolist(), found[1].tolist(), strict=True)):
        if not (labels[numbers[0]] and labels[numbers[1]]):
            pair: WrittenPair = writer.pair(row)
            for number, response in zip(numbers, (pair.chosen, pair.rejected), strict=True):
                labels[number] = labels[number] or item_label(pair.prompt, response, pair.options)
    return tuple(labels)


def item_label(prompt: Any, response: Any, options: Mapping[str, Any] | None = None) -> str:
    """{"prompt", "response"}, both texts or both lists of messages, and "options" where a template is given more."""
    label: dict[str, Json] = {"prompt": prompt, "response": response}
    given = {name: value for name, value in (options or {}).items() if value is not None}
    if given:
        label["options"] = given
    return json.dumps(label, ensure_ascii=False, sort_keys=True)
