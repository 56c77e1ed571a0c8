"""Which public data set a file is, by its columns: so that a message can name the converter that reads it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

# Columns that only this set has together; a set in several forms stands several times.
_SETS = (
    ("arena", {"model_a", "model_b", "conversation_a", "conversation_b"}),
    ("arena", {"model_a", "model_b", "response_a", "response_b", "winner_model_a"}),
    ("community-alignment", {"first_turn_prompt", "first_turn_preferred_response"}),
    ("multipref", {"completion_a", "completion_b", "normal_worker_annotations"}),
    ("tldr", {"info", "summaries", "choice", "worker"}),
    ("tldr", {"info", "summary", "worker"}),
    ("helpsteer3", {"context", "response1", "response2", "overall_preference"}),
    ("ultrafeedback", {"prompt", "chosen", "rejected", "score_chosen", "score_rejected"}),
    ("ultrafeedback", {"prompt", "chosen", "rejected", "chosen-rating", "rejected-rating"}),
    ("ultrafeedback", {"instruction", "completions", "models"}),
    ("oasst", {"message_id", "parent_id", "message_tree_id", "rank"}),
    ("oasst", {"message_tree_id", "tree_state", "prompt"}),
    ("prism", {"user_id", "conversation_history"}),
    ("prism", {"user_id", "stated_prefs", "lm_usecases"}),
    ("prism", {"user_id", "utterance_id", "interaction_id", "if_chosen"}),
    ("collective-alignment", {"prompt_id", "annotator_id", "ranking_blocks"}),
    ("collective-alignment", {"annotator_id", "demographics"}),
    ("dices", {"rater_id", "item_id", "context", "response"}),
    ("shp", {"history", "human_ref_A", "human_ref_B", "labels"}),
    ("movielens", {"userId", "movieId", "rating"}),
    ("choices", {"id", "choice", "alt"}),
)


def recognise(columns: Collection[str], row: Mapping[str, Any]) -> str | None:
    """The converter for a file with these columns, whose first record is `row`; None: it is no known set."""
    here = set(columns)
    for name, needed in _SETS:
        if needed <= here:
            return name
    metadata = row.get("metadata")
    if {"prompt", "responses"} <= here and isinstance(metadata, Mapping) and "assessments" in metadata:
        return "collective-alignment"
    if {"id", "choice"} <= here and _numbered(here):
        return "choices"
    texts = [row.get(name) for name in ("chosen", "rejected")]
    if here == {"chosen", "rejected"} and all(str(text).lstrip().startswith("Human:") for text in texts):
        return "hh"
    return None


def converter_of(name: str) -> str | None:
    """The converter that alone reads files of this name."""
    plain = name.lower().removesuffix(".gz").removesuffix(".zst")
    return "preflib" if plain.endswith((".soc", ".soi", ".toc", ".toi")) else None


def told_beside(columns: Collection[str]) -> tuple[str, list[str]] | None:
    """The converter of a set whose pairs mean more than their columns `chosen` and `rejected` say, and the columns that
    say it: scores, equal where neither is better."""
    pair = {"chosen", "rejected"}
    for name, needed in _SETS:
        if pair < needed <= set(columns) and "tie" not in columns:
            return name, sorted(needed - pair - {"prompt"})
    return None


def how_to_convert(name: str) -> str:
    """What to type for files that converter `name` reads."""
    files = "FILE" if name != "movielens" else "--ratings ... --movies ..."
    return f"pluralign convert {name} {files} --out ANSWERS"


def _numbered(columns: Collection[str]) -> bool:
    """Whether there are attributes of two alternatives: price1 and price2."""
    return any(re.sub(r"1$", "2", name) in columns for name in columns if name.endswith("1"))


def hint_of(missing: str, aliases: Sequence[str], columns: Collection[str], row: Mapping[str, Any]) -> str:
    """What to do about a file of pairs without the column `missing`."""
    known = recognise(columns, row)
    if known is not None:
        return f"it looks like a set that can be converted: {how_to_convert(known)}"
    # All but the name is taken for a slip; a name that is only like it must hold what a response or a name can be.
    slips = sorted(name for name in columns if not isinstance(row.get(name), bool))
    near = difflib.get_close_matches(missing, slips, n=1, cutoff=0.85) or difflib.get_close_matches(
        missing, [name for name in slips if _may_be(missing, row.get(name))], n=1
    )
    if near:
        return f"rename '{near[0]}'"
    told = f"pluralign convert columns FILE --{missing.removesuffix('_id')} COLUMN ..."
    return f"add it (aliases: {', '.join(aliases)}), or say which it is: {told}"


def _may_be(missing: str, value: Any) -> bool:
    """Whether a column with this value may be the missing one: an index is no response."""
    return missing == "annotator_id" or value is None or isinstance(value, str | list)
