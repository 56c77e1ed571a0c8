"""Messages of `sim` speak of arguments; a command says the same of its options."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sim.errors import InputError

# An argument as the subject of a message or of a part of it: "n_types must ...", "file.csv: rule: ...".
_SUBJECT = r"(?:(?<=: )|(?<=; )|^){name}(?=: | must | has | is )"
# An argument with its value, as in a call: "zero='worst'", "lottery=True".
_VALUE = r"\b{name}=(?:'(?P<text>[^']*)'|(?P<word>[\w.+-]+))"


def in_flags(message: str, flags: Mapping[str, str]) -> str:
    """The message with arguments replaced by options: subjects and `name=value`; the same word in prose stays.

    flags: {argument: option}, e.g. {"zero": "--zero"}.  `zero='worst'` becomes `--zero worst`, `lottery=True`
    becomes `--lottery`.
    """
    for name, flag in flags.items():

        def option(found: re.Match[str], flag: str = flag) -> str:
            value = found["text"] if found["text"] is not None else found["word"]
            return flag if value == "True" else f"{flag} {value}"

        message = re.sub(_VALUE.format(name=re.escape(name)), option, message)
        message = re.sub(_SUBJECT.format(name=re.escape(name)), flag, message)
    return message


@contextmanager
def with_flags(flags: Mapping[str, str]) -> Iterator[None]:
    """An error about one of these arguments is raised again as an `InputError` about its option.

    An error that names none of them goes on as it is: it may be a fault of the program.
    """
    try:
        yield
    except ValueError as error:
        text = in_flags(str(error), flags)
        if text == str(error):
            raise
        translated = InputError(text)
        if isinstance(error, InputError):
            translated.file, translated.row, translated.field = error.file, error.row, error.field
            translated.fix = None if error.fix is None else in_flags(error.fix, flags)
        raise translated from error
