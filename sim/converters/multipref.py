"""MultiPref: pairs compared by crowd workers and experts, on four aspects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sim.converters.answers import Item, LeftOut, each, one_by_one, pair_of
from sim.converters.converter import Converter
from sim.converters.records import Record
from sim.errors import InputError

ASPECTS = ("overall", "helpful", "truthful", "harmless")
_SAID = {
    "A-is-clearly-better": (0, 2), "A-is-slightly-better": (0, 1), "Tie": (-1, None),
    "B-is-slightly-better": (1, 1), "B-is-clearly-better": (1, 2),
}  # fmt: skip


def rows(files: Sequence[Path], aspect: str) -> Iterator[Item]:
    """A pair a worker and comparison: strength 1 (slightly) or 2 (clearly), ties kept; group_id normal or expert.

    aspect: overall, helpful, truthful or harmless.
    """
    if aspect not in ASPECTS:
        raise InputError(f"aspect: expected one of {', '.join(ASPECTS)}, got '{aspect}'", fix="use one of them")

    def answers(record: Record) -> Iterator[Item]:
        prompt, first, second = (record.text(name) for name in ("text", "completion_a", "completion_b"))

        def answer(said: tuple[str, int, Any]) -> Item:
            group, number, fields = said
            part = record.inner(f"{group}_worker_annotations", number, fields)
            if part.value(f"{aspect}_pref") is None:
                return LeftOut(f"annotations that say nothing on {aspect}")
            preferred, strength = part.one_of(f"{aspect}_pref", _SAID)
            return pair_of(
                first, second, preferred, strength=strength, prompt=prompt, annotator_id=part.name("evaluator"),
                group_id=group,
            )  # fmt: skip

        said = [
            (group, number, fields)
            for group in ("normal", "expert")
            for number, fields in enumerate(record.list(f"{group}_worker_annotations", least=0))
        ]
        yield from one_by_one(said, answer)

    needs = ("text", "completion_a", "completion_b", "normal_worker_annotations", "expert_worker_annotations")
    yield from each(files, answers, needs)


CONVERTER = Converter(
    rows,
    schema="MultiPref comparisons: text, completion_a, completion_b, normal_worker_annotations and "
    "expert_worker_annotations (lists of evaluator, overall_pref, helpful_pref, truthful_pref, harmless_pref)",
    licence="ODC-BY",
    loses="the other aspects, how confident people were, their reasons, the time they took, which models answered",
    options={"aspect": "overall"},
)
