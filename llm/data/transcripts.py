"""Answers that are transcripts without a prompt ("Human: ... Assistant: ..."): their common beginning becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llm.data.rendered_tokens import common_length
from sim.errors import InputError
from sim.files.pair_table import PairTable
from sim.files.preference_files import place_of
from sim.preferences import BoolArray, IntArray

ANSWERED = "\n\nAssistant:"


def common_transcript(texts: Sequence[str]) -> str:
    """The beginning that transcripts ("Human: ... Assistant: ...") share, through its last "Assistant:"; "" for other
    texts.

    The letters that the answers themselves begin with are no part of it, as they are of TRL's `extract_prompt`.
    """
    first, last = min(texts), max(texts)
    shared = first[: common_length(first, last)]
    end = shared.rfind(ANSWERED) if shared.lstrip().startswith("Human:") else -1
    return shared[: end + len(ANSWERED)] if end > 0 else ""


def with_own_prompts(table: PairTable, chat: bool) -> tuple[PairTable, BoolArray]:
    """(the table, each row without a prompt asked by what its responses have in common; mask of such rows).

    A row's prompt is the common beginning of all its responses, so that one transcript may be two responses: of one row
    its last turn, of another all turns since the two part.  chat: the space after "Assistant:" is the transcript's own.
    Errors: InputError with the row, where nothing is left of a response.
    """
    found = np.zeros(len(table), dtype=np.bool_)
    bare = np.array([not text for text in table.prompts], dtype=np.bool_)[table.prompt]
    offered = table.offered
    texts_only = (table.kind, table.prompt_kind) == ("text", "text") and table.grade is None
    if not texts_only or not bare.any() or (offered is not None and offered.none >= 0):
        return table, found
    row, item = table.shown()
    ends = np.searchsorted(row, np.arange(len(table) + 1)) if offered is not None else None
    rendering = table.rendering or ("",) * len(table.prompts)
    prompts: dict[tuple[str, str], int] = {}
    items: dict[str, int] = {}
    # (row, item of the file) -> item here.
    place: dict[tuple[int, int], int] = {}
    prompt = np.zeros(len(table), dtype=np.int64)
    for j in range(len(table)):
        own = [int(table.chosen[j]), int(table.rejected[j])] if ends is None else item[ends[j] : ends[j + 1]].tolist()
        number = int(table.prompt[j])
        common = common_transcript([table.items[k] for k in own]) if bare[j] else ""
        found[j] = bool(common)
        prompt[j] = prompts.setdefault((common or table.prompts[number], rendering[number]), len(prompts))
        for k in own:
            text = table.items[k][len(common) :]
            if common and not text.strip():
                name = "responses" if ends is not None else "chosen" if k == own[0] else "rejected"
                raise InputError("the response is empty", field=name, fix="drop the row", **place_of(table, j))
            place[j, k] = items.setdefault(text.strip() if common and chat else text, len(items))
    if not found.any():
        return table, found

    def moved(rows: IntArray, old: IntArray) -> IntArray:
        return np.array([place[j, k] for j, k in zip(rows.tolist(), old.tolist(), strict=True)], dtype=np.int64)

    rows = np.arange(len(table))
    if offered is not None:
        of_others = np.repeat(offered.answer, np.diff(offered.starts))
        offered = replace(
            offered, taken=moved(offered.answer, offered.taken), others=moved(of_others, offered.others)
        )  # fmt: skip
    return replace(
        table, items=tuple(items), features=None, feature_names=(), prompts=tuple(text for text, _ in prompts),
        prompt=prompt, rendering=None if table.rendering is None else tuple(told for _, told in prompts),
        chosen=moved(rows, table.chosen), rejected=moved(rows, table.rejected), offered=offered,
    ), found  # fmt: skip
