"""Community Alignment: people choose one of four responses, turn by turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sim.converters.answers import Item, LeftOut, Messages, each
from sim.converters.converter import Converter
from sim.converters.people import levels
from sim.converters.records import Record
from sim.errors import InputError

_TURNS = ("first", "second", "third", "fourth")
_LETTERS = "abcd"
_CHOICES = {text: j for j, letter in enumerate(_LETTERS) for text in (letter, f"response_{letter}")}
_PERSON = (
    "annotator_age", "annotator_gender", "annotator_education_level", "annotator_political", "annotator_ethnicity",
    "annotator_country",
)  # fmt: skip


def rows(files: Sequence[Path], turns: str) -> Iterator[Item]:
    """A choice among four a turn.  The prompt of a later turn is the conversation so far, with what was chosen.

    turns: all, or first.
    """
    if turns not in ("all", "first"):
        raise InputError(f"turns: expected all or first, got '{turns}'", fix="use one of them")
    asked = _TURNS if turns == "all" else _TURNS[:1]

    def answers(record: Record) -> Iterator[Item]:
        person = {"annotator_id": record.name("annotator_id"), "annotator_features": levels(record, _PERSON)}
        so_far: Messages = []
        whole = True
        for turn in asked:
            if record.value(f"{turn}_turn_prompt") is None:
                whole = False
                continue
            if not whole:
                # What was said in between is not known: the prompt would be another one.
                yield LeftOut("a turn after one without prompt or choice")
                continue
            if record.value(f"{turn}_turn_preferred_response") is None:
                whole = False
                yield LeftOut("a turn without a choice")
                continue
            row = _turn(record, turn, so_far)
            yield {**row, **person}
            so_far = [
                *so_far, {"role": "user", "content": record.text(f"{turn}_turn_prompt")},
                {"role": "assistant", "content": row["responses"][row["choice"]]},
            ]  # fmt: skip

    yield from each(files, answers, ("annotator_id", "first_turn_prompt", "first_turn_preferred_response"))


def _turn(record: Record, turn: str, so_far: Messages) -> dict[str, Any]:
    prompt = record.text(f"{turn}_turn_prompt")
    return {
        "prompt": [*so_far, {"role": "user", "content": prompt}] if so_far else prompt,
        "responses": [record.text(f"{turn}_turn_response_{letter}") for letter in _LETTERS],
        "choice": record.one_of(f"{turn}_turn_preferred_response", _CHOICES),
    }


CONVERTER = Converter(
    rows,
    schema="Community Alignment conversations: annotator_id, and for first, second, third and fourth each "
    "TURN_turn_prompt, TURN_turn_response_a to _d, TURN_turn_preferred_response; annotator_age and the like",
    licence="CC BY 4.0",
    loses="the explanations (TURN_turn_feedback), assigned_lang, and which prompts were given or people's own; "
    "responses keep the '<|end_of_text|>' that some end with",
    options={"turns": "all"},
)
