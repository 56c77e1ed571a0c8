"""Items that are responses to their prompts: what a reward r(x, y) is of."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from llm.data.answer_texts import are_transcripts, require_text
from sim.errors import InputError
from sim.files.atomic import Json
from sim.files.pair_table import NONE_OF_THEM, SCALE, PairTable
from sim.preferences import IntArray


def answered(table: PairTable) -> PairTable:
    """The same answers about items that are pairs of prompt and response, each a JSON object (`item_label`).

    A response under two prompts is two items.  Responses that repeat their prompt, in every row, lose it.  What stands
    for no response (none of those offered, the scale of a grade) stays one item.
    Errors: InputError where the items are no texts.
    """
    if table.kind == "answered":
        return table
    require_text(_without_scale(table))
    n_items = len(table.items)
    special = [number for number, label in enumerate(table.items) if label in (NONE_OF_THEM, SCALE)]
    if NONE_OF_THEM in table.items and table.offered is not None and table.offered.none >= 0:
        raise InputError(
            "somebody took none of the responses, which a reward of responses does not explain", file=table.source,
            field="choice", fix="leave these choices out",
        )  # fmt: skip
    marks = np.array(special if table.grade is not None else [], dtype=np.int64)

    def code(prompt: IntArray, item: IntArray) -> IntArray:
        found = prompt * n_items + item
        return np.where(np.isin(item, marks), -1 - item, found)

    parts = [code(table.prompt, table.chosen), code(table.prompt, table.rejected)]
    if table.offered is not None:
        own = table.offered
        asked = table.prompt[own.answer]
        parts += [code(asked, own.taken), code(np.repeat(asked, np.diff(own.starts)), own.others)]
    codes, place = np.unique(np.concatenate(parts), return_inverse=True)
    found = np.split(place.ravel(), np.cumsum([len(part) for part in parts])[:-1])
    whole = are_transcripts(table)
    labels = tuple(
        table.items[-1 - number] if number < 0 else item_label(table, number // n_items, number % n_items, whole)
        for number in codes.tolist()
    )
    changed = replace(
        table, items=labels, features=None, feature_names=(), chosen=found[0], rejected=found[1], kind="answered"
    )
    if table.offered is None:
        return changed
    return replace(changed, offered=replace(table.offered, taken=found[2], others=found[3]))


def item_label(table: PairTable, prompt: int, item: int, whole: bool) -> str:
    """{"prompt", "response"} with texts or lists of messages, and "beside" where a template is given more."""
    asked: Json = table.prompts[prompt]
    response: Json = table.items[item]
    if table.prompt_kind == "conversation":
        asked = json.loads(table.prompts[prompt])
    if table.kind == "conversation":
        response = json.loads(table.items[item])
    if whole:
        response = response[len(asked) :]
    label: dict[str, Json] = {"prompt": asked, "response": response}
    if table.rendering is not None and table.rendering[prompt]:
        label["beside"] = json.loads(table.rendering[prompt])
    return json.dumps(label, ensure_ascii=False, sort_keys=True)


def _without_scale(table: PairTable) -> PairTable:
    return table if table.grade is None else replace(table, rejected=table.chosen)
