"""DICES: people of many backgrounds say whether an answer of a chatbot is safe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sim.converters.answers import Item, LeftOut, each
from sim.converters.converter import Converter
from sim.converters.people import levels
from sim.converters.records import Record

# The question is whether it is unsafe: a high score is a good answer, as everywhere.
_SAFE = {"No": 1.0, "Unsure": 0.5, "Yes": 0.0}
_PERSON = ("rater_gender", "rater_race", "rater_age", "rater_education", "rater_locale")


def rows(files: Sequence[Path], question: str) -> Iterator[Item]:
    """A rating a rater and conversation: 1 safe, 0.5 unsure, 0 unsafe.  question: the column that is read."""

    def answers(record: Record) -> Iterator[Item]:
        if record.value(question) is None:
            yield LeftOut(f"rows without an answer to {question}")
            return
        yield {
            "prompt": record.text("context"), "response": record.text("response"),
            "score": record.one_of(question, _SAFE), "annotator_id": record.name("rater_id"),
            "annotator_features": levels(record, _PERSON),
        }  # fmt: skip

    yield from each(files, answers, ("rater_id", "context", "response", question))


CONVERTER = Converter(
    rows,
    schema="DICES-350 or DICES-990: rater_id, context, response, Q_overall (Yes: unsafe, Unsure, No), rater_gender, "
    "rater_race, rater_age, rater_education and rater_locale where they are given",
    licence="CC BY 4.0",
    loses="the other questions, degree_of_harm, harm_type, safety_gold, answer times and phases; context stays a text "
    "with its speakers in it",
    options={"question": "Q_overall"},
)
