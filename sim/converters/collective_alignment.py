"""Collective Alignment 1 of OpenAI: people rank four responses, for themselves and for the world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.converters.answers import Item, LeftOut, each, messages, one_by_one
from sim.converters.converter import Converter
from sim.converters.people import levels
from sim.converters.records import Record, files_of, records
from sim.errors import InputError

VIEWS = ("world", "personal")


def rows(files: Sequence[Path], view: str) -> Iterator[Item]:
    """A ranking a person and prompt.  view: world, which everybody was asked for, or personal."""
    if view not in VIEWS:
        raise InputError(f"view: expected world or personal, got '{view}'", fix="use one of them")
    told, bad = _people(files)
    yield from bad

    def answers(record: Record) -> Iterator[Item]:
        prompt = messages(record, "prompt.messages", record.value("prompt.messages"))
        offered = {}
        for number, response in enumerate(record.list("responses", least=2)):
            part = record.inner("responses", number, response)
            offered[part.name("response_index")] = messages(part, "responses.messages", part.value("messages"))

        def answer(assessment: tuple[int, Any]) -> Item:
            part = record.inner("metadata.assessments", *assessment)
            blocks = part.value(f"ranking_blocks.{view}")
            if not blocks:
                return LeftOut(f"assessments without a {view} ranking")
            said = part.inner(f"ranking_blocks.{view}", 0, blocks[0] if isinstance(blocks, list) else blocks)
            who = part.name("annotator_id")
            row: dict[str, Any] = {
                "prompt": prompt, "responses": list(offered.values()),
                "ranking": _ranks(said, tuple(offered)), "annotator_id": who,
            }  # fmt: skip
            return row | {"annotator_features": told[who]} if who in told else row

        yield from one_by_one(enumerate(record.list("metadata.assessments", least=0)), answer)

    yield from each(files, answers, ("prompt", "responses", "metadata"), skip=_is_person)


def _is_person(record: Record) -> bool:
    return record.has("demographics") and not record.has("responses")


def _people(files: Sequence[Path]) -> tuple[dict[str, Mapping[str, float]], list[InputError]]:
    """What annotators.jsonl, where it is among the files, says of each annotator; and its bad rows."""
    told: dict[str, Mapping[str, float]] = {}
    bad = []
    for path in files_of(files):
        for record in records(path):
            # A row that cannot be read at all is told where the answers are read.
            if isinstance(record, InputError) or not _is_person(record):
                break
            try:
                said = Record(record.file, record.row, record.object("demographics"))
                told[record.name("annotator_id")] = levels(
                    said, [name for name, value in said.fields.items() if isinstance(value, str | int | float)]
                )
            except InputError as error:
                bad.append(error)
    return told, bad


def _ranks(said: Record, labels: Sequence[str]) -> list[int | None]:
    """Ranks of the labels in a text such as "B>A=C": 1 best, as many better ones as there are plus 1."""
    ranks: dict[str, int] = {}
    for group in said.text("ranking").split(">"):
        tied = [label.strip() for label in group.split("=")]
        place = len(ranks) + 1
        for label in tied:
            if label not in labels or label in ranks:
                known = ", ".join(labels)
                raise said.bad("ranking", f"expected each of {known} once, got {said.text('ranking')!r}")
            ranks[label] = place
    return [ranks.get(label) for label in labels]


CONVERTER = Converter(
    rows,
    schema="comparisons.jsonl of Collective Alignment 1 (prompt.messages, responses with response_index and messages, "
    "metadata.assessments with annotator_id and ranking_blocks), and annotators.jsonl (annotator_id, demographics) "
    "beside it for the annotators' features; merged_comparisons_annotators.jsonl is not read",
    licence="none is named in the head of the card: read the card (openai/collective-alignment-1)",
    loses="rationales, importance, representativeness, subjectivity, what was called unacceptable, and the ranking of "
    "the other view; of the demographics what is no single answer",
    options={"view": "world"},
)
