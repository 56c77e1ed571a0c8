"""Arguments of `sim` as options of the command line, in messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sim.errors import InputError


@contextmanager
def with_flags(flags: Mapping[str, str]) -> Iterator[None]:
    """Inside, an InputError or ValueError that begins with an argument's name speaks of its option.

    flags: argument -> option, {"n_types": "--types"}.  Only a name that the message begins with (after the file, if it
    names one) is an argument; the rest of the text stays.
    """
    try:
        yield
    except InputError as error:
        raise InputError(_named(str(error), flags)) from error
    except ValueError as error:
        text = _named(str(error), flags)
        if text == str(error):
            raise
        raise InputError(text) from error


def _named(text: str, flags: Mapping[str, str]) -> str:
    for argument, option in flags.items():
        text, changed = re.subn(rf"^((?:[^:]*: )?){re.escape(argument)}\b", rf"\g<1>{option}", text, count=1)
        if changed:
            break
    return text
