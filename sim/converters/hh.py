"""Anthropic's HH-RLHF: two transcripts, the chosen and the rejected one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sim.converters.answers import EVERYBODY, Item, LeftOut, Messages, divided, each, pair_of
from sim.converters.converter import Converter
from sim.converters.records import Record

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def rows(files: Sequence[Path]) -> Iterator[Item]:
    """A pair a record: what both transcripts begin with is the prompt, the rest of each is a response, in messages."""

    def answers(record: Record) -> Iterator[Item]:
        chosen, rejected = (transcript(record, name) for name in ("chosen", "rejected"))
        prompt, better, worse = divided(chosen, rejected)
        if not prompt:
            yield LeftOut("the two transcripts begin differently")
            return
        yield pair_of(better, worse, 0, prompt=prompt, annotator_id=EVERYBODY)

    yield from each(files, answers, ("chosen", "rejected"))


def transcript(record: Record, field: str) -> Messages:
    """The messages of a text of "\\n\\nHuman: ..." and "\\n\\nAssistant: ..." turns, spaces around them left out.

    Some end in a "\\n\\nHuman:" where nobody has said anything yet: that is no turn.
    """
    before, *turns = _TURN.split(record.text(field))
    if before.strip() or not turns:
        raise record.bad(field, "expected a transcript that begins with '\\n\\nHuman:'")
    pairs = zip(turns[::2], turns[1::2], strict=True)
    found = [{"role": _ROLES[role], "content": said.strip()} for role, said in pairs]
    while len(found) > 1 and found[-1] == {"role": "user", "content": ""}:
        found.pop()
    return found


CONVERTER = Converter(
    rows,
    schema="HH-RLHF: chosen and rejected, each a transcript of '\\n\\nHuman:' and '\\n\\nAssistant:' turns",
    licence="MIT",
    loses="nothing of the texts but the spaces around each turn and a last 'Human:' without words; who answered is not "
    "published",
)
