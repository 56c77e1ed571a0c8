"""The answers that a plan is made for: those of a file, counted, where nothing else was said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm.planning.plan_settings import PlanSettings
from sim.errors import InputError
from sim.files.preference_files import read_pairs

# A token is about four bytes of English.
_BYTES = 4


@dataclass(frozen=True)
class PlannedAnswers:
    """pairs: answers to train on.  distinct: different (prompt, response) that they are about: what is scored.  alike:
    what is left of the pairs where those answered alike are merged, whoever answered; None where nothing is known of
    it.  prompt_tokens, response_tokens: mean lengths."""

    pairs: int
    distinct: int
    alike: int | None
    prompt_tokens: int
    response_tokens: int


def planned_answers(settings: PlanSettings) -> PlannedAnswers:
    """What was said of the answers; of what was not said, what `settings.data` holds, or the defaults.

    Where the number of pairs was said, how many of the file's pairs are alike or about the same says nothing of them.
    """
    counted = None if settings.data is None else count_answers(settings.data)
    default = counted or PlannedAnswers(6_000, 12_000, None, 20, 40)
    pairs = settings.pairs or default.pairs
    of_file = counted if settings.pairs is None else None
    alike = settings.alike or (None if of_file is None else of_file.alike)
    distinct = settings.distinct or (2 * pairs if of_file is None else of_file.distinct)
    for name, value, most in (("alike", alike or 1, pairs), ("distinct", distinct, 2 * pairs)):
        if not 1 <= value <= most:
            raise InputError(f"{name} must lie in 1 to {most}, there are {pairs} pairs (got {value})", field=name)
    return PlannedAnswers(
        pairs, distinct, alike, settings.prompt_tokens or default.prompt_tokens,
        settings.response_tokens or default.response_tokens,
    )  # fmt: skip


def count_answers(path: str) -> PlannedAnswers:
    """Of a preference file; of one that says which answers are to train on, of those."""
    table = read_pairs(path).require_pairs("training")
    if table.split is not None and table.rows_of("train").any():
        table = table.select(table.rows_of("train"))
    sizes = np.array([len(text.encode()) for text in table.items])
    prompts = np.array([len(text.encode()) for text in table.prompts])
    sides = np.concatenate([table.chosen, table.rejected])
    about = np.stack([np.concatenate([table.prompt, table.prompt]), sides])
    return PlannedAnswers(
        pairs=len(table),
        distinct=np.unique(about, axis=1).shape[1],
        alike=np.unique(np.stack([table.prompt, table.chosen, table.rejected]), axis=1).shape[1],
        prompt_tokens=max(1, round(prompts[table.prompt].mean() / _BYTES)),
        response_tokens=max(1, round(sizes[sides].mean() / _BYTES)),
    )
