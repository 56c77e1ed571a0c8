"""HelpSteer3, the part `preference`: pairs with a preference from -3 to 3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sim.converters.answers import EVERYBODY, Item, LeftOut, each, messages, one_by_one, pair_of
from sim.converters.converter import Converter
from sim.converters.records import Record
from sim.errors import InputError


def rows(files: Sequence[Path], which: str) -> Iterator[Item]:
    """A pair a record; strength 1 to 3, ties kept.

    which: overall, the preference published for the record, or individual, one pair an annotator: nobody is named.
    """
    if which not in ("overall", "individual"):
        raise InputError(f"which: expected overall or individual, got '{which}'", fix="use one of them")

    def answers(record: Record) -> Iterator[Item]:
        prompt = messages(record, "context", record.value("context"))
        first, second = record.text("response1"), record.text("response2")

        def pair(part: Record, field: str) -> Item:
            if part.value(field) is None:
                return LeftOut("no preference is given")
            score = part.number(field)
            if score not in range(-3, 4):
                raise part.bad(field, f"expected a whole number from -3 to 3, got {score:g}")
            preferred = -1 if score == 0 else int(score > 0)
            return pair_of(first, second, preferred, strength=abs(int(score)) or None, prompt=prompt,
                           annotator_id=EVERYBODY)  # fmt: skip

        if which == "overall":
            yield pair(record, "overall_preference")
            return

        def answer(said: tuple[int, Any]) -> Item:
            return pair(record.inner("individual_preference", *said), "score")

        yield from one_by_one(enumerate(record.list("individual_preference", least=0)), answer)

    yield from each(files, answers, ("context", "response1", "response2", "overall_preference"))


CONVERTER = Converter(
    rows,
    schema="HelpSteer3 preference: context (messages), response1, response2, overall_preference (-3 response1 is much "
    "better, 0 neither, 3 response2), individual_preference (a list of objects with score)",
    licence="CC BY 4.0",
    loses="domain, language, the annotators' reasons and feedback; who the annotators are is not published",
    options={"which": "overall"},
)
