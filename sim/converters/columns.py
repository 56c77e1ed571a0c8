"""Pairs of a set that nobody knows: which column is which is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sim.converters.answers import EVERYBODY, Item, each, messages, pair_of
from sim.converters.converter import Converter
from sim.converters.records import Record, files_of, records, unpacked
from sim.errors import InputError
from sim.files.item_numbers import are_numbers, item_number

_TIES = {True: True, False: False, None: False, "true": True, "True": True, "TRUE": True, "1": True,
         "false": False, "False": False, "FALSE": False, "0": False}  # fmt: skip


def rows(
    files: Sequence[Path], chosen: str, rejected: str, annotator: str, prompt: str, tie: str, strength: str
) -> Iterator[Item]:
    """A pair a record.  Each argument names a column, "" none; without `annotator` one stands for all."""
    for option, column in (("chosen", chosen), ("rejected", rejected)):
        if not column:
            raise InputError(f"{option}: which column holds it must be told", fix=f"give --{option} COLUMN")

    for path in files_of(files):
        told = _number if _holds_numbers(path, (chosen, rejected)) else _text

        def answers(record: Record, told: Callable[[Record, str], Any] = told) -> Iterator[Item]:
            tied = bool(tie) and record.one_of(tie, _TIES)
            more: dict[str, Any] = {"prompt": _text(record, prompt)} if prompt else {}
            if strength and not tied and record.value(strength) is not None:
                number = record.number(strength)
                more["strength"] = int(number) if number.is_integer() else number
            yield pair_of(
                told(record, chosen), told(record, rejected), -1 if tied else 0,
                annotator_id=record.name(annotator) if annotator else EVERYBODY, **more,
            )  # fmt: skip

        needs = [name for name in (chosen, rejected, annotator, prompt, tie, strength) if name]
        yield from each([path], answers, needs)


def _holds_numbers(path: Path, columns: Sequence[str]) -> bool:
    """Whether these columns are of texts that are numbers."""
    found = (record for record in records(path) if isinstance(record, Record))
    return are_numbers(record.as_is(name) for record in found for name in columns)


def _number(record: Record, column: str) -> str:
    return item_number(record.text(column))


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
