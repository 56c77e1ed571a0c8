"""Pairs of a set that nobody knows: which column is which is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sim.converters.answers import EVERYBODY, Item, each, messages, pair_of
from sim.converters.converter import Converter
from sim.converters.records import Record, unpacked
from sim.errors import InputError

_TIES = {True: True, False: False, None: False, "true": True, "True": True, "TRUE": True, "1": True,
         "false": False, "False": False, "FALSE": False, "0": False}  # fmt: skip


def rows(
    files: Sequence[Path], chosen: str, rejected: str, annotator: str, prompt: str, tie: str, strength: str
) -> Iterator[Item]:
    """A pair a record.  Each argument names a column, "" none; without `annotator` one stands for all."""
    for option, column in (("chosen", chosen), ("rejected", rejected)):
        if not column:
            raise InputError(f"{option}: which column holds it must be told", fix=f"give --{option} COLUMN")

    def answers(record: Record) -> Iterator[Item]:
        tied = bool(tie) and record.one_of(tie, _TIES)
        more: dict[str, Any] = {"prompt": _text(record, prompt)} if prompt else {}
        if strength and not tied and record.value(strength) is not None:
            number = record.number(strength)
            more["strength"] = int(number) if number.is_integer() else number
        yield pair_of(
            _text(record, chosen), _text(record, rejected), -1 if tied else 0,
            annotator_id=record.name(annotator) if annotator else EVERYBODY, **more,
        )  # fmt: skip

    yield from each(files, answers, [name.split(".")[0] for name in (chosen, rejected, annotator, prompt, tie, strength)
                                     if name])  # fmt: skip


def _text(record: Record, column: str) -> Any:
    """A text or a number as it is, a list as messages."""
    found = unpacked(record.value(column))
    if isinstance(found, list):
        return messages(record, column, found)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else record.text(column)


CONVERTER = Converter(
    rows,
    schema="any table of pairs: the options name the columns chosen, rejected, annotator, prompt, tie, strength",
    licence="the data's own",
    loses="every other column",
    options={"chosen": "", "rejected": "", "annotator": "", "prompt": "", "tie": "", "strength": ""},
)
