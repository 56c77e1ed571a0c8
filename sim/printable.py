"""Text from people's files as a terminal may show it: control characters are written out, never obeyed."""

from __future__ import annotations

import re

# C0 but tab and newline, DEL, C1; marks that change the direction of writing; lone surrogates, which no encoding has.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""The text with what a terminal would obey written as Python writes it: ESC becomes the four characters \x1b."""
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)
